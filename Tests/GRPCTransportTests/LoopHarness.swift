import Bytes
import IOCore
import IOSimulation
import TestSupport

@testable import GRPCTransport

/// One loop, stepped on the test's thread: no socket, no time but the clock's.
final class LoopHarness {
    static let unary = 0
    static let clientStream = 1
    static let serverStream = 2
    static let bidirectional = 3

    /// What the network holds of one direction, in bytes: more than any test sends, so that only a
    /// client that stops reading holds the loop back.
    private static let bufferBytes = 1 << 30

    let clock = SimulatedClock()
    let handler = RecordingHandler()
    let loop: RPCLoop
    let network = SimulatedNetwork(bufferBytes: LoopHarness.bufferBytes)
    private let listener: any ListeningSocket
    private let poller: SimulatedPoller
    private var clients: [FrameClient] = []
    /// What the last step said.
    private(set) var next = NextStep.now

    /// - Parameter wrap: Puts other sockets on top of the network's.
    init(
        limits: TransportLimits = TransportLimits(),
        observation: CallObservation = CallObservation(),
        wrap: (any ListeningSocket) -> any ListeningSocket = { $0 }
    ) throws {
        self.listener = wrap(try self.network.listen(host: "127.0.0.1", port: 0))
        self.poller = self.network.makeSimulatedPoller()
        self.loop = RPCLoop(
            index: 0, listener: self.listener, poller: self.poller, clock: self.clock,
            methods: [
                RPCMethodDescriptor(path: "/t.T/Unary"),
                RPCMethodDescriptor(path: "/t.T/Client", streamsRequests: true),
                RPCMethodDescriptor(path: "/t.T/Server", streamsResponses: true),
                RPCMethodDescriptor(
                    path: "/t.T/Both", streamsRequests: true, streamsResponses: true),
            ], limits: limits, observation: observation)
        self.loop.handler = self.handler
        self.handler.loop = self.loop
    }

    /// Runs actions on one connection, a step of the loop after each and two at the end, then stops
    /// the loop.
    func run(_ actions: [(LoopHarness) -> Void]) throws {
        try self.loop.start()
        self.connect()
        for action in actions {
            action(self)
            self.step()
        }
        self.step()
        self.step()
        self.loop.stop()
        self.step()
        self.loop.finish()
    }

    /// Lets a client connect and exchange SETTINGS; the windows that the loop announces hold once
    /// the client has acknowledged them.
    @discardableResult
    func connect(from host: String = "127.0.0.1") -> FrameClient {
        let client = self.connectSilently(from: host)
        client.send(Frames.preface)
        self.step()
        client.send(Frames.settingsAck)
        self.step()
        return client
    }

    /// Lets a client connect that sends nothing.
    @discardableResult
    func connectSilently(from host: String = "127.0.0.1") -> FrameClient {
        guard let socket = self.network.connect(to: self.listener.address, from: host) else {
            preconditionFailure("the listener has a backlog for more than a test's clients")
        }
        let client = FrameClient(socket)
        self.clients.append(client)
        self.step()
        return client
    }

    /// Steps the loop once, then every client.
    @discardableResult
    func step() -> NextStep {
        self.next = self.loop.step()
        self.clients.forEach { $0.turn() }
        return self.next
    }

    /// Whether the loop accepts connections.
    var isAccepting: Bool { self.poller.isWatching(self.listener.descriptor) }
    var isListening: Bool { self.network.isListening(at: self.listener.address) }

    /// Lets time pass, with a step after each second, as a driver's timer would.
    func pass(seconds: Int) {
        for _ in 0 ..< seconds where self.next != .ended {
            self.clock.advance(nanoseconds: 1_000_000_000)
            self.step()
        }
    }

    /// How many connections have ended for each reason.
    var ends: [String: UInt64] {
        Dictionary(
            uniqueKeysWithValues: self.loop.metrics.connectionEnds().filter { $0.count > 0 }
                .map { ($0.reason, $0.count) })
    }

    /// Closes every client.
    func clientsClose() { self.clients.forEach { $0.close() } }

    /// The first connection.
    var client: FrameClient { self.clients[0] }

    func send(_ bytes: [UInt8]) { self.client.send(bytes) }

    /// Frames that the loop has written to the first connection so far.
    var frames: [Frames.Frame] { self.client.frames }

    /// Bytes by which the windows of a stream (0: the connection) were opened.
    func windowUpdates(of stream: UInt32) -> Int {
        self.frames.filter { $0.kind == Frames.windowUpdate && $0.stream == stream }
            .reduce(0) { $0 + Int(Frames.number($1.payload) & 0x7FFF_FFFF) }
    }

    /// Bytes of DATA that a stream was sent.
    func dataBytes(of stream: UInt32) -> Int {
        self.frames.filter { $0.kind == Frames.data && $0.stream == stream }.reduce(0) {
            $0 + $1.payload.count
        }
    }
}

extension FrameClient {
    /// Error code and debug text of each GOAWAY.
    var goaways: [String] {
        self.frames.filter { $0.kind == Frames.goaway }.map {
            let text = String(decoding: $0.payload.dropFirst(8), as: UTF8.self)
            return "\(Frames.number(Array($0.payload.dropFirst(4)))) \(text)"
        }
    }
}
