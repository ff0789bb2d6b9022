import ProfileClient
import ProfileOffline

/// The commands that read a directory which no server has open.
extension Tool {
    /// Rejects `--project` where all projects are read.
    private func takesNoProject() throws(UsageError) {
        guard !self.arguments.has("--project") else {
            throw UsageError(
                "\(self.arguments.command.name) reads all projects: it takes no --project")
        }
    }

    func verify() throws -> Int32 {
        try self.takesNoProject()
        let directory = try OfflineDirectory(try self.positional(1, 1)[0])
        let verdict = try Verification.run(directory, report: self.say)
        let shown = VerificationText.verdict(verdict, directory.path)
        self.terminal.say(self.wantsJSON ? "\(shown.json)\n" : shown.text + "\n")
        return verdict.isGood ? ToolMain.ExitCode.done : ToolMain.ExitCode.dataRejected
    }

    func restore() throws -> Int32 {
        try self.takesNoProject()
        let words = try self.positional(2, 2)
        let summary = try Restore.run(try OfflineDirectory(words[0]), to: words[1]) { finding in
            // A restore shows only the problems of the backup.
            if case .damage = finding { self.say(finding) }
        }
        let state = summary.state
        let response = JSONValue.object(of: [
            ("restored", .string(words[1])), ("files", .number("\(summary.files)")),
            ("bytes", .number("\(summary.bytes)")),
            ("profiles", .number("\(state.profiles)")), ("lsn", .number("\(state.lsn)")),
            ("digest", .string(VerificationText.digest(state))),
        ])
        self.show(response) {
            """
            restored: \(state.profiles) profiles at lsn \(state.lsn), \(summary.files) files, \
            \(summary.bytes) bytes, \
            digest \(VerificationText.digest(state))
            Start the server on it: profiled --data-dir \(TerminalText.safe(words[1]))

            """
        }
        return ToolMain.ExitCode.done
    }

    private func say(_ finding: Verification.Finding) {
        let shown = VerificationText.finding(finding)
        self.terminal.say(self.wantsJSON ? "\(shown.json)\n" : shown.text + "\n")
    }

    func dump() throws -> Int32 {
        let directory = try OfflineDirectory(try self.positional(1, 1)[0])
        let store = try directory.read().store
        // The variable, which means a default, does not count: a dump that looks whole is whole.
        let project = self.arguments["--project"]
        let dump = Dump(
            of: store, project: project, withEvents: self.arguments.has("--events"),
            withLedger: self.arguments.has("--ledger"))
        guard let dump else {
            throw UsageError("--project \(project ?? ""): there is none in \(directory.path)")
        }
        var lines = DumpedLines(terminal: self.terminal)
        dump.forEachProfile { lines.add(self.line($0)) }
        if self.arguments.has("--triggers") {
            dump.forEachTrigger { lines.add(Self.line(project: $0, $1)) }
        }
        lines.flush()
        guard lines.undecoded == 0 else {
            self.terminal.complain("\(lines.undecoded) lines cannot be decoded, and are missing")
            return ToolMain.ExitCode.dataRejected
        }
        return ToolMain.ExitCode.done
    }

    /// One trigger or firing as a line of JSON; `nil` if its message cannot be decoded.
    private static func line(project: String, _ dumped: DumpedTrigger) -> String? {
        var members = [JSONValue.JSONMember("project", .string(project))]
        switch dumped {
        case .trigger(let message):
            let list = Self.json(message, .profiles("ListTriggers"))?.first?.value
            guard let trigger = list?.items.first else { return nil }
            members.append(.init("trigger", trigger))
        case .firing(let firing):
            let list = Self.json(firing.event, .profiles("ListEvents"))?.first?.value
            guard let event = list?.items.first else { return nil }
            // The names and the order of a WatchTriggersResponse.
            let shown = JSONValue.object(of: [
                ("lsn", .number("\(firing.lsn)")), ("trigger_id", .string(firing.triggerID)),
                ("profile_id", .string(firing.profileID)), ("event", event),
                ("firing_id", .string(firing.firingID)),
            ])
            members.append(.init("firing", shown))
            members.append(.init("state", .string(firing.isPending ? "pending" : "waiting")))
            members.append(.init("due_at", .string(TimeText.text(microseconds: firing.dueAt))))
        }
        return "\(JSONValue.object(members))\n"
    }

    /// One profile as a line of JSON; `nil` if one of its messages cannot be decoded.
    private func line(_ dumped: DumpedProfile) -> String? {
        guard let profile = Self.json(dumped.profile, .profiles("GetProfile")) else { return nil }
        var members = [JSONValue.JSONMember("project", .string(dumped.project))] + profile
        if self.arguments.has("--events") {
            guard let events = Self.json(dumped.events, .profiles("ListEvents")) else { return nil }
            members += Self.list("events", in: events, as: "events")
        }
        if self.arguments.has("--ledger") {
            guard let ledger = Self.json(dumped.ledger, .profiles("ListConsentHistory")) else {
                return nil
            }
            members += Self.list("entries", in: ledger, as: "consent")
        }
        return "\(JSONValue.object(members))\n"
    }

    private static func json(_ message: UnsafeRawBufferPointer, _ method: RPCMethod)
        -> [JSONValue.JSONMember]?
    {
        MessageJSON.decode(message, as: method.response)?.members
    }

    /// One list of a response, even if empty, under its name in a dump.
    private static func list(_ name: String, in members: [JSONValue.JSONMember], as shown: String)
        -> [JSONValue.JSONMember]
    {
        [.init(shown, members.first { $0.name == name }?.value ?? .array([]))]
    }
}

/// The lines of a dump, written in pieces.
private struct DumpedLines {
    /// Of a piece, about, in bytes.
    private static let bytesKept = 64 << 10

    let terminal: ToolTerminal
    /// Lines that could not be made.
    private(set) var undecoded = 0
    private var text = ""

    init(terminal: ToolTerminal) {
        self.terminal = terminal
    }

    /// - Returns: Whether more is wanted.
    mutating func add(_ line: String?) -> Bool {
        guard self.terminal.outputFailure() == nil else { return false }
        if let line { self.text += line } else { self.undecoded += 1 }
        if self.text.utf8.count >= Self.bytesKept { self.flush() }
        return true
    }

    mutating func flush() {
        self.terminal.say(self.text)
        self.text = ""
    }
}
