import ProfileClient

/// The feed has no gap and no duplicate: every acknowledged change is shown once to everyone who
/// follows from before it, in order, and each follower is shown the same.
package final class FeedChecker: Checker {
    package let name = "feed"

    /// What one follower has been shown, over all of its streams since its feed last began anew.
    private struct Follower {
        let project: Int
        /// The first lsn that it must be shown; `nil`: not known yet.
        var from: UInt64?
        /// All before this was shown.
        var through: UInt64 = 0
        /// Changes by lsn.
        var changes: [UInt64: [String]] = [:]
        /// The lsn whose changes come on the present stream.
        var current: UInt64 = 0
        /// It was complete on an earlier stream: the changes come again, and must be the same.
        var before: [String]?
    }

    private var followers: [String: Follower] = [:]
    /// Changes that acknowledged writes have made, by project and lsn: what an entry of each must
    /// have.
    private var acknowledged = [[UInt64: String]](repeating: [:], count: Projects.count)

    package init() {}

    package func observe(_ event: HistoryEvent) throws(Violation) {
        let operation = event.operation
        switch operation.purpose {
        case .watch(let from): try self.follow(event, from)
        case .write:
            if case .ended(.ok) = event.kind, let response = operation.response {
                self.note(response, operation)
            }
        default: break
        }
    }

    // MARK: What must be shown

    private func note(_ response: JSONValue, _ operation: Operation) {
        for part in response["results"]?.items ?? [] {
            if let inner = part["track"] ?? part["identify"] {
                self.note(inner, operation)
            } else if part["status"]?.text == "EVENT_STATUS_STORED", let id = part["event_id"]?.text
            {
                self.acknowledged[operation.project][part["lsn"].count] = id
            }
        }
        // A write of a new value always changes it.
        if response["outcome"] != nil {
            self.acknowledged[operation.project][response["lsn"].count] = ""
        }
    }

    // MARK: What is shown

    private func follow(_ event: HistoryEvent, _ from: UInt64) throws(Violation) {
        let operation = event.operation
        // Each audit follows from the beginning.
        let key =
            operation.client == "audit" ? "audit \(operation.number)" : operation.client
        switch event.kind {
        case .invoked:
            var follower = self.followers[key] ?? Follower(project: operation.project)
            if from == 0 || follower.from == nil {
                follower = Follower(project: operation.project)
                if from > 0 { follower.from = from }
                follower.through = from
            }
            follower.before = follower.changes.removeValue(forKey: from)
            follower.current = 0
            self.followers[key] = follower
        case .responded(let response, _):
            guard var follower = self.followers.removeValue(forKey: key) else { return }
            try self.take(response, &follower, operation)
            self.followers[key] = follower
        case .ended(let outcome):
            guard var follower = self.followers[key] else { return }
            // What came of a group that was cut is not less than what had come before.
            if let before = follower.before, follower.current == 0 {
                follower.changes[from] = before
            }
            follower.before = nil
            if case .rejected(_, "POSITION_GONE") = outcome { try self.finish(follower, key) }
            self.followers[key] = follower
        case .lost: break
        }
    }

    private func take(
        _ response: JSONValue, _ follower: inout Follower, _ operation: Operation
    ) throws(Violation) {
        let lsn = response["lsn"].count
        guard let change = response["change"] else {
            if follower.from == nil { follower.from = lsn + 1 }
            follower.through = max(follower.through, lsn + 1)
            return
        }
        guard lsn >= follower.current, lsn >= follower.through || follower.current == lsn else {
            throw Violation(
                self.name,
                "\(operation.client) is shown lsn \(lsn) behind "
                    + "\(max(follower.current, follower.through))")
        }
        follower.current = lsn
        follower.through = max(follower.through, lsn)
        let text = Self.text(change)
        guard follower.changes[lsn]?.contains(text) != true else {
            throw Violation(self.name, "\(operation.client) is shown \(text) of \(lsn) twice")
        }
        follower.changes[lsn, default: []].append(text)
    }

    /// What tells one change of an lsn from the others.
    private static func text(_ change: JSONValue) -> String {
        let consent = change["consent_entries"]?.items.map { $0["hash"]?.text ?? "" } ?? []
        return "\(change["kind"]?.text ?? "") \(change["profile_id"]?.text ?? "") "
            + "\(change["other_profile_id"]?.text ?? "") "
            + "\(change["installation_id"]?.text ?? "") \(change["channel"]?.text ?? "") "
            + "\(change["event"]?["event_id"]?.text ?? "") \(consent.joined(separator: ","))"
    }

    // MARK: The end

    package func finish(_ world: World) throws(Violation) { try self.finish() }

    package func finish() throws(Violation) {
        let all = self.followers.sorted { $0.key < $1.key }
        for (name, follower) in all { try self.finish(follower, name) }
        for (index, (name, one)) in all.enumerated() {
            for (otherName, other) in all[(index + 1)...] where other.project == one.project {
                try self.compare(name, one, otherName, other)
            }
        }
    }

    private func finish(_ follower: Follower, _ name: String) throws(Violation) {
        guard let from = follower.from else { return }
        for (lsn, event) in self.acknowledged[follower.project]
        where lsn >= from && lsn < follower.through {
            let shown = follower.changes[lsn] ?? []
            guard shown.contains(where: { event.isEmpty || $0.contains(" \(event) ") }) else {
                throw Violation(
                    self.name,
                    "\(name) follows from \(from) through \(follower.through) and is "
                        + "not shown \(event.isEmpty ? "a change" : event) of lsn \(lsn)")
            }
        }
    }

    /// Both were shown the same of what neither has lost to an erasure.
    private func compare(
        _ name: String, _ one: Follower, _ otherName: String, _ other: Follower
    ) throws(Violation) {
        for (lsn, changes) in one.changes where lsn < one.through && lsn < other.through {
            guard let others = other.changes[lsn], changes != others else { continue }
            throw Violation(
                self.name, "lsn \(lsn) is \(changes) to \(name) and \(others) to \(otherName)")
        }
    }
}
