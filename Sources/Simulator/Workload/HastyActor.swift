import IOSimulation
import ProfileClient
import TestSupport

/// Writes, loses patience, and makes the next call at once on the same connection.
///
/// A call that was cancelled, or is past its deadline, while the log has its command leaves its
/// stream to the next one. What comes back from the log then must not reach that one. So each
/// write that is abandoned is followed by one that is not.
final class HastyActor: SimulatedActor {
    /// People of one client; nobody else writes to them.
    static let people = 3
    /// Turns of this client before it cancels a call, at most: as many as a call takes to the log.
    private static let turnsMax = 8
    /// Deadlines in microseconds: around the time that a call takes.
    private static let deadlineMicrosecondsMax = 20_000

    /// How a call is abandoned.
    private enum Patience {
        case enough
        /// It is cancelled after so many turns.
        case turns(Int)
        /// The server ends it.
        case deadline
    }

    private struct Running {
        let client: WireClient
        let call: WireCall
        let operation: Operation
        var patience: Patience
        /// Monotonic time at which the connection is abandoned.
        let abandonAt: UInt64
    }

    let name: String
    private let project: Int
    private let history: History
    private let link: ClientLink
    private var random: SeededRandom
    private var number = 0
    private var running: Running?
    /// The last call was abandoned.
    private var isHurrying = false
    private var restUntil: UInt64 = 0

    init(_ name: String, project: Int, _ history: History, key: String?, seed: UInt64) {
        self.name = name
        self.project = project
        self.history = history
        self.link = ClientLink(key: key)
        self.random = SeededRandom(seed: seed)
    }

    static func person(_ index: Int, _ project: Int) -> PersonKey {
        PersonKey(project, "hasty-\(index)")
    }

    var isIdle: Bool { self.running == nil }

    func turn(_ world: World) -> Bool {
        if self.running != nil { return self.proceed(world) }
        guard !world.isHealing, world.nowNanoseconds >= self.restUntil else { return false }
        guard let client = self.link.open(world) else {
            self.rest(world, ClientTimes.retryNanoseconds)
            return false
        }
        self.begin(client, world)
        return true
    }

    private func begin(_ client: WireClient, _ world: World) {
        var patience = Patience.enough
        var metadata: [(String, String)] = []
        if !self.isHurrying {
            if self.random.below(3) > 0 {
                patience = .turns(1 + self.random.below(Self.turnsMax))
            } else {
                let microseconds = 1 + self.random.below(Self.deadlineMicrosecondsMax)
                (patience, metadata) = (.deadline, [("grpc-timeout", "\(microseconds)u")])
            }
        }
        self.number += 1
        let (method, request, unit) = self.write()
        do {
            let call = try client.open(.profiles(method), metadata: metadata)
            try client.send(request, on: call)
            client.finishRequests(of: call)
            let operation = self.history.invoke(
                self.name, self.project, method, request, .write([unit]))
            self.running = Running(
                client: client, call: call, operation: operation, patience: patience,
                abandonAt: world.nowNanoseconds &+ ClientTimes.patienceNanoseconds)
        } catch {
            preconditionFailure("\(method): \(error) in \(request)")
        }
    }

    private func write() -> (method: String, request: JSONValue, WriteUnit) {
        let person = Self.person(self.random.below(Self.people), self.project)
        let marker = Projects.marker(self.project)
        guard self.random.below(2) == 0 else {
            let unit = WriteUnit(person, value: self.number)
            let request = Requests.identify(unit, marker: marker)
            return ("Identify", Requests.whole(request, self.project, nil), unit)
        }
        let unit = WriteUnit(person, events: ["\(self.name)-\(self.number)"])
        let request = Requests.track(unit, marker: marker)
        return ("Track", Requests.whole(request, self.project, nil), unit)
    }

    private func proceed(_ world: World) -> Bool {
        guard let running = self.running else { return false }
        if let bytes = running.call.messages.first, running.operation.response == nil {
            self.history.respond(
                running.operation,
                MessageJSON.decode(bytes, as: running.call.method.response) ?? .null, bytes)
        }
        if running.call.hasEnded {
            self.end(.of(running.call), world)
            return true
        }
        if world.nowNanoseconds >= running.abandonAt {
            self.link.drop()
            self.end(.unknown, world)
            return true
        }
        guard case .turns(let turns) = running.patience else { return false }
        self.running?.patience = .turns(turns - 1)
        if turns == 1 {
            running.client.cancel(running.call)
            self.end(.unknown, world)
        }
        return true
    }

    private func end(_ outcome: Outcome, _ world: World) {
        guard let running = self.running else { return }
        self.running = nil
        self.history.end(running.operation, outcome)
        if case .enough = running.patience {
            self.isHurrying = false
            // Another node may lead by now.
            if outcome == .unknown, world.hasFollowers { self.link.drop() }
            self.rest(world, UInt64(self.random.below(ClientTimes.restNanosecondsMax)))
        } else {
            self.isHurrying = true
        }
    }

    private func rest(_ world: World, _ nanoseconds: UInt64) {
        self.restUntil = world.nowNanoseconds &+ nanoseconds
    }
}
