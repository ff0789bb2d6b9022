import IOSimulation
import ProfileClient

/// Devices and people of whom several clients make what they want: logins, log-outs, merges,
/// un-merges, moves. Which events there are at the end is known all the same: each exactly once.
final class CrowdScript: CallScript {
    private static let people = 4
    private static let devices = 5
    /// Merges and profiles that are remembered.
    private static let keptMax = 6

    private let client: Int
    private let project: Int
    private var number = 0
    private var merges: [String] = []
    private var profiles: [String] = []

    init(client: Int, project: Int) {
        self.client = client
        self.project = project
    }

    private var marker: String { Projects.marker(self.project) }

    func next(_ random: inout SeededRandom, _ world: any ClientWorld) -> PlannedCall? {
        self.number += 1
        let requestID = "k\(self.client)-\(self.number)"
        switch random.below(20) {
        case 0 ..< 8: return self.call("Identify", self.identify(&random), requestID)
        case 8 ..< 14: return self.track(&random, requestID)
        case 14:
            return self.call(
                "DetachInstallation", ["installation_id": .string(Self.device(&random))], requestID)
        case 15 ..< 18:
            let request: JSONValue = [
                "loser": self.identifier(&random), "survivor": self.identifier(&random),
                "allow_identified": .bool(random.below(2) == 0),
            ]
            return self.call("MergeProfiles", request, requestID)
        default:
            guard !self.merges.isEmpty else { return nil }
            let merge = self.merges[random.below(self.merges.count)]
            return self.call("UnmergeProfile", ["merge_id": .string(merge)], requestID)
        }
    }

    private func call(_ method: String, _ request: JSONValue, _ requestID: String) -> PlannedCall {
        PlannedCall(
            method, self.project, Requests.whole(request, self.project, requestID),
            .expect([0, 3, 5, 8, 9]), repeated: true)
    }

    private static func device(_ random: inout SeededRandom) -> String {
        "device-\(random.below(self.devices))"
    }

    private static func custom(_ random: inout SeededRandom) -> String {
        "crowd-\(random.below(self.people))"
    }

    private func identifier(_ random: inout SeededRandom) -> JSONValue {
        switch random.below(5) {
        case 0, 1: return Requests.custom(Self.custom(&random))
        case 2 where !self.profiles.isEmpty:
            return Requests.profile(self.profiles[random.below(self.profiles.count)])
        default: return Requests.device(Self.device(&random))
        }
    }

    private func identify(_ random: inout SeededRandom) -> JSONValue {
        var members: [(String, JSONValue?)] = []
        let device = JSONValue.string(Self.device(&random))
        switch random.below(6) {
        case 0: members = [("installation_id", device)]
        case 1: members = [("installation_id", device), ("logged_out", true)]
        case 2: members = [("custom_id", .string(Self.custom(&random)))]
        default:
            members = [
                ("installation_id", device), ("custom_id", .string(Self.custom(&random))),
            ]
        }
        let attributes: JSONValue = [
            "set": ["a\(random.below(4))": .of(self.number), "text": .string(self.marker)],
            "add": ["list": ["items": ["l\(random.below(6))"]]],
        ]
        return JSONValue.object(of: members).adding([("attributes", attributes)])
    }

    private func track(_ random: inout SeededRandom, _ requestID: String) -> PlannedCall {
        let events = (0 ... random.below(3)).map { "k\(self.client)-\(self.number)-\($0)" }
        let isHistorical = random.below(4) == 0
        let unit = WriteUnit(PersonKey(self.project, "crowd"), events: events)
        let request: JSONValue = [
            "identifier": self.identifier(&random),
            "events": .array(events.map { Requests.event($0, "note", marker: self.marker) }),
            "historical": .bool(isHistorical),
        ]
        return PlannedCall(
            "Track", self.project,
            Requests.whole(request, self.project, random.below(2) == 0 ? requestID : nil),
            .write([unit]), repeated: true)
    }

    func ended(_ operation: Operation, _ outcome: Outcome, _ response: JSONValue?) {
        self.keep(response?["merge_id"]?.text, in: &self.merges)
        let profile = response?["profile_id"] ?? response?["profile"]?["profile_id"]
        self.keep(profile?.text, in: &self.profiles)
    }

    private func keep(_ text: String?, in list: inout [String]) {
        guard let text, !text.isEmpty, !list.contains(text) else { return }
        if list.count == Self.keptMax { list.removeFirst() }
        list.append(text)
    }
}
