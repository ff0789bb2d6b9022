import ProfileClient

/// Formats a failure as one line: what is wrong, where, and what to do about it.
package enum FailureText {
    /// Advice by the contract's reason.
    private static let remedies: [String: String] = [
        "TIME_WINDOW": "correct --at or --ago, or send it with --historical",
        "PROFILE_NOT_FOUND":
            "check the id (custom IDs are compared byte for byte); name a device with device:ID, "
            + "a profile with profile:ID",
        "PROJECT_NOT_FOUND": "check --project",
        "REQUEST_ID_REUSED": "another message had this id: use another --request-id",
        "REVISION_MISMATCH": "read the profile again and decide again",
        "IDENTIFIER_ERASED":
            "the person was erased; the id can be used again when the block has expired",
        "PROFILE_ANONYMOUS": "give the custom ID too: addresses belong to identified people",
        "ATTRIBUTE_TYPE_MISMATCH": "the attribute is not a list: set it with NAME=[...] first",
        "LIMIT_EXCEEDED": "delete unused values with --delete",
        "LSN_NOT_REACHED": "try again in a moment",
        "USER_UNSUBSCRIBED":
            "only the person can undo that: --source user, or --source support with --reference",
        "TOKEN_INVALID": "request a new token",
        "TOKEN_EXPIRED": "request a new token",
        "BOTH_IDENTIFIED": "--allow-identified makes the custom ID of the first an alias",
        "MERGE_NOT_FOUND": "check the merge id and --project",
        "MERGE_EXPIRED": "merge ids are good for 30 days, once, and while nobody is erased",
        "LOG_UNAVAILABLE":
            "the server needs its operator: see its log; repeat the call with the same "
            + "--request-id to learn its outcome",
        "DISK_FULL": "the server's disk is full: its operator must free space",
        "REPLAYING": "the server is starting: try again in a moment",
        "DRAINING": "the server is stopping: try again in a moment",
        "POSITION_GONE":
            "changes from there on are missing: read again what you need, and watch from now (no "
            + "--from) or from the earliest lsn",
        "TRIGGER_NOT_FOUND": "check the id (`profilectl trigger list`) and --project",
        "FILTER_INVALID": "docs/filters.md has the language",
        "RATE_EXCEEDED": "send less, or wait",
        "MEMORY_EXHAUSTED": "the server is full: its operator must give it more memory",
    ]

    package static func line(_ failure: RPCFailure) -> String {
        self.line(failure, field: { $0 })
    }

    /// The same for one operation of a batch: without its index, which means nothing to those who
    /// know its line.
    package static func ofOperation(_ failure: RPCFailure) -> String {
        self.line(failure) { field in
            guard field.hasPrefix("operations["), let end = field.firstIndex(of: "]") else {
                return field
            }
            return String(field[end...].dropFirst().drop { $0 == "." })
        }
    }

    private static func line(_ failure: RPCFailure, field: (String) -> String) -> String {
        if !failure.hasResponse { return self.withoutResponse(failure) }
        var what = failure.violations.map { violation in
            let name = field(violation.field)
            return name.isEmpty ? violation.description : "\(name): \(violation.description)"
        }.joined(separator: "; ")
        if what.isEmpty { what = failure.message.isEmpty ? "rejected" : failure.message }
        let reason = failure.reason.isEmpty ? RPCFailure.name(of: failure.code) : failure.reason
        let facts = failure.metadata.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
            .joined(separator: ", ")
        let remedy = self.remedies[failure.reason] ?? self.remedy(code: failure.code)
        return TerminalText.safe(
            "\(what) (\(reason)\(facts.isEmpty ? "" : ", \(facts)"))"
                + (remedy.map { "; \($0)" } ?? ""))
    }

    private static func withoutResponse(_ failure: RPCFailure) -> String {
        switch failure.code {
        case RPCFailure.unavailable:
            "\(failure.message); is profiled running there? --address selects another server"
        case RPCFailure.deadlineExceeded: "\(failure.message); --timeout sets a longer limit"
        default: failure.message
        }
    }

    private static func remedy(code: Int32) -> String? {
        switch code {
        case RPCFailure.unimplemented: "this server does not support that yet"
        case RPCFailure.deadlineExceeded: "--timeout sets a longer limit"
        case 7, 16: "check --key-file and --project"
        default: nil
        }
    }

    /// 1: rejected; 3: no response, or one that leaves the outcome unknown; 7: a position that is
    /// gone.
    package static func exitCode(_ failure: RPCFailure) -> Int32 {
        if failure.reason == "POSITION_GONE" { return ToolMain.ExitCode.positionGone }
        let isSilent =
            failure.code == RPCFailure.unavailable || failure.code == RPCFailure.deadlineExceeded
        return !failure.hasResponse || isSilent ? 3 : 1
    }
}
