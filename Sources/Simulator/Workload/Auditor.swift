import ProfileClient
import TestSupport

/// Reads everything once the healed world is at rest, and again after each start from then on: what
/// it is shown is what the checkers compare with all that was acknowledged.
final class Auditor: SimulatedActor {
    /// Calls under way at a time, on one connection.
    private static let callsAtOnceMax = 16
    /// What feeds begin with: a position that is older than anything kept.
    private static let firstLSN: UInt64 = 1

    private struct Running {
        let planned: PlannedCall
        let operation: Operation
        let call: WireCall
        var messagesSeen = 0
        /// Nothing more is wanted of a stream that does not end.
        var isEnough = false
    }

    let name = "audit"
    private unowned let world: World
    private let history: History
    /// The reads of one audit.
    private let reads: [PlannedCall]
    /// The processes at the end of the last whole audit.
    private var livesAudited = 0
    private var livesNow = 0
    private var left: [PlannedCall] = []
    private var running: [Running] = []
    private var client: WireClient?

    init(_ world: World, _ history: History, reads: [PlannedCall]) {
        self.world = world
        self.history = history
        self.reads = reads
    }

    private var lives: Int { self.world.nodes.reduce(0) { $0 + $1.life } }

    var isIdle: Bool { self.running.isEmpty && self.livesAudited == self.lives }

    private var isDue: Bool {
        self.world.isHealing && self.world.isWhole && !self.isIdle
            && self.world.actors.allSatisfy { $0 === self || $0.isIdle }
    }

    func turn(_ world: World) -> Bool {
        if !self.running.isEmpty { return self.takeResults() }
        guard self.isDue, let client = self.connect() else { return false }
        if self.left.isEmpty {
            self.left = self.reads
            self.livesNow = self.lives
        }
        while self.running.count < Self.callsAtOnceMax, let planned = self.left.popLast() {
            self.start(planned, client)
        }
        return true
    }

    private func connect() -> WireClient? {
        if self.client?.isClosed ?? true { self.client = self.world.connect() }
        return self.client
    }

    private func start(_ planned: PlannedCall, _ client: WireClient) {
        do {
            let call = try client.call(.named(planned.method), planned.request)
            let operation = self.history.invoke(
                self.name, planned.project, planned.method, planned.request, planned.purpose)
            self.running.append(Running(planned: planned, operation: operation, call: call))
        } catch {
            preconditionFailure("\(planned.method): \(error) in \(planned.request)")
        }
    }

    private func takeResults() -> Bool {
        var hasMoved = false
        for index in self.running.indices.reversed() {
            hasMoved = self.takeMessages(index) || hasMoved
            let one = self.running[index]
            if one.isEnough {
                self.client?.cancel(one.call)
                self.history.end(one.operation, .ok)
            } else if one.call.hasEnded {
                self.end(one)
            } else {
                continue
            }
            self.running.remove(at: index)
            hasMoved = true
        }
        if self.running.isEmpty, self.left.isEmpty {
            self.livesAudited = self.livesNow
            self.client?.close()
            self.client = nil
        }
        return hasMoved
    }

    private func takeMessages(_ index: Int) -> Bool {
        let call = self.running[index].call
        guard self.running[index].messagesSeen < call.messages.count else { return false }
        while self.running[index].messagesSeen < call.messages.count {
            let bytes = call.messages[self.running[index].messagesSeen]
            self.running[index].messagesSeen += 1
            let message = MessageJSON.decode(bytes, as: call.method.response) ?? .null
            let operation = self.running[index].operation
            self.history.respond(operation, message, bytes)
            if operation.method == "Watch", message["change"] == nil,
                message["lsn"].count >= self.history.acknowledgedLSN[operation.project],
                self.running[index].messagesSeen > 1
            {
                self.running[index].isEnough = true
            }
        }
        return true
    }

    private func end(_ one: Running) {
        let outcome = Outcome.of(one.call)
        self.history.end(one.operation, outcome)
        // A process that ended under the audit, or a limit of the moment.
        if outcome.isTransient { self.left.append(one.planned) }
        if case .rejected(_, "POSITION_GONE") = outcome,
            let earliest = one.call.failure.metadata["earliest_lsn"].flatMap({ UInt64($0) })
        {
            self.left.append(Self.watch(one.operation.project, from: earliest))
        }
    }

    // MARK: What is read

    static func watch(_ project: Int, from lsn: UInt64) -> PlannedCall {
        let request: JSONValue = [
            "project": Requests.project(project), "from_lsn": .of(lsn), "include_historical": true,
        ]
        return PlannedCall("Watch", project, request, .watch(from: lsn))
    }

    /// Everything of one project.
    ///
    /// - Parameters:
    ///   - people: Whose profiles and events are known.
    ///   - shared: Whose profiles are known, not their events.
    ///   - consenting: Whose consent is known.
    static func reads(
        _ project: Int, people: [PersonKey], shared: [PersonKey], consenting: [PersonKey]
    ) -> [PlannedCall] {
        let named: JSONValue = ["project": Requests.project(project)]
        var calls = [
            PlannedCall("ExportProject", project, named, .exportAll),
            PlannedCall("ListTriggers", project, named), self.watch(project, from: self.firstLSN),
            PlannedCall("Admin.GetStats", project, named, .expect([0])),
        ]
        for person in people + shared {
            calls.append(
                PlannedCall("GetProfile", project, Requests.about(person), .read([person])))
        }
        for person in people {
            let request = Requests.about(person).adding([("page_size", 1_000)])
            calls.append(PlannedCall("ListEvents", project, request, .readEvents(person)))
        }
        for person in consenting {
            for method in ["GetProfile", "VerifyConsentLedger", "ListConsentHistory"] {
                let size: JSONValue? = method == "ListConsentHistory" ? 1_000 : nil
                let request = Requests.about(person).adding([("page_size", size)])
                calls.append(PlannedCall(method, project, request, .readConsent(person)))
            }
        }
        return calls
    }
}
