import Bytes
import GRPCTransport
import IOCore
import IOSimulation
import TestSupport

/// Unary calls through a loop on the simulated network, with a handler that responds with constant
/// bytes: HTTP/2, gRPC framing, admission and the response. One connection; sixteen calls arrive
/// at once, as under a load, so that what a step of the loop and the network cost is divided.
///
/// The client is frames made once, in which only the numbers of the streams change; its headers
/// are indexed, as those of every client are from its second call on.
final class LoopPath {
    private static let callsPerStep = 16
    private static let path = "/profiles.v1.Profiles/Track"
    /// What a client may be sent on a connection: its largest window.
    private static let windowBytes: UInt32 = (1 << 31) - 1 - 65_535
    private static let responseBytes = 118

    private let loop: RPCLoop
    private let handler = Handler()
    private let socket: SimulatedSocket
    private let input = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    /// The frames of one step, and where the numbers of their streams are.
    private var output: [UInt8] = []
    private var streamOffsets: [(headers: Int, data: Int)] = []
    private var waiting = 0
    private var nextStream: UInt32 = 3

    init() {
        let network = SimulatedNetwork(bufferBytes: 1 << 20)
        guard let listener = try? network.listen(host: "127.0.0.1", port: 0) else {
            preconditionFailure("a simulated network listens")
        }
        self.loop = RPCLoop(
            index: 0, listener: listener, poller: network.makeSimulatedPoller(),
            clock: SimulatedClock(), methods: [RPCMethodDescriptor(path: Self.path)],
            limits: TransportLimits())
        self.loop.handler = self.handler
        self.handler.loop = self.loop
        do throws(IOError) { try self.loop.start() } catch {
            preconditionFailure("a loop starts: \(error)")
        }
        guard let socket = network.connect(to: listener.address) else {
            preconditionFailure("a listener has a backlog")
        }
        self.socket = socket
        self.begin()
        self.makeOutput()
    }

    deinit {
        self.input.deallocate()
    }

    /// Connects, and makes one call whose headers enter the table of the connection.
    private func begin() {
        let message = Frames.message(PathRequests.track(0))
        self.exchange(Frames.preface + Frames.openWindow(0, by: Self.windowBytes))
        self.exchange(Frames.settingsAck)
        // Field 3 and 6 of the static table, then four literals that are added to the dynamic one,
        // whose names are 4, 1 and 31 of the static table, and new (RFC 7541, 6.1 and 6.2.1).
        var block: [UInt8] = [0x83, 0x86]
        for (name, value) in [(0x44, Self.path), (0x41, "127.0.0.1"), (0x5F, "application/grpc")]
            as [(UInt8, String)]
        {
            block += [name, UInt8(value.utf8.count)] + Array(value.utf8)
        }
        block += [0x40, 2] + Array("te".utf8) + [8] + Array("trailers".utf8)
        self.exchange(
            Frames.frame(Frames.headers, 4, 1, block) + Frames.data(1, message, end: true))
        precondition(self.handler.calls == 1, "the first call has come")
    }

    private func makeOutput() {
        let message = Frames.message(PathRequests.track(0))
        // The newest entry of the dynamic table is 62.
        let block: [UInt8] = [0x83, 0x86] + [65, 64, 63, 62].map { 0x80 | $0 }
        for _ in 0 ..< Self.callsPerStep {
            let headers = self.output.count
            self.output += Frames.frame(Frames.headers, 4, 0, block)
            self.streamOffsets.append((headers + 5, self.output.count + 5))
            self.output += Frames.data(0, message, end: true)
        }
    }

    /// Makes one call; every sixteenth is carried out with those before it.
    func call(_ index: Int) {
        let (headers, data) = self.streamOffsets[self.waiting]
        for byte in 0 ..< 4 {
            let value = UInt8(truncatingIfNeeded: self.nextStream >> UInt32(24 - 8 * byte))
            self.output[headers + byte] = value
            self.output[data + byte] = value
        }
        self.nextStream += 2
        self.waiting += 1
        guard self.waiting == Self.callsPerStep else { return }
        self.waiting = 0
        let before = self.handler.calls
        let received = self.exchange(self.output)
        precondition(
            self.handler.calls - before == Self.callsPerStep
                && received > Self.callsPerStep * Self.responseBytes,
            "every call has come and was responded to")
    }

    /// Sends bytes, lets the loop do what it can, and drops what comes.
    ///
    /// - Returns: Bytes that came.
    @discardableResult
    private func exchange(_ bytes: [UInt8]) -> Int {
        // SAFETY: the socket copies the bytes before the closure returns.
        let outcome = bytes.withUnsafeBytes { self.socket.write($0) }
        guard case .bytes(bytes.count) = outcome else {
            preconditionFailure("the network takes a step's frames")
        }
        var received = 0
        // The first step reads, responds and writes; the second has nothing more to do.
        for _ in 0 ..< 2 {
            _ = self.loop.step()
            while case .bytes(let count) = self.socket.read(into: self.input) { received += count }
        }
        return received
    }

    /// Responds to every message with constant bytes.
    private final class Handler: RPCHandler {
        // SAFETY: the owner of both keeps the loop as long as this handler is called.
        unowned(unsafe) var loop: RPCLoop!
        private(set) var calls = 0
        private let response = PathBytes([UInt8](repeating: 7, count: LoopPath.responseBytes))

        func admit(_ call: RPCCall, credentials: UnsafeRawBufferPointer) -> RPCAdmission {
            .accepted
        }

        func receive(_ message: UnsafeRawBufferPointer, of call: RPCCall) {
            self.calls += 1
            self.loop.respond(to: call.token, message: self.response.bytes)
        }

        func requestsEnded(of call: RPCCall) {}
        func becameWritable(_ token: CallToken) {}
        func drain(_ token: CallToken) {}
        func cancelled(_ token: CallToken) {}
        func woken() {}
        func beforeSleep() {}
    }
}
