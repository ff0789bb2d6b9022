import ProfileClient

/// `profilectl export`: everything of one person, or of everyone of a project.
extension Tool {
    static let exportHelp = """
        Each line is a person in JSON: the profile with its metadata, all retained events, oldest
        first, the consent ledger, and the suppressions of the addresses, all at the lsn of the
        line. Without WHO everyone comes, each at an lsn of their own, while writes go on; the
        position at the start, which is told at the end, is where `profilectl watch` continues the
        copy. WHO is a custom ID, or device:ID, profile:ID, custom:ID.
        With --out the lines go to FILE.part, which becomes FILE when it is complete. If the export
        is interrupted, the same command continues it (FILE.position), for at least 24 hours. A
        server that restarts meanwhile is waited for.
        With --operations the lines are those of `profilectl import` instead; docs/exports.md lists
        what cannot be imported.
        """

    /// How often the position is written, in nanoseconds.
    private static let positionNanoseconds: UInt64 = 1_000_000_000

    func export() throws -> Int32 {
        let words = try self.positional(0, 1)
        let target = self.arguments["--out"]
        guard self.arguments["--resume"] == nil || target != nil && words.isEmpty else {
            throw UsageError("--resume continues an export of everyone: give --out FILE, no WHO")
        }
        guard let who = words.first else { return try self.exportEveryone(target) }
        try self.exportPerson(WhoText.identifier(who), target)
        return ToolMain.ExitCode.done
    }

    /// The lines of a person.
    private func lines(of person: ExportedPerson) -> String {
        guard self.arguments.has("--operations") else { return person.line(of: self.project) }
        return ExportedOperations(person)?.lines.joined() ?? ""
    }

    private func exportPerson(_ who: JSONValue, _ target: String?) throws {
        let method = RPCMethod.profiles("ExportProfile")
        let request = try MessageEncoder(now: self.now).encode(
            .object(of: [("project", .string(self.project)), ("identifier", who)]),
            as: method.request)
        var person = ExportedPerson()
        try self.client.stream(method, request) { person.add($0) }
        let lines = self.lines(of: person)
        guard let target else { return self.terminal.say(lines) }
        let file = try ExportFile(target, keeping: 0)
        try file.write(lines)
        try file.complete()
    }

    // MARK: Everyone

    /// An export of everyone under way.
    private final class Progress {
        var position: ExportPosition
        /// `nil`: standard output.
        let file: ExportFile?
        let positionPath: String
        /// Whose parts come.
        var person = ExportedPerson()
        /// When the position was written, in nanoseconds.
        var notedNanoseconds: UInt64 = 0

        init(_ position: ExportPosition, _ file: ExportFile?, positionPath: String) {
            (self.position, self.file, self.positionPath) = (position, file, positionPath)
        }

        /// Notes how far the file is; without one there is nothing to note.
        func note() throws {
            guard let file = self.file, !self.position.token.isEmpty else { return }
            try file.sync()
            try self.position.write(self.positionPath)
        }
    }

    private func exportEveryone(_ target: String?) throws -> Int32 {
        let progress = try self.beginning(target)
        let resumed = progress.position.people
        if resumed > 0 {
            self.terminal.complain("continuing behind \(resumed) profiles")
        }
        let end: LastingStream.End
        do {
            end = try self.receive(progress)
        } catch {
            // What is written stays, for the next run.
            try progress.note()
            throw error
        }
        self.terminal.progress("")
        switch end {
        case .completed: try self.finish(progress)
        case .interrupted:
            try progress.note()
            let rest = target == nil ? "" : "; the same command continues"
            self.terminal.complain("stopped behind \(progress.position.people) profiles\(rest)")
            return ToolMain.ExitCode.rejected
        case .outputFailed: break
        }
        return ToolMain.ExitCode.done
    }

    /// Where the export begins: at the position of an earlier run, if there is one.
    private func beginning(_ target: String?) throws -> Progress {
        let isOperations = self.arguments.has("--operations")
        var position = ExportPosition(project: self.project, isOperations: isOperations)
        guard let target else {
            return Progress(position, nil, positionPath: "")
        }
        let path = self.arguments["--resume"] ?? "\(target).position"
        if let known = try ExportPosition.read(path) {
            guard known.project == self.project, known.isOperations == isOperations else {
                throw UsageError(
                    "\(path) is of an export of the project \(known.project)"
                        + (known.isOperations ? " as operations" : "")
                        + "; delete it, or select another with --resume")
            }
            position = known
        }
        return Progress(
            position, try ExportFile(target, keeping: position.bytes), positionPath: path)
    }

    private func receive(_ now: Progress) throws -> LastingStream.End {
        let method = RPCMethod.profiles("ExportProject")
        let encoder = MessageEncoder(now: self.now)
        return try self.lasting(method, sendsMore: false, isFinite: true).run(
            request: {
                now.person = ExportedPerson()
                let token = now.position.token
                return try encoder.encode(
                    .object(of: [
                        ("project", .string(self.project)),
                        ("page_token", token.isEmpty ? nil : .string(token)),
                    ]), as: method.request)
            },
            position: { " behind \(now.position.people) profiles" },
            received: { _, message in
                let part = try method.decode(message)
                if now.position.lsn == 0 {
                    let lsn = part["lsn"]?.lsn ?? 0
                    guard lsn <= ExportPosition.lsnMax else { throw method.unexpectedFormat }
                    now.position.lsn = lsn
                }
                now.person.add(part)
                if let token = part["page_token"]?.text { try self.write(now, token) }
            })
    }

    /// Writes the person whose last part has come.
    private func write(_ progress: Progress, _ token: String) throws {
        let lines = self.lines(of: progress.person)
        if let file = progress.file {
            try file.write(lines)
            progress.position.bytes = file.bytes
        } else {
            self.terminal.say(lines)
        }
        progress.position.token = token
        progress.position.people += 1
        let now = self.terminal.nanoseconds()
        guard now >= progress.notedNanoseconds + Self.positionNanoseconds else { return }
        progress.notedNanoseconds = now
        try progress.note()
        self.terminal.progress("\(progress.position.people) profiles")
    }

    private func finish(_ progress: Progress) throws {
        if let file = progress.file {
            try file.complete()
            SmallFile.remove(progress.positionPath)
        }
        let (people, lsn) = (progress.position.people, progress.position.lsn)
        self.terminal.complain(
            "exported \(people) profiles; `profilectl watch --from \(lsn + 1) "
                + "--include-historical` shows what has changed since the start")
    }
}
