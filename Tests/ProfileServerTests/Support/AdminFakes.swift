import IOCore
import ProfileServer
import Synchronization
import Testing

/// A clock that only a test advances.
final class FakeClock: Clock {
    private let monotonic = Mutex<UInt64>(1_000_000_000_000)
    private let wall: Int64

    init(wallMicroseconds: Int64 = 0) { self.wall = wallMicroseconds }

    func wallMicroseconds() -> Int64 { self.wall }
    func monotonicNanoseconds() -> UInt64 { self.monotonic.withLock { $0 } }
    func advance(nanoseconds: UInt64) { self.monotonic.withLock { $0 += nanoseconds } }
    func advance(seconds: UInt64) { self.advance(nanoseconds: seconds * 1_000_000_000) }
}

/// A socket whose peer is the test case.
final class FakeSocket: StreamSocket {
    let descriptor: Int32
    let peer: String
    /// Bytes sent by the peer and not read yet.
    var incoming: [UInt8] = []
    var incomingEnded = false
    /// Bytes received by the peer.
    var received: [UInt8] = []
    /// How many more bytes the peer accepts.
    var window = Int.max
    var closes = 0

    init(descriptor: Int32, host: String = "127.0.0.1") {
        self.descriptor = descriptor
        self.peer = "\(host):\(descriptor)"
    }

    var text: String { String(decoding: self.received, as: UTF8.self) }

    func shutdownWrite() {}

    func send(_ text: String) { self.incoming += Array(text.utf8) }

    func read(into target: UnsafeMutableRawBufferPointer) -> IOOutcome {
        let count = min(target.count, self.incoming.count)
        guard count > 0 else { return self.incomingEnded ? .closed : .wouldBlock }
        target.copyBytes(from: self.incoming[..<count])
        self.incoming.removeFirst(count)
        return .bytes(count)
    }

    func write(_ source: UnsafeRawBufferPointer) -> IOOutcome {
        let count = min(source.count, self.window)
        guard count > 0 else { return .wouldBlock }
        self.received += Array(source[..<count])
        self.window -= count
        return .bytes(count)
    }

    func close() { self.closes += 1 }
}

final class FakeListener: ListeningSocket {
    let descriptor: Int32 = 3
    let address = "127.0.0.1:9464"
    var waiting: [FakeSocket] = []
    var isExhausted = false
    var closes = 0

    func accept() -> AcceptOutcome {
        if self.isExhausted { return .exhausted }
        return self.waiting.isEmpty ? .wouldBlock : .socket(self.waiting.removeFirst())
    }

    func close() { self.closes += 1 }
}

/// Level-triggered readiness of fake sockets; a wait that finds nothing ready advances the clock to
/// its timeout.
final class FakePoller: Poller, @unchecked Sendable {
    // Unchecked: each test uses it from one thread.
    struct Watch {
        var tag: UInt64
        var interest: IOInterest
    }

    let clock: FakeClock
    let listener: FakeListener
    var sockets: [Int32: FakeSocket] = [:]
    var watched: [Int32: Watch] = [:]
    var waits: [UInt64?] = []
    var isWoken = false
    private let storage = UnsafeMutableBufferPointer<IOReadiness>.allocate(capacity: 256)

    init(clock: FakeClock, listener: FakeListener) {
        self.clock = clock
        self.listener = listener
    }

    deinit { self.storage.deallocate() }

    func add(_ descriptor: Int32, tag: UInt64, interest: IOInterest) throws(IOError) {
        precondition(self.watched[descriptor] == nil, "added twice")
        self.watched[descriptor] = Watch(tag: tag, interest: interest)
    }

    func modify(_ descriptor: Int32, tag: UInt64, interest: IOInterest) {
        precondition(self.watched[descriptor]?.tag == tag, "modified with another tag")
        self.watched[descriptor] = Watch(tag: tag, interest: interest)
    }

    func remove(_ descriptor: Int32) { self.watched[descriptor] = nil }

    func wait(
        forNanoseconds nanoseconds: UInt64?
    ) -> (ready: UnsafeBufferPointer<IOReadiness>, woken: Bool) {
        self.waits.append(nanoseconds)
        var count = 0
        for (descriptor, watch) in self.watched.sorted(by: { $0.key < $1.key }) {
            let ready = self.readiness(of: descriptor).intersection(watch.interest)
            guard !ready.isEmpty else { continue }
            self.storage[count] = IOReadiness(tag: watch.tag, interest: ready)
            count += 1
        }
        let woken = self.isWoken
        self.isWoken = false
        if count == 0, !woken, let nanoseconds { self.clock.advance(nanoseconds: nanoseconds) }
        return (UnsafeBufferPointer(start: self.storage.baseAddress, count: count), woken)
    }

