import Bytes
import IOCore
import IOSimulation

@testable import GRPCTransport

/// One loop, stepped on the test's thread: no socket, no time but the clock's.
final class LoopHarness {
    static let unary = 0
    static let clientStream = 1
    static let serverStream = 2
    static let bidirectional = 3

    let clock = SimulatedClock()
    let handler = RecordingHandler()
    let loop: RPCLoop
    let listener = ScriptedListener()
    let poller: ScriptedPoller
    /// What the last step said.
    private(set) var next = NextStep.now

    init(limits: TransportLimits = TransportLimits()) {
        self.poller = ScriptedPoller(listener: self.listener)
        self.loop = RPCLoop(
            index: 0, listener: self.listener, poller: self.poller, clock: self.clock,
            methods: [
                RPCMethodDescriptor(path: "/t.T/Unary"),
                RPCMethodDescriptor(path: "/t.T/Client", streamsRequests: true),
                RPCMethodDescriptor(path: "/t.T/Server", streamsResponses: true),
                RPCMethodDescriptor(
                    path: "/t.T/Both", streamsRequests: true, streamsResponses: true),
            ], limits: limits)
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
    func connect() -> ScriptedSocket {
        let socket = self.connectSilently()
        socket.input += Frames.preface
        self.step()
        socket.input += Frames.settingsAck
        self.step()
        return socket
    }

    /// Lets a client connect that sends nothing.
    func connectSilently() -> ScriptedSocket {
        let socket = ScriptedSocket(descriptor: Int32(4 + self.poller.sockets.count))
        self.poller.sockets.append(socket)
        self.listener.arriving.append(socket)
        self.step()
        return socket
    }

    /// Steps the loop once.
    @discardableResult
    func step() -> NextStep {
        self.next = self.loop.step()
        return self.next
    }

    /// Lets time pass, with a step after each second, as a driver's timer would.
    func pass(seconds: Int) {
        for _ in 0 ..< seconds where self.next != .ended {
            self.clock.advance(nanoseconds: 1_000_000_000)
            self.step()
        }
    }

    /// The first connection.
    var socket: ScriptedSocket { self.poller.sockets[0] }

    func send(_ bytes: [UInt8]) { self.socket.input += bytes }

    /// Frames that the loop has written to the first connection so far.
    var frames: [Frames.Frame] { Frames.parse(self.socket.output) }

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
