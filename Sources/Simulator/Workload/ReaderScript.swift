import IOSimulation
import ProfileClient

/// Reads of every kind, of people whom others write to at the same time.
final class ReaderScript: CallScript {
    /// Most events of a page; small, so that lists have several.
    private static let pageSize = 7

    private let project: Int
    private let writers: Int
    private let history: History
    /// The page that a list goes on with, and of what.
    private var page: (request: JSONValue, token: String)?

    /// - Parameter writers: Clients whose people are read.
    init(project: Int, writers: Int, history: History) {
        self.project = project
        self.writers = writers
        self.history = history
    }

    private func somebody(_ random: inout SeededRandom) -> PersonKey {
        random.below(3) == 0
            ? SharedScript.person(random.below(SharedScript.people), self.project)
            : SoloScript.person(
                random.below(self.writers), random.below(SoloScript.people), self.project)
    }

    /// Sometimes asks for a position that some response has named: it must be reached, on any
    /// connection and after any restart.
    private func position(_ random: inout SeededRandom) -> [(String, JSONValue?)] {
        let lsn = self.history.acknowledgedLSN[self.project]
        return random.below(2) == 0 && lsn > 0 ? [("min_lsn", .of(lsn))] : []
    }

    func next(_ random: inout SeededRandom, _ world: any ClientWorld) -> PlannedCall? {
        switch random.below(16) {
        case 0 ..< 7: self.get(&random)
        case 7 ..< 9: self.batch(&random)
        case 9 ..< 12: self.events(&random)
        case 12: self.lookUp(&random)
        case 13: self.count(&random)
        default: self.list(&random)
        }
    }

    private func get(_ random: inout SeededRandom) -> PlannedCall {
        let person = self.somebody(&random)
        let request = Requests.about(person).adding(
            [("metadata", random.below(4) == 0 ? true : nil)] + self.position(&random))
        return PlannedCall("GetProfile", self.project, request, .read([person]))
    }

    private func batch(_ random: inout SeededRandom) -> PlannedCall {
        var people: [PersonKey] = []
        for _ in 0 ... random.below(3) {
            let person = self.somebody(&random)
            if !people.contains(person) { people.append(person) }
        }
        let request: JSONValue = [
            "project": Requests.project(self.project),
            "identifiers": .array(people.map { Requests.custom($0.name) }),
        ]
        return PlannedCall(
            "BatchGetProfiles", self.project, request.adding(self.position(&random)),
            .read(people))
    }

    private func events(_ random: inout SeededRandom) -> PlannedCall {
        let person = SoloScript.person(
            random.below(self.writers), random.below(SoloScript.people), self.project)
        let request = Requests.about(person).adding(
            [("page_size", 1_000)] + self.position(&random))
        return PlannedCall("ListEvents", self.project, request, .readEvents(person))
    }

    private func lookUp(_ random: inout SeededRandom) -> PlannedCall {
        let address = ConsentScript.address(random.below(2), random.below(ConsentScript.people))
        let request: JSONValue = [
            "project": Requests.project(self.project), "email_address": .string(address),
        ]
        return PlannedCall("LookupProfiles", self.project, request)
    }

    private func count(_ random: inout SeededRandom) -> PlannedCall {
        let request: JSONValue = [
            "project": Requests.project(self.project),
            "filter": .string(#"attributes.n > 3 AND NOT custom_id = "solo*""#),
        ]
        return PlannedCall("CountProfiles", self.project, request)
    }

    private func list(_ random: inout SeededRandom) -> PlannedCall {
        let request =
            self.page?.request
            ?? [
                "project": Requests.project(self.project), "page_size": .of(Self.pageSize),
                "filter": "state = IDENTIFIED",
            ]
        let token = self.page.map { JSONValue.string($0.token) }
        return PlannedCall("ListProfiles", self.project, request.adding([("page_token", token)]))
    }

    func ended(_ operation: Operation, _ outcome: Outcome, _ response: JSONValue?) {
        guard operation.method == "ListProfiles", let response else { return }
        let token = response["next_page_token"]?.text ?? ""
        let request = JSONValue.object(operation.request.members.filter { $0.name != "page_token" })
        self.page = token.isEmpty ? nil : (request, token)
    }
}
