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

    /// Output is written in pieces of about this size, in bytes.
    private static let dumpBytesKept = 64 << 10

    func dump() throws -> Int32 {
        let directory = try OfflineDirectory(try self.positional(1, 1)[0])
        let store = try directory.read().store
        var lines = ""
        var undecoded = 0
        // The variable, which means a default, does not count: a dump that looks whole is whole.
        let project = self.arguments["--project"]
        let dump = Dump(
            of: store, project: project, withEvents: self.arguments.has("--events"),
            withLedger: self.arguments.has("--ledger"))
        guard let dump else {
            throw UsageError("--project \(project ?? ""): there is none in \(directory.path)")
        }
        dump.forEachProfile { dumped in
            guard self.terminal.outputFailure() == nil else { return false }
            guard let line = self.line(dumped) else {
                undecoded += 1
                return true
            }
            lines += line
            guard lines.utf8.count >= Self.dumpBytesKept else { return true }
            self.terminal.say(lines)
            lines = ""
            return true
        }
        self.terminal.say(lines)
        guard undecoded == 0 else {
            self.terminal.complain("\(undecoded) profiles cannot be decoded, and are missing")
            return ToolMain.ExitCode.dataRejected
        }
        return ToolMain.ExitCode.done
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
