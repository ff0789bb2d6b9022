import IOSimulation
import ProfileClient

/// Writes to people whom nobody else writes to: values that only grow, events with ids of their
/// own, batches that are whole or not at all.
///
/// Every write is made again until its outcome is known, so that no attempt of an older write can
/// follow a newer one, and what a reader must see is known exactly.
final class SoloScript: CallScript {
    /// People of one client: so few that most calls meet somebody who has a history.
    static let people = 3
    /// Writes that are kept to be sent again.
    private static let keptMax = 8
    /// A response is promised again for 24 hours; half of it, because clocks jump.
    private static let againMicrosecondsMax: Int64 = 12 * 3_600_000_000

    private let client: Int
    private let project: Int
    private var number = 0
    private var kept: [(operation: Operation, call: PlannedCall, wall: Int64)] = []
    private var last: (call: PlannedCall, wall: Int64)?
    private var hasRequestID = false

    init(client: Int, project: Int) {
        self.client = client
        self.project = project
    }

    static func person(_ client: Int, _ index: Int, _ project: Int) -> PersonKey {
        PersonKey(project, "solo\(client)-\(index)")
    }

    private var marker: String { Projects.marker(self.project) }

    func next(_ random: inout SeededRandom, _ world: any ClientWorld) -> PlannedCall? {
        self.number += 1
        let choice = random.below(20)
        if choice < 3, let call = self.again(&random, world) { return call }
        self.hasRequestID = random.below(3) > 0
        let planned: PlannedCall
        switch choice {
        case 3 ..< 8: planned = self.identify(&random)
        case 8 ..< 12: planned = self.batch(&random)
        case 12: planned = self.failingBatch(&random)
        case 13: planned = self.partial(&random)
        default: planned = self.track(&random)
        }
        self.last = (planned, world.wallMicroseconds)
        return planned
    }

    private func somebody(_ random: inout SeededRandom) -> PersonKey {
        Self.person(self.client, random.below(Self.people), self.project)
    }

    private func eventIDs(_ random: inout SeededRandom) -> [String] {
        (0 ... random.below(3)).map { "s\(self.client)-\(self.number)-\($0)" }
    }

    private func requestID(_ isForced: Bool = false) -> String? {
        if isForced { self.hasRequestID = true }
        return self.hasRequestID ? "s\(self.client)-\(self.number)" : nil
    }

    private func whole(_ request: JSONValue, forced isForced: Bool) -> JSONValue {
        Requests.whole(request, self.project, self.requestID(isForced))
    }

    // MARK: Writes

    /// A value is set once only: an attempt that comes late would set an old one again. So each has
    /// a request id.
    private func identify(_ random: inout SeededRandom) -> PlannedCall {
        let unit = WriteUnit(self.somebody(&random), value: self.number)
        return PlannedCall(
            "Identify", self.project,
            self.whole(Requests.identify(unit, marker: self.marker), forced: true),
            .write([unit]), repeated: true)
    }

    /// Events have ids, which make a repeated Track harmless without a request id too.
    private func track(_ random: inout SeededRandom) -> PlannedCall {
        let unit = WriteUnit(
            self.somebody(&random), events: self.eventIDs(&random), fires: random.below(2) == 0)
        return PlannedCall(
            "Track", self.project,
            self.whole(Requests.track(unit, marker: self.marker), forced: false),
            .write([unit]), repeated: true)
    }

    /// A Track of which one event is wrong, so that nothing of it is stored.
    private func partial(_ random: inout SeededRandom) -> PlannedCall {
        let unit = WriteUnit(self.somebody(&random), events: self.eventIDs(&random))
        let track = Requests.track(unit, marker: self.marker)
        let wrong: JSONValue = ["name": "note", "occurred_at": "2001-01-01T00:00:00Z"]
        let events = (track["events"]?.items ?? []) + [wrong]
        let request: JSONValue = [
            "identifier": track["identifier"] ?? .null, "events": .array(events),
        ]
        return PlannedCall(
            "Track", self.project, self.whole(request, forced: false), .write([unit]),
            repeated: true)
    }

    private func units(_ random: inout SeededRandom) -> [WriteUnit] {
        let first = random.below(Self.people)
        return [0, 1].map { index in
            WriteUnit(
                Self.person(self.client, (first + index) % Self.people, self.project),
                value: self.number, events: ["s\(self.client)-\(self.number)-b\(index)"])
        }
    }

    private func batch(_ random: inout SeededRandom) -> PlannedCall {
        let units = self.units(&random)
        let operations = units.flatMap { Requests.operations($0, marker: self.marker) }
        return PlannedCall(
            "BatchWrite", self.project,
            self.whole(["operations": .array(operations)], forced: true), .write(units),
            repeated: true)
    }

    /// The last operation fails: all of the batch is rolled back.
    private func failingBatch(_ random: inout SeededRandom) -> PlannedCall {
        let units = self.units(&random)
        let nobody: JSONValue = [
            "track": [
                "identifier": Requests.custom("nobody"), "must_exist": true,
                "events": [["name": "note"]],
            ]
        ]
        let operations = units.flatMap { Requests.operations($0, marker: self.marker) } + [nobody]
        return PlannedCall(
            "BatchWrite", self.project,
            self.whole(["operations": .array(operations)], forced: true), .write(units),
            repeated: true)
    }

    // MARK: The same again

    private func again(_ random: inout SeededRandom, _ world: any ClientWorld) -> PlannedCall? {
        guard !self.kept.isEmpty else { return nil }
        let (operation, call, wall) = self.kept[random.below(self.kept.count)]
        guard abs(world.wallMicroseconds - wall) < Self.againMicrosecondsMax else { return nil }
        self.last = nil
        return PlannedCall(
            call.method, call.project, call.request, .again(operation), repeated: true)
    }

    func ended(_ operation: Operation, _ outcome: Outcome, _ response: JSONValue?) {
        guard let last = self.last, outcome == .ok, self.hasRequestID else { return }
        if self.kept.count == Self.keptMax { self.kept.removeFirst() }
        self.kept.append((operation, last.call, last.wall))
    }
}
