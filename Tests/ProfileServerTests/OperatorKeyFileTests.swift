import Foundation
import IOCore
import IOLinux
import ProfileService
import Profiles
import Testing

@testable import ProfileServer

@Suite struct OperatorKeyFileTests {
    private static let secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
    private static let bytes = Array(UInt8(0) ..< 32)

    private func key(_ number: Int) -> String {
        "pk_\(String(format: "%016d", number))_\(Self.secret)"
    }

    private func read(_ text: String) throws(OperatorKeyError) -> [OperatorKey] {
        var bytes = Array(text.utf8)
        return try OperatorKeyFile.takeKeys(from: &bytes)
    }

    private func error(_ text: String) -> OperatorKeyError? {
        do throws(OperatorKeyError) {
            _ = try self.read(text)
            return nil
        } catch { return error }
    }

    @Test func linesAreKeysCommentsAndBlanks() throws {
        let text = "\u{FEFF}# first\r\n\n \t\(self.key(1)) \r\n#\(self.key(9))\n\(self.key(2))"
        let keys = try self.read(text)
        #expect(keys.map(\.name.description) == ["0000000000000001", "0000000000000002"])
        let hash = Self.bytes.withUnsafeBytes { OperatorKey.hash(ofSecret: $0) }
        #expect(keys.allSatisfy { $0.hash == hash })
    }

    @Test func wrongTextIsRejectedByItsLineAndNeverQuoted() {
        let key = self.key(1)
        #expect(self.error("") == .empty && self.error("\n# x\n") == .empty)
        for wrong in [
            String(key.dropLast()), key + "A", "Bearer \(key)", "\(key) # mine", "pk_\u{0}",
            String(key.dropLast()) + "9", key.replacing("_AAEC", with: "_A EC"),
        ] {
            let error = self.error("\n\(wrong)\n")
            #expect(error == .notAKey(line: 2), "\(wrong)")
            #expect(error?.description.contains("AwQF") == false)
        }
        #expect(self.error("\(key)\n\(self.key(2))\n\(key)") == .repeated(line: 3))
    }

    @Test func numberAndSizeAreBounded() throws {
        let hundred = (1 ... OperatorKeyFile.keysMax).map(self.key).joined(separator: "\n")
        #expect(try self.read(hundred).count == 100)
        #expect(self.error(hundred + "\n" + self.key(101)) == .tooManyKeys)
        #expect(
            self.error(String(repeating: "#", count: OperatorKeyFile.bytesMax + 1)) == .tooLarge)
    }

    @Test func textIsGoneAfterwards() {
        var text = Array(self.key(1).utf8)
        _ = try? OperatorKeyFile.takeKeys(from: &text)
        #expect(text.isEmpty)
        text = Array("pk_wrong".utf8)
        _ = try? OperatorKeyFile.takeKeys(from: &text)
        #expect(text.isEmpty)
    }

    // MARK: The file

    private func withFile(
        _ mode: Int, _ body: (_ folder: URL, _ path: String) throws -> Void
    ) throws {
        let folder = FileManager.default.temporaryDirectory.appending(
            path: "keys-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: "key")
        try Data("\(self.key(1))\n".utf8).write(to: file)
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file.path)
        try body(folder, file.path)
    }

    /// Kubernetes mounts a secret as a link to a link.
    @Test func fileBehindLinksIsRead() throws {
        try self.withFile(0o400) { folder, path in
            let link = folder.appending(path: "link").path
            let outer = folder.appending(path: "outer").path
            try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: path)
            try FileManager.default.createSymbolicLink(atPath: outer, withDestinationPath: link)
            #expect(try OperatorKeySource.file(path: outer).read()?.count == 1)
        }
    }

    /// Whoever removes the last key wants it to be refused. At the start it is a mistake.
    @Test func fileWithoutKeysLeavesNoneInForceOnceItIsReadAgain() throws {
        try self.withFile(0o600) { _, path in
            let source = OperatorKeySource.file(path: path)
            let access = AccessControl(operatorKeys: try source.read())
            let clock = FakeClock()
            let lines = Guarded<[String]>([])
            let reload = Reload(
                keySource: source, access: access, auditLog: nil, accessLog: nil,
                log: Log(level: .info, clock: clock) { line in
                    let text = String(decoding: line, as: UTF8.self)
                    lines.withLock { $0.append(text) }
                })
            try Data("# none\n".utf8).write(to: URL(fileURLWithPath: path))
            reload.run()
            #expect(access.operatorKeyCount == 0 && !access.isOpen)
            #expect(lines.withLock { $0.count == 1 && $0[0].contains("there is none any more") })
            #expect(throws: OperatorKeySource.Failure.self) { try source.read() }
            // A file that is wrong is another matter.
            try Data("\(self.key(2))\n".utf8).write(to: URL(fileURLWithPath: path))
            reload.run()
            try Data("pk_\n".utf8).write(to: URL(fileURLWithPath: path))
            reload.run()
            #expect(access.operatorKeyCount == 1)
        }
    }

    @Test(arguments: [0o640, 0o604, 0o620, 0o601, 0o644])
    func fileThatOthersHaveAccessToIsRejected(mode: Int) throws {
        try self.withFile(mode) { _, path in
            #expect(throws: LinuxSecretFile.Failure.open(mode: UInt32(mode))) {
                try LinuxSecretFile.read(path, bytesMax: 100)
            }
        }
    }

    /// A FIFO would make SIGHUP wait, and with it the end of the process.
    @Test func onlyRegularFilesAreRead() throws {
        try self.withFile(0o600) { folder, _ in
            let fifo = folder.appending(path: "fifo").path
            #expect(mkfifo(fifo, 0o600) == 0)
            for path in [fifo, "/dev/null", folder.path] {
                #expect(throws: LinuxSecretFile.Failure.notAFile) {
                    try LinuxSecretFile.read(path, bytesMax: 100)
                }
            }
        }
    }

    @Test func moreThanTheBoundIsNotRead() throws {
        try self.withFile(0o600) { _, path in
            let cut = try LinuxSecretFile.read(path, bytesMax: 10)
            let whole = try LinuxSecretFile.read(path, bytesMax: 1_000)
            #expect(cut.count == 10 && whole.count == 64)
        }
    }

    @Test func variableIsTakenOutOfTheEnvironment() throws {
        setenv("PROFILES_TEST_SECRET", "secret", 1)
        let memory = try #require(getenv("PROFILES_TEST_SECRET"))
        #expect(LinuxSecretVariable.take("PROFILES_TEST_SECRET") == Array("secret".utf8))
        #expect(getenv("PROFILES_TEST_SECRET") == nil)
        #expect(String(cString: memory) == "******")
        #expect(LinuxSecretVariable.take("PROFILES_TEST_SECRET") == nil)
    }
}
