import IOSimulation
import ProfileClient
import TestSupport

/// What the clients with streams have in common: a connection of their own, one stream at a time,
/// its messages one by one, a rest after its end.
package class StreamActor: SimulatedActor {
    package let name: String
    let project: Int
    let history: History
    let link: ClientLink
    var random: SeededRandom
    /// What was begun is brought to its end, and nothing more begins.
    private(set) var isEnding = false
    private(set) var call: WireCall?
    private(set) var client: WireClient?
    private var messagesSeen = 0
    /// Monotonic time until which nothing happens without a message of the server.
    private var restUntil: UInt64 = 0
    /// When the stream last heard of its server.
    private var heardAt: UInt64 = 0

    init(_ name: String, project: Int, _ history: History, key: String?, seed: UInt64) {
        self.name = name
        self.project = project
        self.history = history
        self.link = ClientLink(key: key)
        self.random = SeededRandom(seed: seed)
    }

    /// Whether nothing that must end is open.
    package var isIdle: Bool { self.call == nil }

    // MARK: For the kinds of streams

    /// Opens the next stream, and sends its first message if it must come at once.
    ///
    /// - Returns: `nil`: nothing to do now.
    func open(_ client: WireClient, _ world: any ClientWorld) -> WireCall? { nil }
    /// Takes a message.
    func received(_ message: JSONValue, _ bytes: [UInt8]) {}
    /// Does one thing on the open stream: sends a message, ends the requests, cancels.
    ///
    /// - Returns: Whether it did.
    func act(_ client: WireClient, _ call: WireCall, _ world: any ClientWorld) -> Bool { false }
    /// Takes the end of the stream.
    func ended(_ outcome: Outcome) {}
    /// How long the server may be silent, in nanoseconds.
    var patienceNanoseconds: UInt64 { ClientTimes.patienceNanoseconds }

    // MARK: Turns

    package func turn(_ world: World) -> Bool {
        self.isEnding = world.isHealing
        let now = world.nowNanoseconds
        guard let call = self.call, let client = self.client else {
            guard now >= self.restUntil else { return false }
            return self.begin(world)
        }
        if self.takeMessages(call) {
            self.heardAt = now
            return true
        }
        if call.hasEnded {
            self.finish(.of(call), world)
            return true
        }
        if now >= self.heardAt &+ self.patienceNanoseconds {
            self.abandon(world)
            return true
        }
        guard now >= self.restUntil else { return false }
        self.rest(world)
        return self.act(client, call, world)
    }

    private func begin(_ world: any ClientWorld) -> Bool {
        guard let client = self.link.open(world) else {
            self.rest(world, ClientTimes.retryNanoseconds)
            return false
        }
        guard world.isCurrent(self.link.node, with: self.history) else {
            self.link.drop()
            self.rest(world, ClientTimes.retryNanoseconds)
            return false
        }
        guard let call = self.open(client, world) else {
            self.rest(world, ClientTimes.retryNanoseconds)
            return false
        }
        self.client = client
        self.call = call
        self.messagesSeen = 0
        self.heardAt = world.nowNanoseconds
        return true
    }

    private func takeMessages(_ call: WireCall) -> Bool {
        guard self.messagesSeen < call.messages.count else { return false }
        while self.messagesSeen < call.messages.count {
            let bytes = call.messages[self.messagesSeen]
            self.messagesSeen += 1
            let message = MessageJSON.decode(bytes, as: call.method.response) ?? .null
            self.received(message, bytes)
        }
        return true
    }

    /// Leaves a stream that goes nowhere: its end is not known.
    func abandon(_ world: any ClientWorld) {
        self.link.drop()
        self.finish(.unknown, world)
    }

    /// Resets the stream, which this client wants no more.
    func cancel(_ world: any ClientWorld) {
        if let call = self.call { self.client?.cancel(call) }
        self.finish(.unknown, world)
    }

    private func finish(_ outcome: Outcome, _ world: any ClientWorld) {
        self.call = nil
        self.client = nil
        self.ended(outcome)
        // The node of this stream may follow: the next one finds out anew who leads.
        if world.hasFollowers { self.link.drop() }
        self.rest(
            world, outcome == .ok ? 0 : ClientTimes.retryNanoseconds)
    }

    /// Waits a little more than asked for.
    func rest(_ world: any ClientWorld, _ nanoseconds: UInt64 = 0) {
        self.restUntil =
            world.nowNanoseconds &+ nanoseconds
            &+ UInt64(self.random.below(ClientTimes.restNanosecondsMax))
    }
}
