import ProfileClient

extension Tool {
    /// The help of `import`.
    static let importHelp = """
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
        their track). Blank lines and lines that begin with # are ignored. The text is UTF-8, with
        or without a byte order mark; lines end with LF or CRLF and have at most \
        \(LineReader.lineBytesMax) bytes.

        FILE may be a pipe, such as /dev/stdin or <(...); - is standard input. The operations are
        sent in order, in batches of --batch. Lines that are not operations, and operations that
        the service rejects, are shown with their number, and the import continues; --rejects
        collects them with their reasons, and can be imported once it is mended. The exit code is
        \(ToolMain.ExitCode.someRejected) then.

        The position is stored next to the file: run the same command again after an interruption
        to resume without applying anything twice. A complete import is not repeated; delete the
        position file to import again. For a pipe it is stored only with --resume; the pipe has to
        begin with the same lines again.
        """

    func importFile() throws -> Int32 {
        let path = try self.positional(1, 1)[0]
        let batch = try self.arguments.number("--batch", BatchRequest.operationsMax)
        guard (1 ... BatchRequest.operationsMax).contains(batch) else {
            throw UsageError("--batch \(batch): expected 1 to \(BatchRequest.operationsMax)")
        }
        let reader = try self.open(path)
        let isFile = reader.regularFileBytes != nil && !Self.isUnnamed(path)
        let positionPath = try (self.arguments["--resume"] ?? (isFile ? path + ".position" : nil))
            .map { path throws(UsageError) in try ImportPosition.target(of: path) }
        var files = Importer.Files(reader: reader, positionPath: positionPath)
        var position = ImportPosition(
            subject: isFile ? .file : .stream, digest: reader.digest, project: self.project,
            batch: batch, begunAt: self.now)
        if isFile {
            let (lines, digest) = try self.survey(path)
            position.digest = digest
            files.lines = lines
        }
        if let positionPath, let stored = try ImportPosition.read(positionPath) {
            try self.resume(stored, of: position, at: positionPath, reader)
            position = stored
        }
        guard !position.isComplete || !isFile else {
            return self.reportCompleted(position, path, positionPath)
        }
        position.isComplete = false
        files.rejects = try self.arguments["--rejects"].map { path throws(FileFailure) in
            try RejectsFile(path, keeping: position.rejectsBytes, imported: reader)
        }
        let importer = Importer(
            files, position: position, client: self.client, terminal: self.terminal)
        let end = try importer.run()
        self.report(importer, from: position, to: end)
        return end.rejected == 0 ? ToolMain.ExitCode.done : ToolMain.ExitCode.someRejected
    }

    private func open(_ path: String) throws(UsageError) -> LineReader {
        do throws(FileFailure) {
            return try LineReader(path: path)
        } catch {
            throw UsageError(error.text)
        }
    }

    /// Standard input, and descriptors, have no directory for a position file.
    private static func isUnnamed(_ path: String) -> Bool {
        path == "-" || path.hasPrefix("/dev/") || path.hasPrefix("/proc/")
    }

    /// Reads a whole file in advance, for its number of lines and its digest.
    private func survey(_ path: String) throws -> (lines: Int, digest: UInt64) {
        let reader = try LineReader(path: path)
        var lines = 0
        while try reader.next() != nil { lines += 1 }
        return (lines, reader.digest)
    }

    /// Checks that a stored position belongs to the source, and reads the lines before it.
    private func resume(
        _ stored: ImportPosition, of fresh: ImportPosition, at path: String, _ reader: LineReader
    ) throws {
        var isSame = stored.subject == fresh.subject && stored.project == fresh.project
        if isSame, fresh.subject == .file { isSame = stored.digest == fresh.digest }
        var lines = 0
        while isSame, lines < stored.lines {
            isSame = try reader.next() != nil
            lines += 1
        }
        if isSame, fresh.subject == .stream { isSame = stored.digest == reader.digest }
        guard isSame else {
            throw UsageError(
                "\(path) belongs to another file or project; delete it, or select another with "
                    + "--resume"
            )
        }
    }

    private func reportCompleted(
        _ position: ImportPosition, _ path: String, _ positionPath: String?
    ) -> Int32 {
        let json = JSONValue.object(of: [
            ("lines", .number(String(position.lines))), ("done", .number("0")),
            ("rejected", .number(String(position.rejected))), ("already_imported", .bool(true)),
        ])
        self.show(json) {
            let rejected = position.rejected == 0 ? "" : ", \(position.rejected) rejected"
            return TerminalText.safe(
                "\(path) is already imported: \(position.lines) lines\(rejected); to import it "
                    + "again, delete \(positionPath ?? "the position file")") + "\n"
        }
        return position.rejected == 0 ? ToolMain.ExitCode.done : ToolMain.ExitCode.someRejected
    }

    private func report(_ importer: Importer, from: ImportPosition, to: ImportPosition) {
        let tally = importer.tally
        let json = JSONValue.object(of: [
            ("lines", .number(String(to.lines))), ("done", .number(String(tally.done))),
            ("rejected", .number(String(tally.rejected))),
            ("events_stored", .number(String(tally.stored))),
            ("events_duplicate", .number(String(tally.duplicates))),
        ])
        self.show(json) {
            let resumed = from.lines > 0 ? ", resumed at line \(from.lines + 1)" : ""
            let rate = Int(Double(to.lines - from.lines) / max(importer.seconds, 0.001))
            return
                "\(tally.done) operations done, \(tally.rejected) rejected; \(tally.stored) "
                + "events stored, \(tally.duplicates) duplicates;"
                + " \(to.lines - from.lines) lines at \(rate) per second\(resumed)\n"
        }
    }
}
