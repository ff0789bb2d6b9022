import Bytes
import IOCore
import IOSimulation

@testable import GRPCTransport

/// One loop with one connection, driven tick by tick on the test's thread: no socket, no time but
/// the clock's.
final class LoopHarness {
    static let unary = 0
    static let clientStream = 1
    static let serverStream = 2
    static let bidirectional = 3

    let clock = SimulatedClock()
    let handler = RecordingHandler()
    let loop: RPCLoop
    fileprivate let socket = ScriptedSocket()
    private let poller = ScriptedPoller()

    init(limits: TransportLimits = TransportLimits()) {
        let listener = ScriptedListener(self.socket)
        self.loop = RPCLoop(
            index: 0, listener: listener, poller: self.poller, clock: self.clock,
            methods: [
                RPCMethodDescriptor(path: "/t.T/Unary"),
                RPCMethodDescriptor(path: "/t.T/Client", streamsRequests: true),
                RPCMethodDescriptor(path: "/t.T/Server", streamsResponses: true),
                RPCMethodDescriptor(
                    path: "/t.T/Both", streamsRequests: true, streamsResponses: true),
            ], limits: limits, health: HealthRegistry(services: [""]))
        self.loop.handler = self.handler
        self.handler.loop = self.loop
    }

    /// Runs the steps, a tick after each and two at the end, then stops the loop.
    func run(_ steps: [(LoopHarness) -> Void]) throws {
        let idle: (LoopHarness) -> Void = { _ in }
        // The windows of our SETTINGS hold once the client has acknowledged them.
        var rest =
            ([{ $0.send(Frames.preface) }, { $0.send(Frames.settingsAck) }] + steps + [idle, idle])[
                ...]
        self.poller.onWait = { [unowned self] in
            guard let step = rest.popFirst() else {
                self.loop.stop()
                return ([], true)
            }
            step(self)
            return self.poller.readiness(of: self.socket)
        }
        try self.loop.run()
    }

    func send(_ bytes: [UInt8]) { self.socket.input += bytes }

    /// Frames that the loop has written so far.
    var frames: [Frames.Frame] { Frames.parse(self.socket.output) }

    /// Bytes by which the windows of a stream (0: the connection) were opened.
    func windowUpdates(of stream: UInt32) -> Int {
        self.frames.filter { $0.kind == Frames.windowUpdate && $0.stream == stream }
            .reduce(0) {
                $0 + Int($1.payload[0] & 0x7F) << 24 + Int($1.payload[1]) << 16 + Int($1.payload[2])
                    << 8 + Int($1.payload[3])
            }
    }

    /// Bytes of DATA that a stream was sent.
    func dataBytes(of stream: UInt32) -> Int {
        self.frames.filter { $0.kind == Frames.data && $0.stream == stream }.reduce(0) {
            $0 + $1.payload.count
        }
    }
}

/// Takes down what it is told; a test may say what it does at a message.
final class RecordingHandler: RPCHandler {
    unowned(unsafe) var loop: RPCLoop!
    var messages: [[UInt8]] = []
    /// Calls of the other methods, in order.
    var events: [String] = []
    var token: CallToken?
    var onMessage: (RPCCall) -> Void = { _ in }
    var onHeadroom: (CallToken) -> Void = { _ in }

    func admit(_ call: RPCCall) -> RPCStatus? {
        self.token = call.token
        return nil
    }

    func receive(_ message: UnsafeRawBufferPointer, of call: RPCCall) {
        self.messages.append(Array(message))
        self.onMessage(call)
    }

    func requestsEnded(of call: RPCCall) { self.events.append("ended") }

    func becameWritable(_ token: CallToken) {
        self.events.append("room")
        self.onHeadroom(token)
    }

    func drain(_ token: CallToken) { self.events.append("drain") }
    func cancelled(_ token: CallToken) { self.events.append("cancelled") }
    func woken() {}
    func beforeSleep() {}
}

private final class ScriptedSocket: StreamSocket {
    let descriptor: Int32 = 7
    let peer = "127.0.0.1:1"
    var tag: UInt64 = 0
    var input: [UInt8] = []
    var output: [UInt8] = []

    func read(into target: UnsafeMutableRawBufferPointer) -> IOOutcome {
        guard !self.input.isEmpty else { return .wouldBlock }
        let count = min(target.count, self.input.count)
        target.copyBytes(from: self.input[..<count])
        self.input.removeFirst(count)
        return .bytes(count)
    }

    func write(_ source: UnsafeRawBufferPointer) -> IOOutcome {
        self.output += source
        return .bytes(source.count)
    }

    func close() {}
}

private final class ScriptedListener: ListeningSocket {
    let descriptor: Int32 = 6
    let address = "127.0.0.1:2"
    private var socket: ScriptedSocket?

