import ProfileClient

/// Every response is one that the call may have: no bug's status, lsns that grow with the order in
/// which calls were made, positions that stay reached, the first response for a repeated request,
/// writes that are responded as what they were, and exactly what is known where one client knows
/// everything.
package final class ResponseChecker: Checker {
    package let name = "responses"

    /// UNKNOWN, UNIMPLEMENTED, INTERNAL, DATA_LOSS: never to be seen by a client that is right.
    private static let bugs: Set<Int32> = [2, 12, 13, 15]
    /// Calls that tell an operator of a failing disk with such a status.
    private static let ofDisks: Set<String> = ["Admin.CreateSnapshot", "Admin.Backup"]
    /// Calls whose `lsn` is their own.
    private static let writes: Set<String> = [
        "Identify", "Track", "TrackStream", "UpdateSubscription", "ConfirmSubscription",
        "AddSuppression", "RemoveSuppression", "RedeemUnsubscribeToken", "BatchWrite",
        "EraseProfile", "DetachInstallation", "MergeProfiles", "UnmergeProfile",
        "ImportProfiles", "CreateTrigger", "DeleteTrigger",
    ]

    private let history: History
    /// A call without a position may meet a node that is behind.
    private var hasFollowers = false
    /// The greatest lsn that was acknowledged, by project; and what it was when an open call began.
    private var acknowledged = [UInt64](repeating: 0, count: Projects.count)
    private var atBegin: [Int: UInt64] = [:]
    private var used = [Set<UInt64>](repeating: [], count: Projects.count)
    /// Responses that are promised again, by operation.
    private var responses: [Int: JSONValue] = [:]

    package init(_ history: History) {
        self.history = history
    }

    package func watch(_ world: World) throws(Violation) {
        if let complaint = self.history.complaint { throw Violation(self.name, complaint) }
    }

    package func finish(_ world: World) throws(Violation) { try self.watch(world) }

    package func observe(_ event: HistoryEvent, _ world: World) throws(Violation) {
        self.hasFollowers = world.hasFollowers
        try self.observe(event)
    }

    package func observe(_ event: HistoryEvent) throws(Violation) {
        let operation = event.operation
        switch event.kind {
        case .invoked where operation.project >= 0:
            self.atBegin[operation.number] = self.acknowledged[operation.project]
        case .responded(let response, _): try self.compare(response, event.operation)
        case .ended(let outcome):
            let least = self.atBegin.removeValue(forKey: operation.number) ?? 0
            try self.evaluate(outcome, operation)
            if outcome == .ok, let response = operation.response {
                try self.noteLSN(response, operation, least)
            }
        default: break
        }
    }

    private func violation(_ text: String, _ operation: Operation) -> Violation {
        Violation(self.name, "\(operation.method) \(operation.number): \(text)")
    }

    // MARK: Statuses

    private func evaluate(_ outcome: Outcome, _ operation: Operation) throws(Violation) {
        var status: Int32 = 0
        var reason = ""
        switch outcome {
        case .ok: break
        case .rejected(let rejected, let why): (status, reason) = (rejected, why)
        case .unknown: return
        }
        if Self.bugs.contains(status), !Self.ofDisks.contains(operation.method) {
            throw self.violation("status \(status) \(reason)", operation)
        }
        if reason == "LSN_NOT_REACHED" {
            // Readers ask for positions only that a response has named.
            throw self.violation("an acknowledged lsn is not reached", operation)
        }
        // A limit of the moment says nothing.
        if self.hasFollowers, case .expect = operation.purpose { return }
        guard status != 8, let allowed = Self.allowed(operation.purpose) else { return }
        guard allowed.contains(status) else {
            throw self.violation(
                "status \(status) \(reason), expected \(allowed): \(operation.request)", operation)
        }
    }

    /// What a call may end with; `nil`: anything but a bug.
    private static func allowed(_ purpose: Purpose) -> [Int32]? {
        switch purpose {
        case .expect(let statuses): statuses
        case .write: [0, 5, 10, 11]
        case .writeEach, .again, .erase, .exportAll: [0]
        case .read, .readEvents, .readExactly, .readConsent, .sendable: [0, 5]
        case .consent: [0, 3, 5, 9]
        case .watch: [0, 11]
        case .consume, .settle, .other: nil
        }
    }

    // MARK: lsns

    private func noteLSN(
        _ response: JSONValue, _ operation: Operation, _ least: UInt64
    ) throws(Violation) {
        guard operation.project >= 0, let lsn = response["lsn"]?.integer.map({ UInt64($0) }),
            !operation.isLasting
        else { return }
        if case .again = operation.purpose { return }
        guard Self.writes.contains(operation.method) else {
            // The lsn of an export's part is that of its person.
            guard operation.method.hasPrefix("Export") || lsn >= least else {
                throw self.violation(
                    "shows lsn \(lsn), \(least) was acknowledged before", operation)
            }
            return
        }
        guard lsn > least else {
            throw self.violation("has lsn \(lsn), \(least) was acknowledged before", operation)
        }
        guard self.used[operation.project].insert(lsn).inserted else {
            throw self.violation("has lsn \(lsn) of another call", operation)
        }
        self.acknowledged[operation.project] = max(self.acknowledged[operation.project], lsn)
    }

    // MARK: Contents

    private func compare(_ response: JSONValue, _ operation: Operation) throws(Violation) {
        switch operation.purpose {
        case .write(let units):
            guard Self.isAbout(units, response, operation) else {
                throw self.violation("has the response of another call: \(response)", operation)
            }
        case .again(let first):
            guard response["replayed"]?.isTrue == true,
                ["lsn", "applied", "unchanged", "rejected"].allSatisfy({
                    response[$0] == first.response?[$0]
                }),
                response["results"] == nil || Self.results(response) == Self.results(first.response)
            else {
                throw self.violation(
                    "the response of \(first.number) does not come again: \(response)", operation)
            }
        case .readExactly(let person, let expected):
            var found: [String: Int] = [:]
            for member in response["profile"]?["attributes"]?.members ?? [] {
                found[member.name] = Int(member.value["integer"].count)
            }
            guard found == expected else {
                throw self.violation(
                    "\(person) has \(Self.text(found)), expected \(Self.text(expected))", operation)
            }
        case .sendable(_, let isSuppressed?):
            let hasBounced = response["reason"]?.text == "SENDABLE_REASON_HARD_BOUNCE"
            guard hasBounced == isSuppressed else {
                throw self.violation(
                    "an address that \(isSuppressed ? "has" : "has not") bounced is \(response)",
                    operation)
            }
        default: break
        }
    }

    /// Whether a response names what the call has written.
    private static func isAbout(
        _ units: [WriteUnit], _ response: JSONValue, _ operation: Operation
    ) -> Bool {
        switch operation.method {
        case "Identify":
            return response["profile"]?["custom_id"]?.text == units.first?.person.name
        case "Track", "TrackStream":
            // A message of a stream may have been rejected as a whole.
            if let code = response["error"]?["code"]?.integer, code != 0 { return true }
            let events = (response["results"]?.items ?? []).compactMap { $0["event_id"]?.text }
            return units.allSatisfy { $0.events.allSatisfy(events.contains) }
        default: return true
        }
    }

    /// Of a batch: without profiles, which are today's, and marks of replays.
    private static func results(_ response: JSONValue?) -> [String] {
        (response?["results"]?.items ?? []).map { result in
            let inner = result["track"] ?? result["identify"] ?? result
            return "\(inner["lsn"] ?? .null) \(inner["outcome"] ?? .null) "
                + "\(inner["status"] ?? .null) \(inner["event_id"] ?? .null)"
        }
    }

    private static func text(_ numbers: [String: Int]) -> String {
        numbers.sorted { $0.key < $1.key }.map { "\($0.key) = \($0.value)" }
            .joined(separator: ", ")
    }
}
