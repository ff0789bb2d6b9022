import IOSimulation
import ProfileClient

/// People who are written with a word of their own in every text, and erased. From the response
/// on nobody is shown the word, and a day later no file has it.
final class ErasureScript: CallScript {
    private let client: Int
    private let project: Int
    private var number = 0
    private var step = 0

    init(client: Int, project: Int) {
        self.client = client
        self.project = project
    }

    /// The end of a person's calls, who is erased then.
    private static let steps = 7

    private var word: String { "hush\(self.project)x\(self.client)x\(self.number)x" }
    private var marker: String { self.word + Projects.marker(self.project) }

    var isBusy: Bool { self.step > 0 && self.step <= 5 }

    func next(_ random: inout SeededRandom, _ world: any ClientWorld) -> PlannedCall? {
        let person = Requests.custom(self.word)
        switch self.step {
        case 0:
            return self.write(
                "Track",
                [
                    "identifier": Requests.device(self.word + "device"),
                    "events": [self.event(0)],
                ])
        case 1:
            return self.write(
                "Identify",
                [
                    "custom_id": .string(self.word),
                    "installation_id": .string(self.word + "device"),
                    "attributes": [
                        "set": ["text": .string(self.marker), "list": [.string(self.marker)]],
                        "native": ["email_address": .string(self.word + "@example.com")],
                    ],
                    "source": ["name": .string(self.marker)],
                ])
        case 2: return self.write("Track", ["identifier": person, "events": [self.event(1)]])
        case 3:
            return self.write(
                "UpdateSubscription",
                [
                    "identifier": person, "source": "user",
                    "changes": [["channel": "email", "state": "subscribed"]],
                    "evidence": ["reference": .string(self.marker)],
                ])
        case 4:
            let track: JSONValue = ["identifier": person, "events": [self.event(2)]]
            return self.write("BatchWrite", ["operations": [["track": track]]])
        case 5:
            let request = Requests.whole(
                ["identifier": person], self.project, "erase-\(self.client)-\(self.number)")
            return PlannedCall(
                "EraseProfile", self.project, request, .erase(marker: self.word), repeated: true)
        case 6:
            return PlannedCall(
                "GetProfile", self.project,
                Requests.about(PersonKey(self.project, self.word)), .expect([5]))
        default:
            return self.write("Track", ["identifier": person, "events": [self.event(3)]])
        }
    }

    private func event(_ index: Int) -> JSONValue {
        Requests.event("\(self.word)-\(index)", "note", marker: self.marker)
    }

    private func write(_ method: String, _ request: JSONValue) -> PlannedCall {
        let id = "\(self.word)-r\(self.step)"
        // Blocked from the erasure on, and only from then on.
        return PlannedCall(
            method, self.project, Requests.whole(request, self.project, id),
            .expect(self.step <= 5 ? [0] : [9]), repeated: true)
    }

    func ended(_ operation: Operation, _ outcome: Outcome, _ response: JSONValue?) {
        // Without a response to the erasure nothing is known of this person any more.
        let isLost = self.step == 5 && outcome != .ok
        self.step += 1
        guard self.step > Self.steps || isLost else { return }
        self.step = 0
        self.number += 1
    }
}
