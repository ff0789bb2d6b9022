import IOSimulation
import ProfileClient
import TestSupport

/// Takes firings of its project's trigger. It acknowledges some of what came, then half-closes: the
/// OK that follows says that those are settled, and must never come again.
final class ConsumerActor: StreamActor {
    private static let inFlightMax = 20
    /// Turns on one stream before its client half-closes or cancels it.
    private static let turnsMax = 12
    /// Least time of a stream at the end of a run, in nanoseconds: so long everything that waits is
    /// delivered. Streams that were lost have ended by then, and their firings wait again.
    private static let lastNanoseconds: UInt64 = 300_000_000
    /// Heartbeats come every 5 s.
    private static let silenceNanoseconds: UInt64 = 15_000_000_000

    private let preparation: Preparation
    private var operation: Operation?
    private var settling: Operation?
    private var firings: [String] = []
    private var acknowledged: [String] = []
    private var turns = 0
    private var isOpen = false
    private var openedAt: UInt64 = 0
    /// Firings that came on the last stream that ended in order while the run ends.
    private var comesToAnEnd = 0
    /// Writes that had ended when the last stream was opened.
    private var writesSeen = 0

    init(
        _ name: String, project: Int, _ history: History, _ preparation: Preparation, key: String,
        seed: UInt64
    ) {
        self.preparation = preparation
        super.init(name, project: project, history, key: key, seed: seed)
    }

    /// Once the world heals: whether nothing has come on two streams, and no write has ended since,
    /// whose firing could be still to come.
    override var isIdle: Bool {
        !self.isEnding
            || self.comesToAnEnd >= 2 && self.writesSeen == self.history.writesEnded
    }

    override var patienceNanoseconds: UInt64 { Self.silenceNanoseconds }

    private var trigger: String { self.preparation.triggers[self.project] }

    override func open(_ client: WireClient, _ world: any ClientWorld) -> WireCall? {
        guard !self.trigger.isEmpty, self.call == nil, !self.isEnding || !self.isIdle else {
            return nil
        }
        let request: JSONValue = [
            "project": Requests.project(self.project), "trigger_id": .string(self.trigger),
            "in_flight_max": .of(Self.inFlightMax),
        ]
        guard let call = try? client.open(.profiles("WatchTriggers")) else { return nil }
        do { try client.send(request, on: call) } catch {
            preconditionFailure("WatchTriggers: \(error)")
        }
        self.operation = self.history.invoke(
            self.name, self.project, "WatchTriggers", request, .consume(trigger: self.trigger))
        self.firings = []
        self.acknowledged = []
        self.turns = 0
        self.isOpen = true
        self.openedAt = world.nowNanoseconds
        if self.writesSeen != self.history.writesEnded { self.comesToAnEnd = 0 }
        self.writesSeen = self.history.writesEnded
        return call
    }

    override func received(_ message: JSONValue, _ bytes: [UInt8]) {
        guard let operation = self.operation else { return }
        self.history.respond(operation, message, bytes)
        if let firing = message["firing_id"]?.text { self.firings.append(firing) }
    }

    override func act(_ client: WireClient, _ call: WireCall, _ world: any ClientWorld) -> Bool {
        guard self.isOpen else { return false }
        self.turns += 1
        let unsettled = self.firings.filter { !self.acknowledged.contains($0) }
        let isTime =
            self.isEnding
            ? world.nowNanoseconds >= self.openedAt + Self.lastNanoseconds && unsettled.isEmpty
            : self.turns >= Self.turnsMax
        if isTime {
            if !self.isEnding, self.random.below(4) == 0 {
                self.cancel(world)
                return true
            }
            self.halfClose(client, call)
            return true
        }
        guard !unsettled.isEmpty, self.isEnding || self.random.below(2) == 0 else {
            return false
        }
        let some = self.isEnding ? unsettled : unsettled.filter { _ in self.random.below(3) > 0 }
        guard !some.isEmpty else { return false }
        self.send(["acknowledged_firing_ids": .array(some.map { .string($0) })], client, call)
        self.acknowledged += some
        return true
    }

    private func send(_ request: JSONValue, _ client: WireClient, _ call: WireCall) {
        do { try client.send(request, on: call) } catch {
            preconditionFailure("WatchTriggers: \(error) in \(request)")
        }
    }

    private func halfClose(_ client: WireClient, _ call: WireCall) {
        self.isOpen = false
        self.settling = self.history.invoke(
            self.name, self.project, "WatchTriggers",
            ["acknowledged_firing_ids": .array(self.acknowledged.map { .string($0) })],
            .settle(trigger: self.trigger, firings: self.acknowledged))
        client.finishRequests(of: call)
    }

    override func ended(_ outcome: Outcome) {
        if let settling = self.settling {
            self.history.end(settling, outcome)
            self.settling = nil
        }
        if let operation = self.operation {
            self.history.end(operation, outcome)
            self.operation = nil
        }
        guard self.isEnding else { return }
        self.comesToAnEnd = outcome == .ok && self.firings.isEmpty ? self.comesToAnEnd + 1 : 0
    }
}
