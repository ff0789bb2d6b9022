import IOSimulation
import ProfileClient

/// Writes of several clients to the same people: every value is written once, so that a reader
/// tells which write it saw.
final class SharedScript: CallScript {
    static let people = 2

    private let client: Int
    private let project: Int
    private var number = 0
    /// Revisions as read last, by person.
    private var revisions = [UInt64](repeating: 0, count: SharedScript.people)
    private var reading: Int?

    init(client: Int, project: Int) {
        self.client = client
        self.project = project
    }

    static func person(_ index: Int, _ project: Int) -> PersonKey {
        PersonKey(project, "shared-\(index)")
    }

    func next(_ random: inout SeededRandom, _ world: any ClientWorld) -> PlannedCall? {
        self.number += 1
        let index = random.below(Self.people)
        let person = Self.person(index, self.project)
        self.reading = nil
        if random.below(3) == 0 {
            self.reading = index
            return PlannedCall("GetProfile", self.project, Requests.about(person), .read([person]))
        }
        // A number that no other client and no other call uses.
        let unit = WriteUnit(person, value: self.number * 16 + self.client + 1)
        let marker = Projects.marker(self.project)
        var request = Requests.whole(
            Requests.identify(unit, marker: marker), self.project, "h\(self.client)-\(self.number)")
        if random.below(3) == 0, self.revisions[index] > 0 {
            request = request.adding([("expected_revision", .of(self.revisions[index]))])
        }
        return PlannedCall("Identify", self.project, request, .write([unit]), repeated: true)
    }

    func ended(_ operation: Operation, _ outcome: Outcome, _ response: JSONValue?) {
        guard let index = self.reading, let profile = response?["profile"] else { return }
        self.revisions[index] = profile["revision"].count
    }
}
