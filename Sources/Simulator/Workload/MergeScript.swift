import IOSimulation
import ProfileClient

/// Merges two people and takes the merge back, and knows all the time what each of them has.
///
/// One client owns the pair and every call is settled before the next, so that the rules of merges
/// and un-merges give the attributes exactly. A pair of which a call's outcome stays unknown is
/// left.
final class MergeScript: CallScript {
    /// A side of the pair.
    private enum Side: Int {
        case loser
        case survivor

        var other: Side { self == .loser ? .survivor : .loser }
    }

    private enum Step {
        case write(Side, String, Int)
        case merge
        case unmerge
        case read(Side)
    }

    private let client: Int
    private let project: Int
    private var number = 0
    private var pair = 0
    /// What each side has when it is on its own, and what the two have together.
    private var own: [[String: Int]] = [[:], [:]]
    private var merged: [String: Int] = [:]
    /// Written while merged: the value, and through whose identifier.
    private var since: [String: (value: Int, side: Side)] = [:]
    private var mergeID: String?
    private var step = Step.merge

    init(client: Int, project: Int) {
        self.client = client
        self.project = project
    }

    private func name(_ side: Side) -> String {
        "pair\(self.client)-\(self.pair)-\(side == .loser ? "a" : "b")"
    }

    func next(_ random: inout SeededRandom, _ world: any ClientWorld) -> PlannedCall? {
        self.number += 1
        self.step = self.choose(&random)
        let request: JSONValue
        switch self.step {
        case .write(let side, let name, let value):
            request = [
                "custom_id": .string(self.name(side)), "attributes": ["set": [name: .of(value)]],
            ]
            return self.call("Identify", request)
        case .merge:
            request = [
                "loser": Requests.custom(self.name(.loser)),
                "survivor": Requests.custom(self.name(.survivor)), "allow_identified": true,
            ]
            return self.call("MergeProfiles", request)
        case .unmerge:
            request = ["merge_id": .string(self.mergeID ?? "")]
            return self.call("UnmergeProfile", request)
        case .read(let side):
            let person = PersonKey(self.project, self.name(side))
            let expected = self.mergeID == nil ? self.own[side.rawValue] : self.merged
            return PlannedCall(
                "GetProfile", self.project, Requests.about(person),
                .readExactly(person, expected))
        }
    }

    private func choose(_ random: inout SeededRandom) -> Step {
        let side = random.below(2) == 0 ? Side.loser : .survivor
        let isReady = self.mergeID != nil || self.own.allSatisfy { !$0.isEmpty }
        switch random.below(8) {
        case 0 ..< 3 where isReady: return .read(side)
        case 3 where isReady, 4 where isReady: return self.mergeID == nil ? .merge : .unmerge
        default: return .write(side, "p\(random.below(4))", self.number)
        }
    }

    private func call(_ method: String, _ request: JSONValue) -> PlannedCall {
        let id = "m\(self.client)-\(self.number)"
        return PlannedCall(
            method, self.project, Requests.whole(request, self.project, id),
            .expect([0]), repeated: true)
    }

    func ended(_ operation: Operation, _ outcome: Outcome, _ response: JSONValue?) {
        guard case .ok = outcome else {
            if case .read = self.step { return }
            self.leavePair()
            return
        }
        switch self.step {
        case .read: break
        case .write(let side, let name, let value):
            guard self.mergeID != nil else {
                self.own[side.rawValue][name] = value
                return
            }
            self.merged[name] = value
            self.since[name] = (value, side)
        case .merge:
            self.mergeID = response?["merge_id"]?.text
            self.merged = self.own[0].merging(self.own[1]) { _, survivor in survivor }
            if self.mergeID == nil { self.leavePair() }
        case .unmerge:
            for (name, write) in self.since { self.own[write.side.rawValue][name] = write.value }
            self.since = [:]
            self.mergeID = nil
        }
    }

    private func leavePair() {
        self.pair += 1
        self.own = [[:], [:]]
        self.since = [:]
        self.mergeID = nil
    }
}
