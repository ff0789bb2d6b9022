import IOSimulation
import ProfileClient
import TestSupport

/// A client that makes the calls of a script, one after the other, on one connection that it makes
/// again when it is gone.
package final class CallActor: SimulatedActor {
    /// A call under way.
    private struct Attempt {
        let call: WireCall
        /// Messages that the history has.
        var messagesSeen = 0
        /// Monotonic time at which the client abandons it.
        let abandonAt: UInt64
        /// It began when nothing went wrong any more.
        let isHealed: Bool
    }

    package let name: String
    private let script: any CallScript
    private let history: History
    private let key: String?
    /// Keys are sent with each call, so that one connection has several.
    private let link = ClientLink(key: nil)
    private var random: SeededRandom
    private var restUntil: UInt64 = 0
    private var planned: PlannedCall?
    private var operation: Operation?
    private var attempt: Attempt?
    /// An attempt of the operation was lost, so that a later rejection does not say that nothing
    /// was done.
    private var isInDoubt = false
    /// What was begun is brought to its end, and nothing more begins.
    private var isEnding = false

    init(
        _ name: String, _ script: any CallScript, _ history: History, key: String?, seed: UInt64
    ) {
        self.name = name
        self.script = script
        self.history = history
        self.key = key
        self.random = SeededRandom(seed: seed)
    }

    package var isIdle: Bool {
        self.operation == nil && (!self.isEnding || !self.script.isBusy)
    }

    package func turn(_ world: World) -> Bool {
        self.isEnding = world.isHealing
        if self.attempt != nil { return self.proceed(world) }
        guard world.nowNanoseconds >= self.restUntil else { return false }
        guard let planned = self.nextCall(world) else {
            self.rest(world, UInt64(ClientTimes.restNanosecondsMax))
            return false
        }
        self.planned = planned
        guard let client = self.link.open(world) else {
            self.rest(world, ClientTimes.retryNanoseconds)
            return false
        }
        // What has no position to ask for is asked of a node that has all.
        guard planned.hasPosition || world.isCurrent(self.link.node, with: self.history) else {
            self.link.drop()
            self.rest(world, ClientTimes.retryNanoseconds)
            return false
        }
        self.begin(planned, client, world)
        return true
    }

    private func nextCall(_ world: any ClientWorld) -> PlannedCall? {
        if let planned = self.planned { return planned }
        if self.isEnding, !self.script.isBusy { return nil }
        return self.script.next(&self.random, world)
    }

    private func begin(_ planned: PlannedCall, _ client: WireClient, _ world: World) {
        let call: WireCall
        let request = self.request(of: planned, world)
        do {
            let key = planned.key ?? self.key
            call = try client.open(
                .named(planned.method),
                metadata: key.map { [("authorization", "Bearer " + $0)] } ?? [])
            try client.send(request, on: call)
            client.finishRequests(of: call)
        } catch {
            preconditionFailure("\(planned.method): \(error) in \(request)")
        }
        if self.operation == nil {
            self.operation = self.history.invoke(
                self.name, planned.project, planned.method, request, planned.purpose)
        }
        self.attempt = Attempt(
            call: call, abandonAt: world.nowNanoseconds &+ ClientTimes.patienceNanoseconds,
            isHealed: world.isHealing)
    }

    /// Where a node may be behind, each read asks for all that any client has heard of.
    private func request(of planned: PlannedCall, _ world: World) -> JSONValue {
        guard world.hasFollowers, planned.hasPosition, self.history.newestLSN > 0 else {
            return planned.request
        }
        let others = planned.request.members.filter { $0.name != "min_lsn" }
        return JSONValue.object(others).adding([("min_lsn", .of(self.history.newestLSN))])
    }

    private func rest(_ world: any ClientWorld, _ nanoseconds: UInt64) {
        self.restUntil = world.nowNanoseconds &+ nanoseconds
    }

    // MARK: The end of a call

    private func proceed(_ world: World) -> Bool {
        guard let attempt = self.attempt, let operation = self.operation else { return false }
        var hasMoved = false
        while self.attempt!.messagesSeen < attempt.call.messages.count {
            let bytes = attempt.call.messages[self.attempt!.messagesSeen]
            self.attempt!.messagesSeen += 1
            self.history.respond(
                operation, MessageJSON.decode(bytes, as: attempt.call.method.response) ?? .null,
                bytes)
            hasMoved = true
        }
        if attempt.call.hasEnded {
            var outcome = Outcome.of(attempt.call)
            if world.hasFollowers {
                // Another node may lead by now.
                if outcome == .unknown { self.link.drop() }
                // A follower that is behind says so, and nothing about the person.
                if case .rejected(_, "LSN_NOT_REACHED") = outcome { outcome = .unknown }
            }
            self.finish(operation, outcome, world)
            return true
        }
        guard world.nowNanoseconds >= attempt.abandonAt else { return hasMoved }
        if attempt.isHealed {
            self.history.report("\(operation.method) \(operation.number) has no end")
        }
        self.link.drop()
        self.finish(operation, .unknown, world)
        return true
    }

    private func finish(_ operation: Operation, _ outcome: Outcome, _ world: any ClientWorld) {
        self.attempt = nil
        if outcome.isTransient, self.planned?.isRepeated == true {
            if outcome == .unknown { self.isInDoubt = true }
            self.history.lose(operation)
            self.rest(world, ClientTimes.retryNanoseconds)
            return
        }
        let isRejected = outcome != .ok && outcome != .unknown
        let known = isRejected && self.isInDoubt ? Outcome.unknown : outcome
        self.planned = nil
        self.operation = nil
        self.isInDoubt = false
        self.history.end(operation, known)
        self.script.ended(operation, known, outcome == .ok ? operation.response : nil)
        self.rest(world, UInt64(self.random.below(ClientTimes.restNanosecondsMax)))
    }
}
