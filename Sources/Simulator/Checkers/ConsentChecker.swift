import ProfileClient

/// Once somebody's opt-out was acknowledged, nobody is shown as subscribed again unless a person's
/// own opt-in was sent since: not by a machine, an import, a merge, a restart or a late
/// confirmation. And the ledger holds: it is valid, and each acknowledged entry stays in it.
package final class ConsentChecker: Checker {
    package let name = "consent"

    private struct Key: Hashable {
        var family: PersonKey
        var profile: String
        var channel: String
        var topic: String
    }

    /// Opt-outs that were acknowledged, and nothing since that may undo them.
    private var optedOut: Set<Key> = []
    /// Those that an open call may undo, by operation.
    private var inDoubt: [Int: Set<Key>] = [:]
    /// What a token confirms: the key that was asked for.
    private var asked: [String: Key] = [:]
    /// Hashes of acknowledged entries of a person's own ledger, with the times of their responses.
    private var entries: [PersonKey: [(hash: String, acknowledgedAt: Int)]] = [:]
    private var ledgerCounts: [PersonKey: UInt64] = [:]

    package init() {}

    package func observe(_ event: HistoryEvent) throws(Violation) {
        let operation = event.operation
        switch operation.purpose {
        case .consent(let family): try self.change(event, family)
        case .readConsent(let family):
            if case .responded(let response, _) = event.kind {
                try self.look(response, operation, family)
                try self.lookAtLedger(response, operation, family)
            }
        default: break
        }
    }

    // MARK: Changes

    private func change(_ event: HistoryEvent, _ family: PersonKey) throws(Violation) {
        let operation = event.operation
        switch event.kind {
        case .invoked:
            let undone = self.optedOut.filter {
                $0.family == family && self.mayUndo(operation, $0)
            }
            self.optedOut.subtract(undone)
            self.inDoubt[operation.number] = undone
        case .responded(let response, _):
            try self.look(response, operation, family)
            self.noteOptOuts(response, operation, family)
            self.noteTokens(response, operation, family)
        case .ended(let outcome):
            let undone = self.inDoubt.removeValue(forKey: operation.number) ?? []
            if case .rejected = outcome { self.optedOut.formUnion(undone) }
            guard outcome == .ok, operation.request["identifier"]?["custom_id"] != nil else {
                return
            }
            for entry in operation.response?["entries"]?.items ?? [] {
                guard let hash = entry["hash"]?.text else { continue }
                self.entries[family, default: []].append((hash, event.time))
            }
        case .lost: break
        }
    }

    /// What this call has opted out of. What a profile shows besides may be older than an opt-in on
    /// another profile of the family, to which it yields when the two are merged.
    private func noteOptOuts(
        _ response: JSONValue, _ operation: Operation, _ family: PersonKey
    ) {
        let changes = operation.request["changes"]?.items ?? []
        for item in response["subscriptions"]?["items"]?.items ?? []
        where item["state"]?.text == "SUBSCRIPTION_STATE_UNSUBSCRIBED" {
            let key = Key(
                family: family, profile: response["profile_id"]?.text ?? "",
                channel: item["channel"]?.text ?? "", topic: item["topic"]?.text ?? "")
            let isOfThisCall = changes.contains { change in
                key.channel == "CHANNEL_" + (change["channel"]?.text ?? "").uppercased()
                    && key.topic == change["topic"]?.text ?? ""
                    && change["state"]?.text == "unsubscribed"
            }
            if isOfThisCall { self.optedOut.insert(key) }
        }
    }

    private func noteTokens(
        _ response: JSONValue, _ operation: Operation, _ family: PersonKey
    ) {
        let changes = operation.request["changes"]?.items ?? []
        for (change, result) in zip(changes, response["results"]?.items ?? []) {
            guard let token = result["confirmation_token"]?.text, !token.isEmpty else { continue }
            self.asked[token] = Key(
                family: family, profile: response["profile_id"]?.text ?? "",
                channel: "CHANNEL_" + (change["channel"]?.text ?? "").uppercased(),
                topic: change["topic"]?.text ?? "")
        }
    }

    /// Whether a call may subscribe, or unset, what was opted out: an act of the person, or of
    /// support on the person's word. A confirmation is one on another profile only, which shows
    /// once the two are merged: what it confirms was asked for before, and an opt-out on the same
    /// profile since then ends it.
    private func mayUndo(_ operation: Operation, _ key: Key) -> Bool {
        if operation.method == "ConfirmSubscription" {
            guard let asked = self.asked[operation.request["token"]?.text ?? ""] else {
                return false
            }
            return asked.channel == key.channel && asked.topic == key.topic
                && asked.profile != key.profile
        }
        guard operation.method == "UpdateSubscription",
            operation.request["source"]?.text != "api"
        else { return false }
        return (operation.request["changes"]?.items ?? []).contains { change in
            let channel = change["channel"]?.text ?? ""
            return key.channel == "CHANNEL_" + channel.uppercased()
                && key.topic == change["topic"]?.text ?? ""
                && change["state"]?.text != "unsubscribed"
        }
    }

    // MARK: What is shown

    private func look(
        _ response: JSONValue, _ operation: Operation, _ family: PersonKey
    ) throws(Violation) {
        // The profile that responds, and the one that was asked for, if that was merged away.
        var profiles: [String] = []
        let profile = response["profile"] ?? response
        for id in [profile["profile_id"], operation.request["identifier"]?["profile_id"]] {
            if let text = id?.text, !profiles.contains(text) { profiles.append(text) }
        }
        for item in profile["subscriptions"]?["items"]?.items ?? [] {
            let state = item["state"]?.text ?? ""
            for id in profiles {
                let key = Key(
                    family: family, profile: id, channel: item["channel"]?.text ?? "",
                    topic: item["topic"]?.text ?? "")
                if state == "SUBSCRIPTION_STATE_SUBSCRIBED", self.optedOut.contains(key) {
                    throw Violation(
                        self.name,
                        "\(family) (\(id)) has opted out of \(key.channel) "
                            + "\(key.topic) and is subscribed again in \(operation.method) "
                            + "\(operation.number)")
                }
            }
        }
    }

    private func lookAtLedger(
        _ response: JSONValue, _ operation: Operation, _ family: PersonKey
    ) throws(Violation) {
        switch operation.method {
        case "VerifyConsentLedger":
            let count = response["entries"].count
            guard response["valid"]?.isTrue == true, count >= self.ledgerCounts[family] ?? 0 else {
                throw Violation(
                    self.name,
                    "the ledger of \(family) is \(response), it had "
                        + "\(self.ledgerCounts[family] ?? 0) entries")
            }
            self.ledgerCounts[family] = count
        case "ListConsentHistory" where response["next_page_token"] == nil:
            let shown = Set((response["entries"]?.items ?? []).compactMap { $0["hash"]?.text })
            for entry in self.entries[family] ?? []
            where entry.acknowledgedAt < operation.invokedAt && !shown.contains(entry.hash) {
                throw Violation(
                    self.name, "the ledger of \(family) has lost the entry \(entry.hash)")
            }
        default: break
        }
    }
}