    init(_ socket: ScriptedSocket) { self.socket = socket }

    func accept() -> AcceptOutcome {
        guard let socket = self.socket.take() else { return .wouldBlock }
        return .socket(socket)
    }

    func close() {}
}

private final class ScriptedPoller: Poller, @unchecked Sendable {
    // Used by the test's thread alone.
    var onWait: () -> (ready: [IOReadiness], woken: Bool) = { ([], false) }
    private var tags: [Int32: UInt64] = [:]
    private var hasAccepted = false
    private let storage = UnsafeMutableBufferPointer<IOReadiness>.allocate(capacity: 2)

    deinit { self.storage.deallocate() }

    func readiness(of socket: ScriptedSocket) -> (ready: [IOReadiness], woken: Bool) {
        (
            [(self.tags[socket.descriptor]).map { IOReadiness(tag: $0, interest: .read) }]
                .compactMap { $0 }, true
        )
    }

    func add(_ descriptor: Int32, tag: UInt64, interest: IOInterest) { self.tags[descriptor] = tag }
    func modify(_ descriptor: Int32, tag: UInt64, interest: IOInterest) {}
    func remove(_ descriptor: Int32) { self.tags[descriptor] = nil }

    func wait(forNanoseconds nanoseconds: UInt64?) -> (
        ready: UnsafeBufferPointer<IOReadiness>, woken: Bool
    ) {
        var found: (ready: [IOReadiness], woken: Bool)
        if let listener = self.tags[6], !self.hasAccepted {
            self.hasAccepted = true
            found = ([IOReadiness(tag: listener, interest: .read)], false)
        } else {
            found = self.onWait()
        }
        let (_, count) = self.storage.initialize(from: found.ready)
        return (UnsafeBufferPointer(rebasing: self.storage[..<count]), found.woken)
    }

    func wake() {}
}

/// HTTP/2 frames by hand, as far as a client of the tests needs them.
enum Frames {
    static let data: UInt8 = 0
    static let headers: UInt8 = 1
    static let reset: UInt8 = 3
    static let windowUpdate: UInt8 = 8

    struct Frame {
        var kind: UInt8
        var flags: UInt8
        var stream: UInt32
        var payload: [UInt8]
    }

    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + frame(4, 0, 0, [])

    static let settingsAck = frame(4, 1, 0, [])

    static func frame(_ kind: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8])
        -> [UInt8]
    {
        let length = UInt32(payload.count)
        return [
            UInt8(truncatingIfNeeded: length >> 16), UInt8(truncatingIfNeeded: length >> 8),
            UInt8(truncatingIfNeeded: length), kind, flags,
        ]
            + self.bytes(stream) + payload
    }

    /// Headers of a call, each field a literal that is not indexed.
    static func open(_ stream: UInt32, _ path: String, timeout: String? = nil) -> [UInt8] {
        var fields = [
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "t"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ]
        if let timeout { fields.append(("grpc-timeout", timeout)) }
        var block: [UInt8] = []
        for (name, value) in fields {
            block +=
                [0, UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8(value.utf8.count)]
                + Array(value.utf8)
        }
        return self.frame(self.headers, 4, stream, block)
    }

    static func message(_ payload: [UInt8]) -> [UInt8] {
        [0] + self.bytes(UInt32(payload.count)) + payload
    }

    /// The bytes as DATA frames of at most 16,000 bytes.
    static func data(_ stream: UInt32, _ bytes: [UInt8], end: Bool = false) -> [UInt8] {
        var frames: [UInt8] = []
        var rest = bytes[...]
        repeat {
            let part = rest.prefix(16_000)
            rest = rest.dropFirst(16_000)
            frames += self.frame(self.data, end && rest.isEmpty ? 1 : 0, stream, Array(part))
        } while !rest.isEmpty
        return frames
    }

    static func openWindow(_ stream: UInt32, by count: UInt32) -> [UInt8] {
        self.frame(self.windowUpdate, 0, stream, self.bytes(count))
    }

    static func parse(_ output: [UInt8]) -> [Frame] {
        var frames: [Frame] = []
        var rest = output[...]
        while rest.count >= 9 {
            let head = Array(rest.prefix(9))
            let length = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
            let stream =
                UInt32(head[5]) << 24 | UInt32(head[6]) << 16 | UInt32(head[7]) << 8
                | UInt32(head[8])
            frames.append(
                Frame(
                    kind: head[3], flags: head[4], stream: stream,
                    payload: Array(rest.dropFirst(9).prefix(length))))
            rest = rest.dropFirst(9 + length)
        }
        return frames
    }

    private static func bytes(_ value: UInt32) -> [UInt8] {
        [
            UInt8(truncatingIfNeeded: value >> 24), UInt8(truncatingIfNeeded: value >> 16),
            UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value),
        ]
    }
}
