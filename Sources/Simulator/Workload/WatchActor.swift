import IOSimulation
import ProfileClient
import TestSupport

/// Follows the feed of a project, over every restart from where it was.
final class WatchActor: StreamActor {
    /// A stream is cancelled by its client once in so many turns without a message.
    private static let cancelsOneOf = 60
    /// Heartbeats come every 5 s at the latest: three of them.
    private static let silenceNanoseconds: UInt64 = 15_000_000_000

    private var operation: Operation?
    /// Where the next stream begins; 0: at the head, where the first one begins.
    private var position: UInt64 = 0
    /// Once the world heals: whether this follower has passed every position that a response has
    /// named.
    override var isIdle: Bool {
        !self.isEnding || self.position > self.history.acknowledgedLSN[self.project]
    }

    override var patienceNanoseconds: UInt64 { Self.silenceNanoseconds }

    override func open(_ client: WireClient, _ world: any ClientWorld) -> WireCall? {
        let request: JSONValue = [
            "project": Requests.project(self.project), "from_lsn": .of(self.position),
            "include_historical": true,
        ]
        self.operation = self.history.invoke(
            self.name, self.project, "Watch", request, .watch(from: self.position))
        return try? client.call(.profiles("Watch"), request)
    }

    override func received(_ message: JSONValue, _ bytes: [UInt8]) {
        guard let operation = self.operation else { return }
        self.history.respond(operation, message, bytes)
        let lsn = message["lsn"].count
        // Changes of one lsn may be cut in their middle; a heartbeat's lsn is complete.
        let next = message["change"] == nil ? lsn + 1 : lsn
        if next < self.position {
            self.history.report("a watcher from \(self.position) is sent lsn \(lsn)")
        }
        self.position = max(self.position, next)
    }

    override func act(_ client: WireClient, _ call: WireCall, _ world: any ClientWorld) -> Bool {
        guard !self.isEnding, self.random.below(Self.cancelsOneOf) == 0 else { return false }
        self.cancel(world)
        return true
    }

    override func ended(_ outcome: Outcome) {
        guard let operation = self.operation else { return }
        self.operation = nil
        self.history.end(operation, outcome)
        if case .rejected(_, let reason) = outcome, reason == "POSITION_GONE" {
            self.position = 0
        }
    }
}
