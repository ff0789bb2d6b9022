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
        with the fields of the contract's messages as proto3 JSON, except project, request_id and
        expected_revision. A value may be plain JSON, an enum may omit its prefix, and "ago": "3h"
        sets occurred_at to that long before the import began. Blank lines and lines that begin
        with # are ignored. The text is UTF-8, with or without a byte order mark; lines end with LF
        or CRLF and have at most \(LineReader.lineBytesMax) bytes.

        A file named .csv, or any with --map, is CSV with a header. --map COLUMN=TARGET says what a
        column is, others are ignored; without --map the names of the columns are the targets:
          custom_id, installation_id    whom the row is about; one of them is needed
          attributes.NAME[:KIND]        a value; KIND is string, integer, number, boolean, time,
                                        url, list (a,b) or auto (string)
          email_address, phone_number, language, region, timezone
          subscriptions.CHANNEL[.TOPIC] SUBSCRIBED, UNSUBSCRIBED, UNSET, yes or no
          occurred_at                   since when it is so, or when it happened (now)
          event, event_id, label        makes each row an event of that name
        Empty fields are left out. Lines that begin with # are ignored.

        Imports are historical: events as old as the project's retention are stored, no trigger
        fires, last_seen_at does not move, and no one who has unsubscribed is subscribed again.

        FILE may be a pipe, such as /dev/stdin or <(...); - is standard input. The operations are
        sent in order, in chunks of --batch. Lines that are not operations, and operations that
        the service rejects, are shown with their number, and the import continues; --rejects
        collects them with their reasons, and can be imported once it is mended. The exit code is
        \(ToolMain.ExitCode.someRejected) then. --dry-run has the service check each chunk without
        any effect; it does not see what the chunks before would have done.

        The position is stored next to the file: run the same command again after an interruption
        to resume without applying anything twice. A complete import is not repeated; delete the
        position file to import again. For a pipe it is stored only with --resume; the pipe has to
        begin with the same lines again.
        """

    func importFile() throws -> Int32 {
        let path = try self.positional(1, 1)[0]
        let batch = try self.arguments.number("--batch", ImportRequest.operationsMax)
        guard (1 ... ImportRequest.operationsMax).contains(batch) else {
            throw UsageError("--batch \(batch): expected 1 to \(ImportRequest.operationsMax)")
        }
        let isDryRun = self.arguments.has("--dry-run")
        let format = try self.importFormat(path)
        let reader = try self.open(path)
        let isFile = reader.regularFileBytes != nil && !Self.isUnnamed(path)
        let positionPath = try self.positionPath(path, isFile: isFile, isDryRun: isDryRun)
        var position = ImportPosition(
            subject: isFile ? .file : .stream, digest: reader.digest, project: self.project,
            batch: batch, begunAt: self.now)
        var lines: Int?
        if isFile { (lines, position.digest) = try self.survey(path) }
        let stored = try positionPath.flatMap { try ImportPosition.read($0) }
        let source = ImportSource(
            reader, format, MessageEncoder(now: stored?.begunAt ?? position.begunAt))
        try source.readHeader()
        if let positionPath, let stored {
            try self.resume(stored, of: position, at: positionPath, source)
            position = stored
        }
        guard !position.isComplete || !isFile else {
            return self.reportCompleted(position, path, positionPath)
        }
        position.isComplete = false
        var files = Importer.Files(source: source, lines: lines, positionPath: positionPath)
        files.rejects = try self.arguments["--rejects"].map { path throws(FileFailure) in
            try RejectsFile(path, keeping: position.rejectsBytes, imported: reader)
        }
        let importer = Importer(
            files, position: position, client: self.client, terminal: self.terminal,
            isDryRun: isDryRun)
        let end = try importer.run()
        self.report(importer, from: position, to: end, isDryRun: isDryRun)
        return end.rejected == 0 ? ToolMain.ExitCode.done : ToolMain.ExitCode.someRejected
    }

    private func importFormat(_ path: String) throws(UsageError) -> ImportSource.Format {
        let words = self.arguments.all("--map")
        guard !words.isEmpty || path.lowercased().hasSuffix(".csv") else { return .jsonLines }
        return .csv(try CSVMapping(words))
    }

    /// Where the position is stored; `nil`: nowhere.
    private func positionPath(_ path: String, isFile: Bool, isDryRun: Bool) throws -> String? {
        guard !isDryRun else {
            guard self.arguments["--resume"] == nil else {
                throw UsageError("--resume with --dry-run: a dry run has no position")
            }
            return nil
        }
        return try (self.arguments["--resume"] ?? (isFile ? path + ".position" : nil))
            .map { path throws(UsageError) in try ImportPosition.target(of: path) }
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
        _ stored: ImportPosition, of fresh: ImportPosition, at path: String,
        _ source: ImportSource
    ) throws {
        var isSame = stored.subject == fresh.subject && stored.project == fresh.project
        if isSame, fresh.subject == .file { isSame = stored.digest == fresh.digest }
        while isSame, source.lines < stored.lines { isSame = try source.skipLine() }
        // Nothing but the header may have been read.
        if isSame, fresh.subject == .stream, stored.lines >= source.lines {
            isSame = stored.digest == source.reader.digest
        }
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

    private func report(
        _ importer: Importer, from: ImportPosition, to: ImportPosition, isDryRun: Bool
    ) {
        let tally = importer.tally
        let json = JSONValue.object(of: [
            ("lines", .number(String(to.lines))), ("done", .number(String(tally.done))),
            ("rejected", .number(String(tally.rejected))),
            ("applied", .number(String(tally.applied))),
            ("unchanged", .number(String(tally.unchanged))),
            ("dry_run", isDryRun ? .bool(true) : nil),
        ])
        self.show(json) {
            let resumed = from.lines > 0 ? ", resumed at line \(from.lines + 1)" : ""
            let rate = Int(Double(to.lines - from.lines) / max(importer.seconds, 0.001))
            return
                "\(tally.done) operations \(isDryRun ? "would be done" : "done"), "
                + "\(tally.rejected) rejected; \(tally.applied) changed something, "
                + "\(tally.unchanged) did not;"
                + " \(to.lines - from.lines) lines at \(rate) per second\(resumed)\n"
        }
    }
}
