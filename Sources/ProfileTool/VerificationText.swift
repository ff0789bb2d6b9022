import ProfileClient
import ProfileOffline

/// Formats the findings of a verification, as text and as JSON.
enum VerificationText {
    static func finding(_ finding: Verification.Finding) -> (text: String, json: JSONValue) {
        switch finding {
        case .file(let name, let bytes, let found): self.file(name, bytes, found)
        case .feedSegment(let segment): self.feedSegment(segment)
        case .note(let found):
            ("note: \(TerminalText.safe(found))", .object(of: [("note", .string(found))]))
        case .replay(let state): self.replay(state)
        case .damage(let found):
            ("DAMAGED: \(TerminalText.safe(found))", .object(of: [("damage", .string(found))]))
        }
    }

    private static func file(_ name: String, _ bytes: Int, _ found: Verification.FileFinding) -> (
        String, JSONValue
    ) {
        var members: [(String, JSONValue?)] = [
            ("file", .string(name)), ("bytes", .number("\(bytes)")),
        ]
        let text: String
        switch found {
        case .segment(let segment):
            members += [
                ("kind", .string("segment")), ("segment", .number("\(segment.number)")),
                ("frames", .number("\(segment.frames)")),
                ("first_lsn", .number("\(segment.firstLSN)")),
                ("next_lsn", .number("\(segment.nextLSN)")),
                ("used_bytes", .number("\(segment.usedBytes)")),
                ("sealed", .bool(segment.endsWithSeal)),
                ("tail_bytes", .number("\(segment.tailBytes)")),
            ]
            let lsns =
                segment.nextLSN > segment.firstLSN
                ? "lsn \(segment.firstLSN) to \(segment.nextLSN - 1)"
                : "no records after lsn \(segment.firstLSN == 0 ? 0 : segment.firstLSN - 1)"
            text =
                "segment \(segment.number): \(segment.frames) frames, \(lsns), "
                + "\(segment.usedBytes) of \(bytes) bytes used"
                + (segment.endsWithSeal ? ", sealed" : "")
                + (segment.tailBytes > 0
                    ? ", then \(segment.tailBytes) bytes that are not a frame" : "")
        case .snapshot(let snapshot):
            members += [
                ("kind", .string("snapshot")), ("lsn", .number("\(snapshot.position.lsn)")),
                ("blocks", .number("\(snapshot.blocks)")),
            ]
            text =
                "snapshot of lsn \(snapshot.position.lsn): \(snapshot.blocks) blocks, "
                + "\(bytes) bytes"
        case .tornTail:
            members.append(("kind", .string("torn_tail")))
            text = "a torn tail that a start has set aside: \(bytes) bytes, never acknowledged"
        case .temporary:
            members.append(("kind", .string("temporary")))
            text = "unfinished: \(bytes) bytes; the next start removes it"
        case .lock:
            members.append(("kind", .string("lock")))
            text = "the lock file"
        case .logEnd:
            members.append(("kind", .string("log_end")))
            text = "notes how far the log had come"
        case .feed:
            members.append(("kind", .string("feed")))
            text = "the change feed, derived from the log: what is wrong with it is no damage"
        case .other:
            members.append(("kind", .string("other")))
            text = "not a file of this program; ignored"
        }
        return ("\(TerminalText.safe(name))  \(text)", .object(of: members))
    }

    private static func feedSegment(_ segment: Verification.FeedFinding) -> (String, JSONValue) {
        let name = "feed/\(segment.name)"
        let lsns =
            segment.throughLSN >= segment.firstLSN
            ? "lsn \(segment.firstLSN) to \(segment.throughLSN)"
            : "nothing from lsn \(segment.firstLSN) on"
        var text =
            "\(name)  changes: \(segment.blocks) blocks, \(segment.frames) frames, \(lsns), "
            + "\(segment.bytes) bytes"
        if let note = segment.note {
            text += "\n  note: \(TerminalText.safe(note)); changes begin behind it"
        }
        return (
            text,
            .object(of: [
                ("file", .string(name)), ("bytes", .number("\(segment.bytes)")),
                ("kind", .string("feed_segment")), ("blocks", .number("\(segment.blocks)")),
                ("frames", .number("\(segment.frames)")),
                ("first_lsn", .number("\(segment.firstLSN)")),
                ("next_lsn", .number("\(segment.throughLSN + 1)")),
                ("note", segment.note.map(JSONValue.string)),
            ])
        )
    }

    private static func replay(_ state: Verification.Replay) -> (String, JSONValue) {
        var text =
            "from \(state.snapshot ?? "the first record"), \(state.frames) frames: "
            + "\(state.profiles) profiles at lsn \(state.lsn), "
            + "digest \(self.digest(state))"
        if let torn = state.tornTail {
            text +=
                "\n  a torn tail of \(torn.bytes) bytes at byte \(torn.offsetBytes) of segment "
                + "\(torn.segment): "
                + "never acknowledged, not damage; the next start sets it aside"
        }
        return (
            text,
            .object(of: [
                ("from", .string(state.snapshot ?? "")), ("frames", .number("\(state.frames)")),
                ("operations", .number("\(state.operations)")),
                ("profiles", .number("\(state.profiles)")), ("lsn", .number("\(state.lsn)")),
                ("digest", .string(self.digest(state))),
                ("torn_tail_bytes", state.tornTail.map { .number("\($0.bytes)") }),
            ])
        )
    }

    static func verdict(_ verdict: Verification.Verdict, _ path: String) -> (
        text: String, json: JSONValue
    ) {
        let json = JSONValue.object(of: [
            ("verdict", .string(verdict.isGood ? "good" : "damaged")),
            ("files", .number("\(verdict.files)")),
            ("bytes", .number("\(verdict.bytes)")),
            ("damages", .number("\(verdict.damages)")), ("notes", .number("\(verdict.notes)")),
            ("lsn", verdict.state.map { .number("\($0.lsn)") }),
            ("digest", verdict.state.map { .string(self.digest($0)) }),
        ])
        guard verdict.isGood, let state = verdict.state else {
            let advice =
                "keep \(TerminalText.safe(path)) as it is and restore a backup (docs/operations.md)"
            return ("damaged: \(verdict.damages) findings; \(advice)", json)
        }
        return (
            "good: \(verdict.files) files, \(verdict.bytes) bytes, \(state.profiles) profiles at "
                + "lsn \(state.lsn)",
            json
        )
    }

    /// 16 hexadecimal digits.
    static func digest(_ state: Verification.Replay) -> String {
        let digits = String(state.digest, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
