import ProfileClient

/// Formats changes and firings for people, each as one line.
package enum ChangeView {
    /// Widths of the columns, in characters: they are not known in advance, and longer cells push
    /// the rest of their line.
    private static let (lsnWidth, kindWidth, whoWidth) = (7, 20, 20)

    /// One line of `profilectl watch`.
    ///
    /// - Parameters:
    ///   - lsn: As received.
    ///   - change: A `Change` of the contract.
    package static func line(lsn: JSONValue?, _ change: JSONValue) -> String {
        let kind = Self.kind(change)
        return self.line([
            self.left(lsn.map { $0.text ?? $0.description } ?? "0", self.lsnWidth),
            self.time(change["received_at"]), self.left(kind, self.kindWidth),
            self.left(self.who(change), self.whoWidth), self.what(change, kind),
        ])
    }

    /// One line of `profilectl trigger follow`.
    ///
    /// - Parameter firing: A `WatchTriggersResponse` that is no heartbeat.
    package static func firing(_ firing: JSONValue) -> String {
        let event = firing["event"] ?? .null
        let attempt = firing["delivery_attempt"]?.integer ?? 1
        return self.line([
            firing["firing_id"]?.text ?? "", self.time(event["received_at"]),
            self.left(self.who(firing), self.whoWidth), self.event(event),
            attempt > 1 ? "(attempt \(attempt))" : "",
        ])
    }

    private static func line(_ cells: [String]) -> String {
        var line = TerminalText.safe(cells.joined(separator: "  "))
        while line.last == " " { line.removeLast() }
        return line + "\n"
    }

    private static func left(_ text: String, _ width: Int) -> String {
        TerminalText.padded(TerminalText.safe(text), to: width)
    }

    /// `CHANGE_KIND_EVENT_STORED` as `event_stored`, which --kind takes.
    private static func kind(_ change: JSONValue) -> String {
        guard let text = change["kind"]?.text, text.hasPrefix("CHANGE_KIND_") else {
            return change["kind"].map { "kind \($0)" } ?? "unspecified"
        }
        return text.dropFirst(12).lowercased()
    }

    /// To the millisecond, with all its digits, so that times are aligned.
    private static func time(_ time: JSONValue?) -> String {
        guard let text = time?.text, let microseconds = TimeText.parse(text) else {
            return self.left(time?.text ?? "-", 24)
        }
        let (seconds, rest) = TimeText.floorDivide(microseconds, by: 1_000_000)
        let digits = String(rest / 1_000)
        return String(TimeText.text(microseconds: seconds * 1_000_000).dropLast())
            + "." + String(repeating: "0", count: 3 - digits.count) + digits + "Z"
    }

    /// As WHO of other commands: the custom ID, or else the profile.
    private static func who(_ change: JSONValue) -> String {
        if let id = change["custom_id"]?.text, !id.isEmpty { return id }
        return "profile:\(change["profile_id"]?.text ?? "")"
    }

    private static func what(_ change: JSONValue, _ kind: String) -> String {
        let other = "profile:\(change["other_profile_id"]?.text ?? "")"
        var parts: [String] = []
        switch kind {
        case "profiles_merged": parts.append("with \(other)")
        case "profiles_unmerged": parts.append("restored \(other)")
        case "suppression_changed": parts.append(self.suppression(change))
        default: break
        }
        if let device = change["installation_id"]?.text, !device.isEmpty {
            parts.append("device:\(device)")
            if kind == "installation_moved", change["other_profile_id"] != nil {
                parts.append("from \(other)")
            }
        }
        if let event = change["event"] { parts.append(self.event(event)) }
        if let attributes = change["attributes"] { parts += self.attributes(attributes) }
        parts += (change["consent_entries"]?.items ?? []).map(self.consent)
        if change["historical"]?.isTrue == true { parts.append("(historical)") }
        return parts.filter { !$0.isEmpty }.joined(separator: " ")
    }

    /// Its name and what is known of it; when it happened, if that was not just before.
    private static func event(_ event: JSONValue) -> String {
        var parts = [event["name"]?.text ?? ""]
        parts += event["label"]?.text.map { ["\"\($0)\""] } ?? []
        parts += (event["attributes"]?.members ?? []).map {
            "\($0.name)=\(ProfileView.value($0.value))"
        }
        parts += (event["tags"]?.items ?? []).compactMap(\.text).map { "#\($0)" }
        let times = ["effective_time", "received_at"].map {
            event[$0]?.text.flatMap { TimeText.parse($0) }
        }
        if let happened = times[0], let received = times[1],
            received.subtractingReportingOverflow(happened).partialValue.magnitude >= 60_000_000
        {
            parts.append("(at \(TimeText.text(microseconds: happened)))")
        }
        return parts.joined(separator: " ")
    }

    private static func attributes(_ change: JSONValue) -> [String] {
        (change["native"]?.members ?? []).map { "\($0.name)=\($0.value.text ?? "")" }
            + (change["set"]?.members ?? []).map { "\($0.name)=\(ProfileView.value($0.value))" }
            + (change["deleted"]?.items ?? []).compactMap(\.text).map { "-\($0)" }
    }

    private static func consent(_ entry: JSONValue) -> String {
        let states = ["before", "after"].map {
            ProfileView.word(entry[$0], "SUBSCRIPTION_STATE_")
        }
        return "\(ProfileView.channel(entry)) \(states[0])->\(states[1]) by "
            + ProfileView.word(entry["source"], "CONSENT_SOURCE_")
    }

    private static func suppression(_ change: JSONValue) -> String {
        let channel = ProfileView.word(change["channel"], "CHANNEL_")
        let reasons = (change["suppression_reasons"]?.items ?? []).map {
            ProfileView.word($0, "SUPPRESSION_REASON_")
        }
        return reasons.isEmpty
            ? "\(channel) no longer suppressed"
            : "\(channel) suppressed: \(reasons.joined(separator: ", "))"
    }
}
