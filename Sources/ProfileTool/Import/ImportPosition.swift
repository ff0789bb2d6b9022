import Glibc
import ProfileClient

/// The progress of an import, stored in a small JSON file.
package struct ImportPosition: Equatable {
    /// What `digest` is over.
    package enum Subject: String, Sendable {
        /// The whole file, which is read once in advance.
        case file
        /// The lines imported so far of a stream, which can be read only once.
        case stream
    }

    package var subject: Subject
    package var digest: UInt64
    package var project: String
    package var batch: Int
    /// The time that `ago` is relative to; unchanged by a resumption, so that a repeated call is
    /// the same message.
    package var begunAt: Int64
    /// Lines whose operations have a response.
    package var lines = 0
    package var rejected = 0
    /// Bytes of the rejects file that belong to these lines.
    package var rejectsBytes = 0
    package var isComplete = false

    /// Far more than a position file has, in bytes.
    private static let fileBytesMax = 64 << 10

    package var json: JSONValue {
        .object(of: [
            ("subject", .string(self.subject.rawValue)),
            ("digest", .string(String(self.digest, radix: 16))), ("project", .string(self.project)),
            ("batch", .number(String(self.batch))),
            ("begun_at", .string(TimeText.text(microseconds: self.begunAt))),
            ("lines", .number(String(self.lines))),
            ("rejected", .number(String(self.rejected))),
            ("rejects_bytes", .number(String(self.rejectsBytes))),
            ("complete", .bool(self.isComplete)),
        ])
    }

    package init(
        subject: Subject, digest: UInt64, project: String, batch: Int, begunAt: Int64
    ) {
        (self.subject, self.digest, self.project) = (subject, digest, project)
        (self.batch, self.begunAt) = (batch, begunAt)
    }

    package init?(json: JSONValue) {
        guard let subject = json["subject"]?.text.flatMap(Subject.init),
            let digest = json["digest"]?.text.flatMap({ UInt64($0, radix: 16) }),
            let project = json["project"]?.text,
            let batch = json["batch"]?.count,
            (1 ... ImportRequest.operationsMax).contains(batch),
            let begunAt = json["begun_at"]?.text.flatMap(TimeText.parse),
            let lines = json["lines"]?.count, let rejected = json["rejected"]?.count,
            let rejectsBytes = json["rejects_bytes"]?.count
        else { return nil }
        self.init(
            subject: subject, digest: digest, project: project, batch: batch, begunAt: begunAt)
        self.lines = lines
        self.rejected = rejected
        self.rejectsBytes = rejectsBytes
        self.isComplete = json["complete"]?.isTrue == true
    }

    /// - Returns: `nil` if there is no file.
    static func read(_ path: String) throws -> ImportPosition? {
        guard let bytes = try SmallFile.read(path, bytesMax: self.fileBytesMax) else { return nil }
        guard let json = try? JSONParser.parse(bytes), let position = ImportPosition(json: json)
        else {
            throw UsageError(
                "\(path) is not a position file; delete it, or select another with --resume")
        }
        return position
    }

    func write(_ path: String) throws(FileFailure) {
        try SmallFile.write(path, "\(self.json)\n")
    }

    /// The file to be replaced for a path: what a symbolic link refers to.
    ///
    /// - Throws: `UsageError` for what must not be replaced, such as a device.
    static func target(of path: String) throws(UsageError) -> String {
        var status = stat()
        guard stat(path, &status) == 0 else { return path }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw UsageError("--resume \(path): not a regular file")
        }
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}
