import ProfileClient
import ProfileOffline

/// The commands that read a directory which no server has open.
extension Tool {
    func verify() throws -> Int32 {
        let directory = try OfflineDirectory(try self.positional(1, 1)[0])
        let verdict = try Verification.run(directory, report: self.say)
        let shown = VerificationText.verdict(verdict, directory.path)
        self.terminal.say(self.wantsJSON ? "\(shown.json)\n" : shown.text + "\n")
        return verdict.isGood ? ToolMain.ExitCode.done : ToolMain.ExitCode.dataRejected
    }

    func restore() throws -> Int32 {
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
        let (withEvents, withLedger) = (
            self.arguments.has("--events"), self.arguments.has("--ledger")
        )
        var lines = ""
        Dump(of: store, withEvents: withEvents, withLedger: withLedger).forEachProfile { dumped in
            var members = Self.json(dumped.profile, .profiles("GetProfile"))
            if withEvents {
                members += Self.list(
                    "events", in: Self.json(dumped.events, .profiles("ListEvents")), as: "events")
            }
            if withLedger {
                members += Self.list(
                    "entries", in: Self.json(dumped.ledger, .profiles("ListConsentHistory")),
                    as: "consent")
            }
            lines += "\(JSONValue.object(members))\n"
            guard lines.utf8.count >= Self.dumpBytesKept else { return }
            self.terminal.say(lines)
            lines = ""
        }
        self.terminal.say(lines)
        return ToolMain.ExitCode.done
    }

    private static func json(_ message: UnsafeRawBufferPointer, _ method: RPCMethod) -> [JSONValue
        .JSONMember]
    {
        guard let json = MessageJSON.decode(message, as: method.response) else {
            preconditionFailure("a message encoded by this process must decode")
        }
        return json.members
    }

    /// One list of a response, even if empty, under its name in a dump.
    private static func list(_ name: String, in members: [JSONValue.JSONMember], as shown: String)
        -> [JSONValue.JSONMember]
    {
        [.init(shown, members.first { $0.name == name }?.value ?? .array([]))]
    }
}
