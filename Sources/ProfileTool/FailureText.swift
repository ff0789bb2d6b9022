import ProfileClient

/// A failure as one line: what is wrong, where, and what to do about it.
package enum FailureText {
    /// What helps, by the reason of the contract.
    private static let remedies: [String: String] = [
        "TIME_WINDOW": "correct --at or --ago, or send it with --historical",
        "PROFILE_NOT_FOUND":
            "check the id (custom IDs are compared byte for byte); a device is named device:ID, a "
            + "profile profile:ID",
        "PROJECT_NOT_FOUND": "check --project",
        "REQUEST_ID_REUSED": "another message had this id: give another --request-id",
        "REVISION_MISMATCH": "read the profile again and decide anew",
        "IDENTIFIER_ERASED":
            "the person was erased; the id can be used again when the block has ended",
        "PROFILE_ANONYMOUS": "give the custom ID too: addresses belong to known people",
        "ATTRIBUTE_TYPE_MISMATCH": "the attribute is no list: set it with NAME=[...] first",
        "LIMIT_EXCEEDED": "delete what is not needed with --delete",
        "LSN_NOT_REACHED": "ask again in a moment",
        "USER_UNSUBSCRIBED":
            "only the person can take that back: --source user, or --source support with "
            + "--reference",
        "TOKEN_INVALID": "ask for a new token",
        "TOKEN_EXPIRED": "ask for a new token",
        "LOG_UNAVAILABLE":
            "the server needs its operator: see its log; the same --request-id settles what became "
            + "of the call",
        "DISK_FULL": "the server's disk is full: its operator must make room",
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
        if what.isEmpty { what = failure.message.isEmpty ? "refused" : failure.message }
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
            "\(failure.message); is profiled running there? --address names another place"
        case RPCFailure.deadlineExceeded: "\(failure.message); --timeout gives it longer"
        default: failure.message
        }
    }

    private static func remedy(code: Int32) -> String? {
        switch code {
        case RPCFailure.unimplemented: "this server cannot do that yet"
        case RPCFailure.deadlineExceeded: "--timeout gives it longer"
        case 7, 16: "check --key and --project"
        default: nil
        }
    }

    /// 1 refused, 3 no answer, or none that says what became of the call.
    package static func exitCode(_ failure: RPCFailure) -> Int32 {
        let isSilent =
            failure.code == RPCFailure.unavailable || failure.code == RPCFailure.deadlineExceeded
        return !failure.hasResponse || isSilent ? 3 : 1
    }
}

/// What other people typed, made safe for a terminal.
package enum TerminalText {
    /// Control characters, which could move the cursor or fake lines, are shown as their number.
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

    /// C0, C1, and the marks that turn the direction of writing.
    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || (0x7F ... 0x9F).contains(scalar.value)
            || (0x202A ... 0x202E).contains(scalar.value)
            || (0x2066 ... 0x2069).contains(scalar.value)
    }

    /// Lines of columns, each as wide as its widest cell; the last one is left as it is.
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
