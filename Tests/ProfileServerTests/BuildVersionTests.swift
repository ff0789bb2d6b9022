import Foundation
import ProfileServer
import Testing

@Suite struct BuildVersionTests {
    private let version = BuildVersion(
        rules: 1, formats: [.init("log", 2), .init("snapshot", 3)], nghttp2: "1.52.0",
        protobufC: "1.4\"1")

    @Test func jsonContainsEveryVersion() throws {
        let json = try JSONSerialization.jsonObject(with: Data(self.version.json.utf8))
        let object = try #require(json as? [String: Any])
        #expect(object["program"] as? String == "profiled")
        #expect(object["version"] as? String == BuildVersion.program)
        #expect(object["rules"] as? Int == 1)
        #expect(object["formats"] as? [String: Int] == ["log": 2, "snapshot": 3])
        #expect(object["protobuf_c"] as? String == "1.4\"1")
    }

    @Test func everyVersionedFormatIsListedWithTheVersionOfItsDocument() throws {
        let formats = BuildVersion.writtenFormats
        #expect(formats.map(\.name) == ["log", "snapshot", "snapshot_items", "records"])
        let documents = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../docs/formats").standardized
        for (name, text) in [
            ("log", "| format version, "), ("snapshot", "| format version, "),
            ("records", "- `version` is "),
        ] {
            let document = try String(
                contentsOf: documents.appending(path: "\(name).md"), encoding: .utf8)
            let parts = document.components(separatedBy: text)
            let number = try #require(parts.dropFirst().first).prefix { $0.isNumber }
            #expect(formats.first { $0.name == name }?.version == UInt32(number), "\(name)")
        }
        let snapshot = try String(
            contentsOf: documents.appending(path: "snapshot.md"), encoding: .utf8)
        let items = try #require(formats.first { $0.name == "snapshot_items" }).version
        #expect(snapshot.contains("## Items, version \(items)\n"))
    }

    @Test func textIsOneLine() {
        #expect(
            self.version.text == "profiled \(BuildVersion.program) (rules 1, log format 2,"
                + " snapshot format 3, Swift \(BuildVersion.swift), nghttp2 1.52.0,"
                + " protobuf-c 1.4\"1)")
    }

    @Test func exitCodesAreTheContracts() {
        #expect(ExitCode.allCases.map(\.rawValue) == [0, 1, 2, 3, 4])
        #expect(ExitCode.configuration.rawValue == 2)
        #expect(ExitCode.dataRejected.rawValue == 3)
        #expect(ExitCode.directoryLocked.rawValue == 4)
    }
}
