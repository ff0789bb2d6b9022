import ProfileClient

/// How far an export of a project into a file is, stored in a small JSON file beside it.
package struct ExportPosition: Equatable {
    package var project: String
    /// Whether the lines are operations of an import.
    package var isOperations: Bool
    /// The lsn of the first message: the change feed continues behind it.
    package var lsn: UInt64
    /// Behind the last person whose lines are in the file.
    package var token: String
    package var people = 0
    /// Of their lines.
    package var bytes = 0

    /// The largest lsn that one can follow.
    static let lsnMax = UInt64.max - 1

    /// Far more than a position file has, in bytes.
    private static let fileBytesMax = 64 << 10

    package init(project: String, isOperations: Bool, lsn: UInt64 = 0, token: String = "") {
        (self.project, self.isOperations) = (project, isOperations)
        (self.lsn, self.token) = (lsn, token)
    }

    package var json: JSONValue {
        .object(of: [
            ("project", .string(self.project)), ("operations", .bool(self.isOperations)),
            ("lsn", .string(String(self.lsn))), ("page_token", .string(self.token)),
            ("profiles", .number(String(self.people))), ("bytes", .number(String(self.bytes))),
        ])
    }

    package init?(json: JSONValue) {
        guard let project = json["project"]?.text, let operations = json["operations"],
            let lsn = json["lsn"]?.lsn, lsn <= Self.lsnMax,
            let token = json["page_token"]?.text,
            let people = json["profiles"]?.count, let bytes = json["bytes"]?.count
        else { return nil }
        self.init(
            project: project, isOperations: operations.isTrue, lsn: lsn, token: token)
        (self.people, self.bytes) = (people, bytes)
    }

    /// - Returns: `nil` if there is no file.
    static func read(_ path: String) throws -> ExportPosition? {
        guard let bytes = try SmallFile.read(path, bytesMax: self.fileBytesMax) else { return nil }
        guard let json = try? JSONParser.parse(bytes), let position = ExportPosition(json: json)
        else {
            throw UsageError(
                "\(path) is not the position file of an export; delete it, or select another with "
                    + "--resume")
        }
        return position
    }

    func write(_ path: String) throws(FileFailure) {
        try SmallFile.write(path, "\(self.json)\n")
    }
}
