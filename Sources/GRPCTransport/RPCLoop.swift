import Bytes
import IOCore
import Synchronization

/// One thread's share of the server: its listener, its connections, their streams, its timers.
///
/// A tick: wait for readiness; completions of other threads (`RPCHandler.woken`); one read per
/// ready connection; due timers; streams that became writable and requests that were resumed;
/// `RPCHandler.beforeSleep`; then one write per connection that has output.
///
/// A thread of its own drives it with `run`. A test or a simulator calls `start`, then `step` until
/// it returns `.ended`, then `finish`. Everything but `wake`, `beginDrain` and `stop` belongs to
/// the thread that drives it.
package final class RPCLoop: Steppable {
    /// Most bytes that one read takes from a socket: larger reads would hold the loop for longer
    /// on behalf of one connection, smaller ones cost system calls.
    static let readBytes = 64 << 10
    static let listenerTag = UInt64.max

    package let index: Int
    package let metrics: TransportMetrics
    /// Set once, before `start`.
    // SAFETY: whoever makes the loop owns the handler, and keeps it until the loop has ended.
    package unowned(unsafe) var handler: (any RPCHandler)!
    /// Monotonic time of this tick, in nanoseconds.
    package private(set) var nowNanoseconds: UInt64
    /// Wall-clock time of this tick, in microseconds since 1970.
    package private(set) var nowWallMicroseconds: Int64

    let limits: TransportLimits
    let observation: CallObservation
    /// Draws ids and samples of traces; `nil`: none was needed yet.
    var sampler: TraceSampler?
    /// What operators ask of the loop.
    package let inspector: LoopInspector
    let methods: MethodTable
    let settings: SessionSettings
    let memory = SessionMemory()
    let listener: any ListeningSocket
    let poller: any Poller
    var wheel: TimerWheel

    /// By slot; `nil`: free.
    var connections: [OpenConnection?] = []
    var freeSlots: [UInt32] = []
    var generation: UInt32 = 0
    var connectionCount = 0
    /// Connections with something to send in this tick.
    var dirty: [Connection] = []
    /// What the connection that is flushed collects its frames in; see `flush`.
    var spareOutput = ByteQueue(capacity: 4 << 10)
    var turns = ConnectionTurns()
    /// Tags of connections whose sockets hold input that the poller does not report.
    var bufferedInput: [UInt64] = []

    /// Every stream ever made, each with a reference of this loop.
    // SAFETY: this table owns the streams: each is retained when it is made and released in
    // deinit. Every other reference to them is uncounted and shorter.
    var streams: [Unmanaged<RPCStream>] = []
    var freeStreams: [Unmanaged<RPCStream>] = []
    /// Bytes of responses waiting in the streams and connections of this loop.
    var pendingResponseBytes = 0
    /// Responses have left since `announceWritable` looked at `streamsAwaitingWritable`.
    var hasDrained = false
    /// Streams that were told `.full`; an entry counts only while its stream says so.
    var streamsAwaitingWritable: [RPCStream] = []
    /// Calls whose requests may be delivered again.
    var resumed: [CallToken] = []
    /// Unary requests that became whole in the bytes that are being read; see `Connection.receive`.
    let wholeRequests = StreamQueue()
    /// Responses whose first message waits for `flush` to be given to nghttp2.
    let begunResponses = StreamQueue()
    /// Whole requests whose connection has too many unread responses.
    var deferredDispatches: [CallToken] = []
    /// Calls that are rejected later, the next one first.
    var delayedRejections: [DelayedRejection] = []
    /// When `shedResponses` compares the holders next.
    var nextShedNanoseconds: UInt64 = 0

    /// What unfinished requests hold.
    var requests = RequestBytes()
    /// Some of it was freed, or somebody began to wait, since `grantRequests` looked.
    var hasReleasedRequests = false
    /// Connections with requests that wait for their share of it, each once.
    var connectionsAwaitingRequestBytes: [Connection] = []
    /// Header blocks whose rest is to come.
    var openHeaderBlocks = 0
    /// When a request that holds others up is looked for next.
    var nextContentionNanoseconds: UInt64 = 0

    /// Connections of all loops, by peer.
    let registry: PeerRegistry
    /// The peers that have connections here.
    var peers: [PeerAddress: PeerShare] = [:]
    /// Connections that may yield, the most idle last, as of the tick of that time, and of that
    /// connection, the newest one then.
    var idleCandidates: [Connection] = []
    var idleCandidatesNanoseconds = UInt64.max
    var idleCandidatesGeneration: UInt32 = 0

    var listening = Listening.active
    var drain = Drain.none

    let clock: any Clock
    // SAFETY: allocated in `init`, freed in `deinit`; lent to one read of the loop's thread at a
    // time.
    private let readBuffer: UnsafeMutableRawBufferPointer
    private let command = Atomic<UInt8>(Command.run.rawValue)
    private let graceNanoseconds = Atomic<UInt64>(0)

    /// What another thread asked of the loop.
    private enum Command: UInt8 {
        case run = 0
        case drain = 1
        case stop = 2
    }

    /// Whether the listener is watched.
    ///
    /// ```
    /// active --no descriptor left--> paused --100 ms--> active
    ///    +------------ drain ------------+--> ended
    /// ```
    enum Listening: Equatable {
        case active
        /// Tried again at this monotonic time.
        case paused(untilNanoseconds: UInt64)
        case ended
    }

    /// How far the end of the loop in good order is (C12).
    enum Drain: Equatable {
        case none
        /// Every connection learnt of it. Those that do not acknowledge get their last GOAWAY at
        /// `finalNanoseconds`; whatever is open at `deadlineNanoseconds` is cut off.
        case begun(finalNanoseconds: UInt64, deadlineNanoseconds: UInt64)
    }

    /// A connection and its socket.
    struct OpenConnection {
        var connection: Connection
        var socket: any StreamSocket
        var wantsWrite = false
        /// What the poller watches it for.
        var interest = IOInterest.read
    }

    package init(
        index: Int, listener: any ListeningSocket, poller: any Poller, clock: any Clock,
        methods: [RPCMethodDescriptor], limits: TransportLimits,
        registry: PeerRegistry = PeerRegistry(), observation: CallObservation = CallObservation()
    ) {
        self.observation = observation
        self.inspector = LoopInspector(poller: poller)
        self.index = index
        self.registry = registry
        self.listener = listener
        self.poller = poller
        self.clock = clock
        self.limits = limits
        self.methods = MethodTable(methods)
        self.metrics = TransportMetrics(paths: self.methods.methods.map(\.path))
        self.settings = SessionSettings(limits: limits)
        self.nowNanoseconds = clock.monotonicNanoseconds()
        self.nowWallMicroseconds = clock.wallMicroseconds()
        self.wheel = TimerWheel(nowNanoseconds: clock.monotonicNanoseconds())
        self.readBuffer = .allocate(byteCount: Self.readBytes, alignment: 16)
    }

    deinit {
        for stream in self.streams { stream.release() }
        self.readBuffer.deallocate()
    }

    // MARK: From any thread

    /// Makes the loop call `RPCHandler.woken` soon.
    package func wake() {
        self.poller.wake()
    }

    /// Ends every connection in order: no new one, GOAWAY, open calls end or `graceNanoseconds`
    /// pass; then the loop has ended (C12).
    package func beginDrain(graceNanoseconds: UInt64) {
        self.graceNanoseconds.store(graceNanoseconds, ordering: .relaxed)
        self.command.store(Command.drain.rawValue, ordering: .releasing)
        self.poller.wake()
    }

    /// Ends the loop at its next tick, without waiting for anything.
    package func stop() {
        self.command.store(Command.stop.rawValue, ordering: .releasing)
        self.poller.wake()
    }

    // MARK: Driving

    /// Serves until stopped or drained, on the calling thread.
    package func run() throws(IOError) {
        try self.start()
        while self.tick(waitingAtMost: nil) {}
        self.finish()
    }

    /// Begins to accept connections; once, before the first tick.
    ///
    /// - Throws: What the poller says when it cannot watch the listener.
    package func start() throws(IOError) {
        try self.poller.add(self.listener.descriptor, tag: Self.listenerTag, interest: .read)
    }

    /// Does one tick without waiting, and returns when the next is due.
    ///
    /// The poller may have something ready before that time: a driver that sleeps between two steps
    /// must be woken by the poller too.
    package func step() -> NextStep {
        guard self.tick(waitingAtMost: 0) else { return .ended }
        switch self.pause {
        case nil: return .whenWoken
        case 0: return .now
        case .some(let nanoseconds): return .after(nanoseconds: nanoseconds)
        }
    }

    /// Does one tick.
    ///
    /// - Parameter limitNanoseconds: The longest wait in the poller; `nil`: until something is
    ///   ready or due; 0: no wait.
    /// - Returns: False when the loop has ended: it was stopped, or is drained. `finish` comes
    ///   next.
    package func tick(waitingAtMost limitNanoseconds: UInt64?) -> Bool {
        let (ready, woken) = self.poller.wait(
            forNanoseconds: Self.shorter(self.pause, limitNanoseconds))
        self.nowNanoseconds = self.clock.monotonicNanoseconds()
        self.nowWallMicroseconds = self.clock.wallMicroseconds()
        if woken {
            self.handler.woken()
            self.inspector.serve { self.inspect($0) }
            guard self.command.load(ordering: .acquiring) != Command.stop.rawValue else {
                return false
            }
        }
        let buffered = self.bufferedInput
        self.serve(ready)
        if !buffered.isEmpty { self.serve(buffered: buffered) }
        while let timer = self.wheel.popDue(nowNanoseconds: self.nowNanoseconds) { timer.fire?() }
        self.endDelayedRejections()
        self.resumeAccepting()
        if self.command.load(ordering: .acquiring) == Command.drain.rawValue {
            self.advanceDrain(graceNanoseconds: self.graceNanoseconds.load(ordering: .relaxed))
        }
        let hasEnded = self.isDrained
        self.announceWritable()
        self.deliverHeld()
        self.grantRequests()
        self.handler.beforeSleep()
        self.flush()
        self.metrics.turned()
        self.metrics.setOpen(connections: self.connectionCount, streams: self.openStreams)
        return !hasEnded
    }

    /// Closes the listener and every connection; once, after the last tick.
    package func finish() {
        if self.drain != .none { self.countCut() }
        self.idleCandidates.removeAll()
        for case let open? in self.connections { self.close(open.connection, .drained) }
        self.dirty.removeAll()
        self.connectionsAwaitingRequestBytes.removeAll()
        self.poller.remove(self.listener.descriptor)
        self.listener.close()
    }

    /// How long the next wait may last, in nanoseconds; `nil`: until something is ready.
    private var pause: UInt64? {
        if self.hasMoreToDo { return 0 }
        if self.wheel.count > 0 || self.drain != .none || self.listening != .active {
            return TimerWheel.slotNanoseconds
        }
        return nil
    }

    private static func shorter(_ one: UInt64?, _ other: UInt64?) -> UInt64? {
        guard let one, let other else { return one ?? other }
        return min(one, other)
    }

    /// Reads what has come, once, and forgets it.
    func discardInput(of socket: any StreamSocket) {
        _ = socket.read(into: self.readBuffer)
    }

    /// The clock itself; everything but the fairness of a tick uses `nowNanoseconds`.
    func readClock() -> UInt64 { self.clock.monotonicNanoseconds() }

    func handle(_ readiness: IOReadiness) {
        if readiness.tag == Self.listenerTag { return self.accept() }
        let slot = Self.slot(of: readiness)
        guard slot < self.connections.count, let open = self.connections[slot],
            open.connection.generation == UInt32(readiness.tag >> 32)
        else { return }
        if readiness.interest.contains(.write) { open.connection.markDirty() }
        guard readiness.interest.contains(.read) else { return }
        // One read per tick: a busy connection waits for its next tick like everyone else.
        let bytesMax =
            self.turns.isHeavy(slot: slot) ? Self.readBytes : ConnectionTurns.lightBytes
        switch open.socket.read(into: .init(rebasing: self.readBuffer[..<bytesMax])) {
        case .bytes(let count):
            self.turns.read(slot: slot, bytes: count)
            if open.socket.hasBufferedInput { self.bufferedInput.append(readiness.tag) }
            open.connection.receive(UnsafeRawBufferPointer(rebasing: self.readBuffer[..<count]))
        // A socket that encrypts has come further in its handshake.
        case .wouldBlock: self.updateInterest(of: open.connection)
        case .closed: self.close(open.connection, .peerClosed)
        }
    }
}
