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
        "LOG_UNAVAILABLE":
            "the server needs its operator: see its log; repeat the call with the same "
            + "--request-id to learn its outcome",
        "DISK_FULL": "the server's disk is full: its operator must free space",
        "REPLAYING": "the server is starting: try again in a moment",
        "DRAINING": "the server is stopping: try again in a moment",
        "RATE_EXCEEDED": "send less, or wait",
        "MEMORY_EXHAUSTED": "the server is full: its operator must give it more memory",
    ]

    package static func line(_ failure: RPCFailure) -> String {
        if !failure.hasResponse { return self.withoutResponse(failure) }
        var what = failure.violations.map {
            $0.field.isEmpty ? $0.description : "\($0.field): \($0.description)"
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
        case 7, 16: "check --key and --project"
        default: nil
        }
    }

    /// 1: rejected; 3: no response, or one that leaves the outcome unknown.
    package static func exitCode(_ failure: RPCFailure) -> Int32 {
        let isSilent =
            failure.code == RPCFailure.unavailable || failure.code == RPCFailure.deadlineExceeded
        return !failure.hasResponse || isSilent ? 3 : 1
    }
}

/// Makes untrusted text safe for a terminal.
package enum TerminalText {
    /// Replaces control characters, which could move the cursor or fake lines, by their number.
    package static func safe(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: self.isControl) else { return text }
        var shown = ""
        for scalar in text.unicodeScalars {
            if self.isControl(scalar) {
                shown += "\\u{\(String(scalar.value, radix: 16))}"
            } else {
                shown.unicodeScalars.append(scalar)
            }
        }
        return shown
    }

    /// C0, C1 and bidirectional control characters.
    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || (0x7F ... 0x9F).contains(scalar.value)
            || (0x202A ... 0x202E).contains(scalar.value)
            || (0x2066 ... 0x2069).contains(scalar.value)
    }

    /// Formats rows as columns, each as wide as its widest cell; the last column is not padded.
    package static func table(_ rows: [[String]], indent: String = "  ") -> String {
        var widths: [Int] = []
        for row in rows {
            for (index, cell) in row.enumerated() {
                if index == widths.count { widths.append(0) }
                widths[index] = max(widths[index], cell.count)
            }
        }
        return rows.map { row in
            var line = indent
            for (index, cell) in row.enumerated() {
                line += index == row.count - 1 ? cell : ToolCommand.column(cell, widths[index] + 2)
            }
            while line.last == " " { line.removeLast() }
            return line + "\n"
        }.joined()
    }
}
