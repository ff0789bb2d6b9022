import ProfileClient

/// Formats projects for people; a project is a `Project` of the contract.
package struct ProjectView {
    package static let head = ["PROJECT", "STATE", "CREATED", "EVENTS KEPT", "OPTIONS"]

    /// The time that ages are relative to, in microseconds since 1970.
    private let now: Int64

    package init(now: Int64) {
        self.now = now
    }

    /// One row of `profilectl project list`.
    package func row(_ project: JSONValue) -> [String] {
        let options = project["options"] ?? .null
        return [
            project["project"]?.text ?? "", self.state(project),
            self.age(project["created_at"], absent: "-"),
            "\(Self.number(options, "event_retention_days")) d, "
                + "\(Self.number(options, "events_per_profile_max"))",
            self.switches(options),
        ]
    }

    /// What is not as by default among the options without a number.
    private func switches(_ options: JSONValue) -> String {
        var parts: [String] = []
        if options["merge_policy"]?.text == "MERGE_POLICY_LATEST_WINS" {
            parts.append("latest_wins")
        }
        let channels = self.channels(options)
        if !channels.isEmpty { parts.append("double_opt_in=\(channels)") }
        for name in ["topic_default_unsubscribed", "reset_consent_on_address_change"]
        where options[name]?.isTrue == true {
            parts.append(name)
        }
        return parts.isEmpty ? "-" : parts.joined(separator: " ")
    }

    private func state(_ project: JSONValue) -> String {
        guard let text = project["delete_due"]?.text, let due = TimeText.parse(text) else {
            return "live"
        }
        return due <= self.now ? "deleted" : "deleted, goes \(TimeText.age(of: due, now: self.now))"
    }

    /// `profilectl project get`.
    package func text(_ project: JSONValue) -> String {
        let limits = (project["limits"]?.members ?? []).map { [$0.name, $0.value.description] }
            .sorted { $0[0] < $1[0] }
        let name = TerminalText.safe(project["project"]?.text ?? "")
        return "\(name) (\(self.state(project)))\n"
            + TerminalText.table([
                ["created", self.age(project["created_at"], absent: "before it was recorded")],
                ["revision", Self.number(project, "revision")],
            ]) + "\nOptions\n" + self.options(project) + "\nLimits\n"
            + TerminalText.table(limits)
    }

    /// The options of a project, one a line.
    package func options(_ project: JSONValue) -> String {
        let options = project["options"] ?? .null
        let policy = options["merge_policy"]?.text ?? ""
        let channels = self.channels(options)
        return TerminalText.table([
            [
                "merge_policy",
                policy.hasPrefix("MERGE_POLICY_") ? policy.dropFirst(13).lowercased() : policy,
            ],
            ["double_opt_in", channels.isEmpty ? "none" : channels],
            ["topic_default_unsubscribed", Self.flag(options, "topic_default_unsubscribed")],
            ["late_window_seconds", Self.number(options, "late_window_seconds")],
            ["event_retention_days", Self.number(options, "event_retention_days")],
            ["events_per_profile_max", Self.number(options, "events_per_profile_max")],
            [
                "reset_consent_on_address_change",
                Self.flag(options, "reset_consent_on_address_change"),
            ],
        ])
    }

    /// `profilectl project stats`.
    ///
    /// - Parameter statistics: A `GetStatsResponse`.
    package static func statistics(_ statistics: JSONValue) -> String {
        func rows(_ names: [String]) -> [[String]] {
            names.map { [$0, self.number(statistics, $0)] }
        }
        return "Holds\n"
            + TerminalText.table(
                rows(["profiles", "identified", "events", "bytes", "keys", "lsn"]))
            + "\nItems since the server started\n"
            + TerminalText.table(rows(["received", "stored", "duplicate", "stale", "rejected"]))
    }

    // MARK: Parts

    private func channels(_ options: JSONValue) -> String {
        (options["double_opt_in"]?.items ?? []).compactMap(\.text).map {
            $0.hasPrefix("CHANNEL_") ? $0.dropFirst(8).lowercased() : $0
        }.joined(separator: ",")
    }

    private func age(_ time: JSONValue?, absent: String) -> String {
        guard let text = time?.text else { return absent }
        return TimeText.parse(text).map { TimeText.age(of: $0, now: self.now) } ?? text
    }

    /// Absent members are 0: responses leave them out.
    private static func number(_ object: JSONValue, _ name: String) -> String {
        object[name]?.description ?? "0"
    }

    private static func flag(_ object: JSONValue, _ name: String) -> String {
        object[name]?.isTrue == true ? "true" : "false"
    }
}
