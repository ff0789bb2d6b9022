import Foundation
import Testing

/// The table of metrics in docs/operations.md and the metrics of the server are the same.
@Suite struct MetricsTableTests {
    private static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private static func names(
        in text: String, _ pattern: Regex<(Substring, Substring)>
    ) -> Set<String> {
        Set(text.matches(of: pattern).map { String($0.output.1) })
    }

    /// The names that the sources of the server write, which are literals.
    private static func written() throws -> Set<String> {
        let sources = Self.root.appendingPathComponent("Sources/ProfileServer")
        let found = FileManager.default.enumerator(at: sources, includingPropertiesForKeys: nil)
        var names: Set<String> = []
        for case let file as URL in try #require(found) where file.pathExtension == "swift" {
            let text = try String(contentsOf: file, encoding: .utf8)
            names.formUnion(Self.names(in: text, /"((?:profiles|grpc_server)_[a-z_]+)"/))
        }
        return names
    }

    /// The names in the first column of the table.
    private static func documented() throws -> Set<String> {
        let text = try String(
            contentsOf: Self.root.appendingPathComponent("docs/operations.md"), encoding: .utf8)
        let section = try #require(text.range(of: "## Metrics and alerts"))
        let rows = text[section.upperBound...].split(separator: "\n").filter { $0.hasPrefix("| `") }
        return rows.reduce(into: []) { names, row in
            let column = String(row.dropFirst().prefix { $0 != "|" })
            names.formUnion(Self.names(in: column, /`((?:profiles|grpc_server)_[a-z_]+)/))
        }
    }

    @Test func everyMetricIsInTheTableAndTheTableHasNoOther() throws {
        let (written, documented) = (try Self.written(), try Self.documented())
        #expect(written.count > 30)
        #expect(written.subtracting(documented).sorted() == [])
        #expect(documented.subtracting(written).sorted() == [])
    }
}
