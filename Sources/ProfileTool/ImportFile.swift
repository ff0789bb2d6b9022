import Glibc
import ProfileClient

/// A file of operations, one JSON object per line, and the properties of the whole file that an
/// import needs in advance.
package struct ImportFile {
    static let help = """
        Each line is one of
          {"identify": {"installation_id": "phone-1", "custom_id": "anna", "attributes": {"set": \
          {"plan": "gold"}}}}
          {"track": {"identifier": {"custom_id": "anna"}, "events": [{"name": "purchase", \
          "attributes": {"amount": 59.9}}]}}
          {"update_subscription": {"identifier": {"custom_id": "anna"}, "changes": [{"channel": \
          "EMAIL", "state": "SUBSCRIBED"}], "source": "USER"}}
        with the fields of the contract's messages as proto3 JSON, except project and request_id.
        A value may be plain JSON, an enum may omit its prefix, and "ago": "3h" sets occurred_at
        to that long before the import began (events older than 24 h need "historical": true in
        their track). Blank lines and lines that begin with # are ignored.

        The operations are sent in order, in batches of --batch. Rejected operations are shown
        with their line, and the import continues. The position is stored next to the file: run
        the same command again after an interruption to resume without applying anything twice.
        A complete import is not repeated; delete the position file to import again.
        """

    package let path: String
    package let lines: Int
    /// FNV-1a over the file; distinguishes it from other files and from later versions of itself.
    package let digest: UInt64
    /// Whether any time is relative to the beginning of the import.
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

    /// Calls `body` with each line after `done` and its number, which counts from 1, until it
    /// throws.
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
        // SAFETY: getline has filled `count` bytes of its own buffer, which is freed on return.
        return Array(UnsafeRawBufferPointer(start: buffer, count: count))
    }
}

/// The progress of an import, stored in a small JSON file.
package struct ImportPosition: Equatable {
    package var digest: UInt64
    package var project: String
    package var batch: Int
    /// The time that `ago` is relative to; unchanged by a resumption, so that a repeated call is
    /// the same message.
    package var begunAt: Int64
    /// Lines whose operations have a response.
    package var lines = 0
    package var rejected = 0
    package var isComplete = false

    package var json: JSONValue {
        .object(of: [
            ("digest", .string(String(self.digest, radix: 16))), ("project", .string(self.project)),
            ("batch", .number(String(self.batch))),
            ("begun_at", .string(TimeText.text(microseconds: self.begunAt))),
            ("lines", .number(String(self.lines))),
            ("refused", .number(String(self.rejected))), ("complete", .bool(self.isComplete)),
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
            let lines = json["lines"]?.integer, let rejected = json["refused"]?.integer
        else { return nil }
        self.init(digest: digest, project: project, batch: Int(batch), begunAt: begunAt)
        self.lines = Int(lines)
        self.rejected = Int(rejected)
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
                "\(path) is not a position file; delete it, or select another with --resume")
        }
        return position
    }

    /// Writes a temporary file and renames it, so that an interruption leaves either version.
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
