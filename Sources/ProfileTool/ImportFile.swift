import Glibc
import ProfileClient

/// A file of operations, one JSON object a line, and what is known of the whole before the first is
/// sent.
package struct ImportFile {
    static let help = """
        Each line is one of
          {"identify": {"installation_id": "phone-1", "custom_id": "anna", "attributes": {"set": \
          {"plan": "gold"}}}}
          {"track": {"identifier": {"custom_id": "anna"}, "events": [{"name": "purchase", \
          "attributes": {"amount": 59.9}}]}}
          {"update_subscription": {"identifier": {"custom_id": "anna"}, "changes": [{"channel": \
          "EMAIL", "state": "SUBSCRIBED"}], "source": "USER"}}
        with the fields of the contract's messages as proto3 JSON, but project and request_id. A \
        value may be plain JSON, an enum may go
        without its prefix, and "ago": "3h" stands for an occurred_at so long before the import \
        began (events older than 24 h need
        "historical": true in their track). Blank lines and lines that begin with # are passed over.

        The operations go out in order, in groups of --batch. What is refused is shown with its \
        line, and the rest goes on.
        The position is kept beside the file: run the same command after an interruption, and it \
        goes on without doing anything twice.
        A finished import stays finished; delete the position file to import again.
        """

    package let path: String
    package let lines: Int
    /// FNV-1a over the file: tells it from others and from its own later versions.
    package let digest: UInt64
    /// Whether some time counts from the beginning of the import.
    package let countsFromNow: Bool

    /// Reads the file once.
    package init(path: String) throws(UsageError) {
        guard let file = fopen(path, "r") else {
            throw UsageError("\(path): \(String(cString: strerror(errno)))")
        }
        defer { fclose(file) }
        var lines = 0
        var digest: UInt64 = 0xCBF2_9CE4_8422_2325
        var countsFromNow = false
        while let line = Self.readLine(file) {
            lines += 1
            for byte in line { digest = (digest ^ UInt64(byte)) &* 0x100_0000_01B3 }
            countsFromNow =
                countsFromNow || String(decoding: line, as: UTF8.self).contains("\"ago\"")
        }
        (self.path, self.lines, self.digest, self.countsFromNow) = (
            path, lines, digest, countsFromNow
        )
    }

    /// Gives each line from a position on, with its number from 1, until told to stop.
    package func forEach(after done: Int, _ body: (Int, [UInt8]) throws -> Void) throws {
        guard let file = fopen(self.path, "r") else {
            throw UsageError("\(self.path): \(String(cString: strerror(errno)))")
        }
        defer { fclose(file) }
        var number = 0
        while let line = Self.readLine(file) {
            number += 1
            if number > done { try body(number, line) }
        }
    }

    private static func readLine(_ file: UnsafeMutablePointer<FILE>) -> [UInt8]? {
        var buffer: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(buffer) }
        let count = getline(&buffer, &capacity, file)
        guard count > 0, let buffer else { return nil }
        // SAFETY: getline has filled `count` bytes of its own buffer, which is freed at the end.
        return Array(UnsafeRawBufferPointer(start: buffer, count: count))
    }
}

/// How far an import has come; kept in a small JSON file.
package struct ImportPosition: Equatable {
    package var digest: UInt64
    package var project: String
    package var batch: Int
    /// What `ago` counts from; the same after a resumption, so that a repeated call is the same
    /// call.
    package var begunAt: Int64
    /// Lines whose operations are answered.
    package var lines = 0
    package var refused = 0
    package var isComplete = false

    package var json: JSONValue {
        .object(of: [
            ("digest", .string(String(self.digest, radix: 16))), ("project", .string(self.project)),
            ("batch", .number(String(self.batch))),
            ("begun_at", .string(TimeText.text(microseconds: self.begunAt))),
            ("lines", .number(String(self.lines))),
            ("refused", .number(String(self.refused))), ("complete", .bool(self.isComplete)),
        ])
    }

    package init(digest: UInt64, project: String, batch: Int, begunAt: Int64) {
        (self.digest, self.project, self.batch, self.begunAt) = (digest, project, batch, begunAt)
    }

    package init?(json: JSONValue) {
        guard let digest = json["digest"]?.text.flatMap({ UInt64($0, radix: 16) }),
            let project = json["project"]?.text,
            let batch = json["batch"]?.integer,
            let begunAt = json["begun_at"]?.text.flatMap(TimeText.parse),
            let lines = json["lines"]?.integer, let refused = json["refused"]?.integer
        else { return nil }
        self.init(digest: digest, project: project, batch: Int(batch), begunAt: begunAt)
        self.lines = Int(lines)
        self.refused = Int(refused)
        self.isComplete = json["complete"]?.isTrue == true
    }

    /// - Returns: `nil` if there is no file.
    static func read(_ path: String) throws(UsageError) -> ImportPosition? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 4_096)
        let count = fread(&bytes, 1, bytes.count, file)
        guard let json = try? JSONParser.parse(bytes[..<count]),
            let position = ImportPosition(json: json)
        else {
            throw UsageError(
                "\(path) is no position file; delete it, or name another with --resume")
        }
        return position
    }

    /// Written beside and renamed: an interruption leaves the old one or the new one.
    func write(_ path: String) throws(UsageError) {
        let text = Array("\(self.json)\n".utf8)
        let beside = path + ".new"
        guard let file = fopen(beside, "w") else {
            throw UsageError("\(beside): \(String(cString: strerror(errno)))")
        }
        let written = fwrite(text, 1, text.count, file)
        guard fclose(file) == 0, written == text.count, rename(beside, path) == 0 else {
            throw UsageError("\(path): \(String(cString: strerror(errno)))")
        }
    }
}
