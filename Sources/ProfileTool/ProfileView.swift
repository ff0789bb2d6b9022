import ProfileClient

/// Formats responses for people: profile, devices, attributes with their age, consent with its
/// source, counters, events.
package struct ProfileView {
    /// The time that ages are relative to, in microseconds since 1970.
    private let now: Int64

    package init(now: Int64) {
        self.now = now
    }

    /// - Parameters:
    ///   - response: A `GetProfileResponse`.
    ///   - events: A `ListEventsResponse`; `nil` if not requested.
    package func text(_ response: JSONValue, events: JSONValue?) -> String {
        let profile = response["profile"] ?? .null
        var text = self.head(profile, redirectedFrom: response["redirected_from"]?.text)
        text += self.section("Devices", (profile["installations"]?.items ?? []).map(self.device))
        text += self.section("Attributes", self.attributes(profile))
        text += self.section(
            "Subscriptions",
            (profile["subscriptions"]?["items"]?.items ?? []).map(self.subscription))
        text += self.section("Counters", (profile["event_counters"]?.items ?? []).map(self.counter))
        if let events {
            text += self.section("Last events", (events["events"]?.items ?? []).map(self.event))
        }
        return text
    }

    private func head(_ profile: JSONValue, redirectedFrom: String?) -> String {
        let customID = profile["custom_id"]?.text ?? ""
        let state = Self.word(profile["state"], "STATE_")
        let name = customID.isEmpty ? "no custom ID" : TerminalText.safe(customID)
        var rows = [
            [
                "profile",
                "\(profile["profile_id"]?.text ?? ""), revision "
                    + "\(profile["revision"]?.description ?? "0"), lsn "
                    + "\(profile["lsn"]?.description ?? "0")",
            ]
        ]
        rows.append([
            "times",
            "created \(self.age(profile["created_at"])), changed "
                + "\(self.age(profile["updated_at"])), seen \(self.age(profile["last_seen_at"]))",
        ])
        let aliases = (profile["aliases"]?.items ?? []).flatMap { $0.members.map { self.who($0) } }
        if !aliases.isEmpty { rows.append(["aliases", aliases.joined(separator: ", ")]) }
        if let redirectedFrom, !redirectedFrom.isEmpty {
            rows.append(["redirected from", TerminalText.safe(redirectedFrom)])
        }
        if let before = profile["events_truncated_before"] {
            rows.append([
                "events",
                "older events were dropped up to \(self.age(before)); the counters still include "
                    + "them",
            ])
        }
        return "\(name) (\(state))\n" + TerminalText.table(rows)
    }

    private func section(_ title: String, _ rows: [[String]]) -> String {
        rows.isEmpty ? "" : "\n\(title)\n" + TerminalText.table(rows)
    }

    private func device(_ device: JSONValue) -> [String] {
        [
            TerminalText.safe(device["installation_id"]?.text ?? ""),
            Self.word(device["platform"], "PLATFORM_"),
            "attached \(self.age(device["attached_at"])), seen \(self.age(device["last_seen_at"]))",
        ]
    }

    private func attributes(_ profile: JSONValue) -> [[String]] {
        let all =
            (profile["native"]?.members ?? []).map {
                ($0.name, TerminalText.safe($0.value.text ?? ""))
            }
            + (profile["attributes"]?.members ?? []).map { ($0.name, Self.value($0.value)) }
        return all.map { name, value in
            let metadata = profile["attribute_metadata"]?[name]
            return [
                name, value,
                metadata.map { self.age($0["effective_time"]) + self.origin($0["source"]) } ?? "",
            ]
        }
    }

    private func subscription(_ subscription: JSONValue) -> [String] {
        [
            Self.channel(subscription), Self.word(subscription["state"], "SUBSCRIPTION_STATE_"),
            "by \(Self.word(subscription["source"], "CONSENT_SOURCE_")), "
                + "\(self.age(subscription["effective_time"]))",
        ]
    }

    private func counter(_ counter: JSONValue) -> [String] {
        [
            counter["name"]?.text ?? "", counter["count"]?.description ?? "0",
            "last \(self.age(counter["last"])), first \(self.age(counter["first"]))",
        ]
    }

    /// One line of a list of profiles.
    func row(_ profile: JSONValue) -> [String] {
        let customID = profile["custom_id"]?.text ?? ""
        let events = (profile["event_counters"]?.items ?? []).reduce(0) {
            $0 &+ ($1["count"]?.integer ?? 0)
        }
        return [
            customID.isEmpty ? "-" : TerminalText.safe(customID),
            TerminalText.safe(profile["profile_id"]?.text ?? ""),
            "\(profile["installations"]?.items.count ?? 0)", "\(events)",
            self.age(profile["last_seen_at"]),
        ]
    }

    /// One line of an event list.
    package func event(_ event: JSONValue) -> [String] {
        let attributes = (event["attributes"]?.members ?? []).map {
            "\($0.name)=\(Self.value($0.value))"
        }
        let label = event["label"]?.text.map { ["\"\(TerminalText.safe($0))\""] } ?? []
        let tags = (event["tags"]?.items ?? []).compactMap(\.text).map {
            "#\(TerminalText.safe($0))"
        }
        let origin = self.origin(event["source"]).split(separator: ",").map {
            "(\($0.drop { $0 == " " }))"
        }
        return [
            self.age(event["effective_time"]), event["name"]?.text ?? "",
            (label + attributes + tags + origin).joined(separator: " "),
        ]
    }

    /// One line of the consent ledger.
    package func consent(_ entry: JSONValue) -> [String] {
        let before = Self.word(entry["before"], "SUBSCRIPTION_STATE_")
        let after = Self.word(entry["after"], "SUBSCRIPTION_STATE_")
        let evidence = (entry["evidence"]?.members ?? []).map {
            "\($0.name)=\(TerminalText.safe($0.value.text ?? ""))"
        }.joined(separator: " ")
        return [
            self.age(entry["effective_time"]), Self.channel(entry),
            entry["applied"]?.isTrue == true ? "\(before) -> \(after)" : "\(before), not applied",
            "by \(Self.word(entry["source"], "CONSENT_SOURCE_"))", evidence,
        ]
    }

    // MARK: Words

    func age(_ time: JSONValue?) -> String {
        guard let text = time?.text else { return "never" }
        // What is not a time is shown as it came, such as an invalid timestamp with its numbers.
        guard let microseconds = TimeText.parse(text) else { return TerminalText.safe(text) }
        return TimeText.age(of: microseconds, now: self.now)
    }

    private func origin(_ source: JSONValue?) -> String {
        let platform = source?["platform"].map { Self.word($0, "PLATFORM_") } ?? ""
        let name = TerminalText.safe(source?["name"]?.text ?? "")
        let words = [platform, name].filter { !$0.isEmpty && $0 != "unspecified" }
        return words.isEmpty ? "" : ", " + words.joined(separator: " ")
    }

    private func who(_ member: JSONValue.JSONMember) -> String {
        let prefix =
            ["profile_id": "profile", "custom_id": "custom", "installation_id": "device"][
                member.name] ?? member.name
        return "\(prefix):\(TerminalText.safe(member.value.text ?? ""))"
    }

    /// `CHANNEL_EMAIL` as `email`; absent: `unspecified`.
    static func word(_ value: JSONValue?, _ prefix: String) -> String {
        guard let text = value?.text, text.hasPrefix(prefix) else {
            return value.map { TerminalText.safe($0.text ?? $0.description) } ?? "unspecified"
        }
        return text.dropFirst(prefix.count).lowercased().split(separator: "_").joined(
            separator: " ")
    }

    /// `email`, or `email/offers`.
    static func channel(_ entry: JSONValue) -> String {
        let channel = self.word(entry["channel"], "CHANNEL_")
        guard let topic = entry["topic"]?.text, !topic.isEmpty else { return channel }
        return "\(channel)/\(TerminalText.safe(topic))"
    }

    /// A `profiles.v1.Value` in the form in which it would be typed.
    package static func value(_ value: JSONValue) -> String {
        guard let kind = value.members.first else { return "" }
        switch kind.name {
        case "list":
            return "["
                + (kind.value["items"]?.items ?? []).map { TerminalText.safe($0.text ?? "") }
                .joined(separator: ", ") + "]"
        case "object": return self.object(kind.value)
        case "objects":
            return "[" + (kind.value["items"]?.items ?? []).map(self.object).joined(separator: ", ")
                + "]"
        case "boolean": return kind.value.isTrue ? "true" : "false"
        default: return TerminalText.safe(kind.value.text ?? kind.value.description)
        }
    }

    private static func object(_ object: JSONValue) -> String {
        "{"
            + (object["fields"]?.members ?? []).map {
                "\(TerminalText.safe($0.name)): \(self.value($0.value))"
            }
            .joined(separator: ", ") + "}"
    }
}
