import ProfileClient
import Profiles

// Everything of one person.

extension ConsoleQueries {
    /// Most verdicts of one person: three channels with the 25 topics that each may have, and one
    /// for transactional messages each.
    private static let verdictsMax = 3 * 25 + 3 + 3
    /// Events whose times the charts show: as many as a profile keeps, unless its project says
    /// otherwise.
    private static let activityEventsMax = 1_000
    /// Calls that read them.
    private static let activityPagesMax = 20

    /// The profile with the source and age of its attributes, whether each message may be sent, and
    /// the state of the ledger.
    func profile() throws -> JSONValue {
        let identifier = try self.identifier()
        let found = try self.call(
            "GetProfile", [("identifier", identifier), ("metadata", .bool(true))])
        let ledger = try self.call("VerifyConsentLedger", [("identifier", identifier)])
        return .object(of: [
            ("profile", found["profile"]), ("redirected_from", found["redirected_from"]),
            ("lsn", found["lsn"]), ("ledger", ledger),
            ("verdicts", .array(try self.verdicts(found["profile"] ?? .null, identifier))),
        ])
    }

    private func verdicts(_ profile: JSONValue, _ identifier: JSONValue) throws -> [JSONValue] {
        let channels = ["CHANNEL_EMAIL", "CHANNEL_SMS", "CHANNEL_PUSH"]
        var asked = channels.flatMap {
            [($0, "", "MESSAGE_CLASS_MARKETING"), ($0, "", "MESSAGE_CLASS_TRANSACTIONAL")]
        }
        for item in profile["subscriptions"]?["items"]?.items ?? [] {
            guard let channel = item["channel"]?.text, let topic = item["topic"]?.text,
                !topic.isEmpty
            else { continue }
            asked.append((channel, topic, "MESSAGE_CLASS_MARKETING"))
        }
        return try asked.prefix(Self.verdictsMax).map { channel, topic, messageClass in
            let verdict = try self.call(
                "CheckSendable",
                [
                    ("identifier", identifier), ("channel", .string(channel)),
                    ("topic", .string(topic)), ("message_class", .string(messageClass)),
                ])
            return .object(of: [
                ("channel", .string(channel)), ("topic", .string(topic)),
                ("message_class", .string(messageClass)),
                ("sendable", verdict["sendable"] ?? .bool(false)), ("reason", verdict["reason"]),
            ])
        }
    }

    /// The times of the newest events by name, for the charts of the counters.
    ///
    /// A page of the service may have fewer events than asked for, so the pages are bounded too.
    func activity() throws -> JSONValue {
        var times: [String: [JSONValue]] = [:]
        var token: JSONValue?
        var count = 0
        for _ in 0 ..< Self.activityPagesMax where count < Self.activityEventsMax {
            let page = try self.call(
                "ListEvents",
                [
                    ("identifier", try self.identifier()), ("order", .string("NEWEST_FIRST")),
                    ("page_size", .number("250")), ("page_token", token),
                ])
            for event in page["events"]?.items ?? [] {
                guard let name = event["name"]?.text, let time = event["effective_time"] else {
                    continue
                }
                times[name, default: []].append(time)
                count += 1
            }
            token = page["next_page_token"]
            guard token != nil else { break }
        }
        let sorted = times.sorted { $0.key < $1.key }
        return .object(of: [
            ("times", .object(sorted.map { .init($0.key, .array($0.value)) }))
        ])
    }

    /// The merges into a person that can still be undone. The call before it is the check of the
    /// access: no RPC lists merges.
    func merges() throws -> JSONValue {
        let id = try self.request.required("profile_id")
        let found = try self.call(
            "GetProfile",
            [("identifier", try self.identifier()), ("read_mask", .string("profile_id"))])
        let merges = self.figures.merges(
            project: self.request.project, profileID: found["profile"]?["profile_id"]?.text ?? id)
        return .object(of: [("merges", .array(merges.map(Self.json)))])
    }

    private static func json(_ merge: MergeView) -> JSONValue {
        .object(of: [
            ("merge_id", .string(merge.mergeID)), ("profile_id", .string(merge.loserID)),
            ("custom_id", merge.customID.map { .string($0) }),
            ("merged_at", .string(TimeText.text(microseconds: merge.mergedAt))),
            ("undoable_until", .string(TimeText.text(microseconds: merge.undoableUntil))),
            ("events", .number("\(merge.events)")),
            ("installations", .array(merge.installations.map { .string($0) })),
            ("attributes", .array(merge.attributes.map { .string($0) })),
            ("lsn", .number("\(merge.lsn)")),
        ])
    }
}