    func wake() { self.isWoken = true }

    private func readiness(of descriptor: Int32) -> IOInterest {
        if descriptor == self.listener.descriptor {
            return self.listener.waiting.isEmpty && !self.listener.isExhausted ? [] : .read
        }
        guard let socket = self.sockets[descriptor], socket.closes == 0 else { return [] }
        var ready: IOInterest = []
        if !socket.incoming.isEmpty || socket.incomingEnded { ready.insert(.read) }
        if socket.window > 0 { ready.insert(.write) }
        return ready
    }
}

final class FakeNetwork: Network, @unchecked Sendable {
    // Unchecked: as the poller it hands out.
    let poller: FakePoller

    init(poller: FakePoller) { self.poller = poller }

    func makePoller() throws(IOError) -> any Poller { self.poller }

    func listen(
        host: String, port: UInt16, count: Int
    ) throws(IOError) -> [any ListeningSocket] { [self.poller.listener] }
}

final class FakePages: AdminPages {
    let phase: ServingPhase
    let metricsText: String
    /// What every debug page is; `nil`: too many wait.
    let debugPage: PendingContent?
    /// How often the metrics were rendered.
    let renderings = Atomic<Int>(0)

    init(
        phase: ServingPhase = .ready, metrics: String = "up 1\n",
        debugPage: PendingContent? = PendingContent()
    ) {
        self.phase = phase
        self.metricsText = metrics
        self.debugPage = debugPage
    }

    func livez() -> AdminCheck { self.phase.livez }
    func readyz() -> AdminCheck { self.phase.readyz }
    func startupz() -> AdminCheck { self.phase.startupz }
    func metrics(_ format: MetricsFormat) -> String {
        self.renderings.add(1, ordering: .relaxed)
        return self.metricsText
    }
    func debug(_ page: DebugPage) -> PendingContent? { self.debugPage }
    func version() -> String { "{}" }
}

/// An admin listener whose dependencies are all fakes.
final class AdminBench {
    let clock = FakeClock(wallMicroseconds: 784_111_777_000_000)
    let listener = FakeListener()
    let poller: FakePoller
    let admin: AdminListener
    private var nextDescriptor: Int32 = 10

    init(pages: FakePages = FakePages()) throws {
        self.poller = FakePoller(clock: self.clock, listener: self.listener)
        self.admin = try AdminListener(
            network: FakeNetwork(poller: self.poller), endpoint: #require(Endpoint("127.0.0.1:0")),
            clock: self.clock, pages: pages)
    }

    init(responder: any HTTPResponder) throws {
        self.poller = FakePoller(clock: self.clock, listener: self.listener)
        self.admin = try AdminListener(
            network: FakeNetwork(poller: self.poller), endpoint: #require(Endpoint("127.0.0.1:0")),
            clock: self.clock, responder: responder)
    }

    /// A client that has connected and been accepted.
    func connect(host: String = "127.0.0.1") -> FakeSocket {
        let socket = self.enqueue(host: host)
        self.admin.turn()
        return socket
    }

    /// A client in the accept queue.
    func enqueue(host: String = "127.0.0.1") -> FakeSocket {
        let socket = FakeSocket(descriptor: self.nextDescriptor, host: host)
        self.nextDescriptor += 1
        self.poller.sockets[socket.descriptor] = socket
        self.listener.waiting.append(socket)
        return socket
    }

    /// Turns until nothing is ready, without advancing the clock.
    func settle(turnsMax: Int = 1_000) {
        for _ in 0 ..< turnsMax {
            let before = self.clock.monotonicNanoseconds()
            guard self.hasReady else { return }
            self.admin.turn()
            precondition(before == self.clock.monotonicNanoseconds(), "time passed")
        }
        preconditionFailure("the listener spins")
    }

    /// Turns once with nothing ready, which advances the clock to the next deadline, and returns by
    /// how many seconds.
    func secondsToNextDeadline() -> UInt64? {
        precondition(!self.hasReady, "settle first")
        self.admin.turn()
        return self.poller.waits.last.flatMap { $0 }.map { $0 / 1_000_000_000 }
    }

    private var hasReady: Bool {
        self.poller.watched.contains { descriptor, watch in
            if descriptor == self.listener.descriptor {
                return watch.interest.contains(.read)
                    && (!self.listener.waiting.isEmpty || self.listener.isExhausted)
            }
            guard let socket = self.poller.sockets[descriptor] else { return false }
            return
                (watch.interest.contains(.read)
                && (!socket.incoming.isEmpty || socket.incomingEnded))
                || (watch.interest.contains(.write) && socket.window > 0)
        }
    }
}
