import Bytes
import IOCore
import Synchronization

/// One thread's share of the server: its listener, its connections, their streams, its timers.
///
/// A tick: wait for readiness; completions of other threads (`RPCHandler.woken`); one read per
/// ready connection; due timers; `RPCHandler.beforeSleep`; then one write per connection that has
/// output. Everything but `wake`, `beginDrain` and `stop` belongs to the thread that called `run`.
package final class RPCLoop {
    /// Most bytes that one read takes from a socket.
    private static let readBytes = 64 << 10
    /// How long accepting pauses when descriptors run out, in nanoseconds.
    private static let acceptPauseNanoseconds: UInt64 = 100_000_000
    /// Most connections accepted in one tick, so that a flood of them does not starve the others.
    private static let acceptsPerTick = 64
    private static let listenerTag = UInt64.max
    private static let checkPath = "/grpc.health.v1.Health/Check"
    private static let watchPath = "/grpc.health.v1.Health/Watch"

    package let index: Int
    package let metrics: TransportMetrics
    /// Set once, before `run`.
    package unowned(unsafe) var handler: (any RPCHandler)!
    /// Monotonic time of this tick, in nanoseconds.
    package private(set) var nowNanoseconds: UInt64
    /// Wall-clock time of this tick, in microseconds since 1970.
    package private(set) var nowWallMicroseconds: Int64

    let limits: TransportLimits
    let methods: MethodTable
    let settings: SessionSettings
    let memory = SessionMemory()
    let health: HealthRegistry
    var wheel: TimerWheel
    /// Connections with something to send in this tick.
    var dirty: [Connection] = []
    var pendingResponseBytes = 0
    /// Answers have left since the last look at `streamsAwaitingWritable`.
    var hasDrained = false
    /// Streams that were told `.full`; an entry counts only while its stream says so.
    var streamsAwaitingWritable: [RPCStream] = []
    /// Calls whose requests may come again.
    var resumed: [CallToken] = []

    private let listener: any ListeningSocket
    private let poller: any Poller
    private let clock: any Clock
    private let readBuffer: UnsafeMutableRawBufferPointer
    /// By slot; `nil`: free.
    private var connections: [OpenConnection?] = []
    private var freeSlots: [UInt32] = []
    private var generation: UInt32 = 0
    private var connectionCount = 0
    /// Every stream ever made, each with a reference of this loop.
    private var streams: [Unmanaged<RPCStream>] = []
    private var freeStreams: [Unmanaged<RPCStream>] = []
    private var healthVersion: UInt64 = 0
    private var isAccepting = true
    private var acceptAgainNanoseconds: UInt64 = 0
    private let command = Atomic<UInt8>(Command.run.rawValue)
    private let graceNanoseconds = Atomic<UInt64>(0)
    private var drainDeadline: UInt64?
    private var drainFinalAt: UInt64 = 0

    private enum Command: UInt8 {
        case run = 0
        case drain = 1
        case stop = 2
    }

    /// A connection and its socket.
    private struct OpenConnection {
        var connection: Connection
        var socket: any StreamSocket
        var wantsWrite = false
    }

    package init(
        index: Int, listener: any ListeningSocket, poller: any Poller, clock: any Clock,
        methods: [RPCMethodDescriptor], limits: TransportLimits, health: HealthRegistry
    ) {
        self.index = index
        self.listener = listener
        self.poller = poller
        self.clock = clock
        self.limits = limits
        self.health = health
        self.methods = MethodTable(
            methods + [
                RPCMethodDescriptor(path: Self.checkPath),
                RPCMethodDescriptor(path: Self.watchPath, streamsResponses: true),
            ])
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
    /// pass; then `run` returns (C12).
    package func beginDrain(graceNanoseconds: UInt64) {
        self.graceNanoseconds.store(graceNanoseconds, ordering: .relaxed)
        self.command.store(Command.drain.rawValue, ordering: .releasing)
        self.poller.wake()
    }

    /// Makes `run` return at once.
    package func stop() {
        self.command.store(Command.stop.rawValue, ordering: .releasing)
        self.poller.wake()
    }

    // MARK: The tick

    /// Serves until stopped or drained.
    package func run() throws(IOError) {
        try self.poller.add(self.listener.descriptor, tag: Self.listenerTag, interest: .read)
        while self.tick() {}
        self.closeAll()
    }

    /// One turn; false when the loop has ended.
    private func tick() -> Bool {
        let (ready, woken) = self.poller.wait(forNanoseconds: self.pause())
        self.nowNanoseconds = self.clock.monotonicNanoseconds()
        self.nowWallMicroseconds = self.clock.wallMicroseconds()
        if woken {
            self.handler.woken()
            guard self.command.load(ordering: .acquiring) != Command.stop.rawValue else {
                return false
            }
        }
        for readiness in ready { self.handle(readiness) }
        while let timer = self.wheel.popDue(nowNanoseconds: self.nowNanoseconds) { timer.fire?() }
        self.resumeAccepting()
        self.pushHealth()
        let isDrained = self.advanceDrain()
        self.announceWritable()
        self.deliverHeld()
        self.handler.beforeSleep()
        self.flush()
        self.metrics.setOpen(
            connections: self.connectionCount, streams: self.streams.count - self.freeStreams.count)
        return !isDrained
    }

    /// How long the next wait may last.
    private func pause() -> UInt64? {
        if self.hasMoreToDo { return 0 }
        if self.wheel.count > 0 || self.drainDeadline != nil || !self.isAccepting {
            return TimerWheel.slotNanoseconds
        }
        return nil
    }

    private func handle(_ readiness: IOReadiness) {
        if readiness.tag == Self.listenerTag { return self.accept() }
        let slot = Int(readiness.tag & 0xFFFF_FFFF)
        guard slot < self.connections.count, let open = self.connections[slot],
            open.connection.generation == UInt32(readiness.tag >> 32)
        else { return }
        if readiness.interest.contains(.write) { open.connection.markDirty() }
        guard readiness.interest.contains(.read) else { return }
        // One read per tick: a busy connection waits for its next turn like everyone else.
        switch open.socket.read(into: self.readBuffer) {
        case .bytes(let count):
            open.connection.receive(UnsafeRawBufferPointer(rebasing: self.readBuffer[..<count]))
        case .wouldBlock: break
        case .closed: self.close(open.connection, .peerClosed)
        }
    }

    private func flush() {
        var index = 0
        // Grows while it is walked: an answer may be queued by the end of another call.
        while index < self.dirty.count {
            let connection = self.dirty[index]
            connection.isDirty = false
            self.flush(connection)
            index += 1
        }
        self.dirty.removeAll(keepingCapacity: true)
    }

    private func flush(_ connection: Connection) {
        guard let open = self.connections[Int(connection.slot)], open.connection === connection
        else { return }
        while true {
            if connection.closing == nil { connection.collectOutput() }
            if let reason = connection.closing, reason != .done {
                return self.close(connection, reason)
            }
            let waiting = connection.output.count - connection.outputOffset
            guard waiting > 0 else { break }
            let bytes = UnsafeRawBufferPointer(
                rebasing: connection.output.bytes[connection.outputOffset...])
            switch open.socket.write(bytes) {
            case .bytes(let count):
                connection.didWrite(count)
                connection.stalledSinceNanoseconds = 0
                if count < waiting { return self.watch(connection, forWrite: true) }
                guard waiting >= self.limits.sendBytes else { break }
                continue
            case .wouldBlock: return self.watch(connection, forWrite: true)
            case .closed: return self.close(connection, .peerClosed)
            }
            break
        }
        self.watch(connection, forWrite: false)
        if connection.closing == .done { self.close(connection, .done) }
    }

    private func watch(_ connection: Connection, forWrite: Bool) {
        let slot = Int(connection.slot)
        if forWrite, connection.stalledSinceNanoseconds == 0 {
            connection.stalledSinceNanoseconds = self.nowNanoseconds
            self.scheduleCheck(of: connection)
        }
        guard let open = self.connections[slot], open.wantsWrite != forWrite else { return }
        self.connections[slot]?.wantsWrite = forWrite
        self.poller.modify(
            open.socket.descriptor, tag: Self.tag(of: connection),
            interest: forWrite ? [.read, .write] : .read)
    }

    // MARK: Connections

    private func accept() {
        for _ in 0 ..< Self.acceptsPerTick {
            switch self.listener.accept() {
            case .socket(let socket): self.open(socket)
            case .wouldBlock: return
            case .exhausted:
                self.isAccepting = false
                self.acceptAgainNanoseconds = self.nowNanoseconds + Self.acceptPauseNanoseconds
                self.poller.remove(self.listener.descriptor)
                return
            }
        }
    }

    private func resumeAccepting() {
        guard !self.isAccepting, self.drainDeadline == nil,
            self.nowNanoseconds >= self.acceptAgainNanoseconds
        else { return }
        // A failure leaves it paused: it is tried again after the next pause.
        self.acceptAgainNanoseconds = self.nowNanoseconds + Self.acceptPauseNanoseconds
        self.isAccepting =
            (try? self.poller.add(self.listener.descriptor, tag: Self.listenerTag, interest: .read))
            != nil
    }

    private func open(_ socket: any StreamSocket) {
        guard self.connectionCount < self.limits.connectionsMax else {
            self.metrics.ended(.tooMany)
            return socket.close()
        }
        let slot = self.freeSlots.popLast() ?? UInt32(self.connections.count)
        if Int(slot) == self.connections.count { self.connections.append(nil) }
        self.generation &+= 1
        let connection = Connection(
            loop: self, slot: slot, generation: self.generation, nowNanoseconds: self.nowNanoseconds
        )
        connection.timer.fire = { [unowned self, unowned connection] in self.check(connection) }
        do throws(IOError) {
            try self.poller.add(socket.descriptor, tag: Self.tag(of: connection), interest: .read)
        } catch {
            connection.destroy()
            self.freeSlots.append(slot)
            return socket.close()
        }
        self.connections[Int(slot)] = OpenConnection(connection: connection, socket: socket)
        self.connectionCount += 1
        self.scheduleCheck(of: connection)
        connection.markDirty()
    }

    private func close(_ connection: Connection, _ reason: ConnectionEnd) {
        guard let open = self.connections[Int(connection.slot)], open.connection === connection
        else { return }
        self.connections[Int(connection.slot)] = nil
        connection.closing = reason
        self.metrics.ended(reason)
        self.sayGoodbye(connection, reason, on: open.socket)
        self.wheel.cancel(connection.timer)
        connection.abandonAll()
        connection.destroy()
        self.poller.remove(open.socket.descriptor)
        open.socket.close()
        self.freeSlots.append(connection.slot)
        self.connectionCount -= 1
    }

    private func closeAll() {
        for case let open? in self.connections { self.close(open.connection, .drained) }
        self.dirty.removeAll()
        self.poller.remove(self.listener.descriptor)
        self.listener.close()
    }

    private static func tag(of connection: Connection) -> UInt64 {
        UInt64(connection.generation) << 32 | UInt64(connection.slot)
    }

    // MARK: Streams

    func takeStream() -> Unmanaged<RPCStream> {
        if let stream = self.freeStreams.popLast() { return stream }
        let stream = RPCStream(slot: UInt32(self.streams.count))
        stream.timer.fire = { [unowned(unsafe) stream] in
            stream.withConnection { $0.timeExpired(stream) }
        }
        let kept = Unmanaged.passRetained(stream)
        self.streams.append(kept)
        return kept
    }

    func giveBack(_ stream: RPCStream) {
        stream.machine.close()
        stream.reset()
        self.freeStreams.append(Unmanaged.passUnretained(stream))
    }

    func schedule(_ stream: RPCStream, at nanoseconds: UInt64) {
        if nanoseconds == .max {
            self.wheel.cancel(stream.timer)
        } else {
            self.wheel.schedule(stream.timer, atNanoseconds: nanoseconds)
        }
    }

    func count(_ stream: RPCStream, code: RPCStatusCode) {
        guard !stream.isCounted else { return }
        stream.isCounted = true
        self.metrics.handled(
            method: stream.head.method, code: code,
            nanoseconds: self.nowNanoseconds - stream.startedNanoseconds)
    }

    func isHealth(method: Int) -> Bool { method >= self.methods.methods.count - 2 }
    func isHealthWatch(method: Int) -> Bool { method == self.methods.methods.count - 1 }

    func call(of stream: RPCStream) -> RPCCall {
        RPCCall(
            token: stream.token, method: stream.head.method ?? 0,
            deadlineNanoseconds: stream.deadlineNanoseconds,
            authorization: stream.head.authorization.bytes)
    }

    /// The stream of a token; `nil` if its call has ended.
    func stream(of token: CallToken) -> Unmanaged<RPCStream>? {
        guard Int(token.streamSlot) < self.streams.count else { return nil }
        let stream = self.streams[Int(token.streamSlot)]
        let isCurrent = stream._withUnsafeGuaranteedRef {
            $0.generation == token.streamGeneration && $0.isWithHandler && $0.token == token
        }
        return isCurrent ? stream : nil
    }

    // MARK: Answers

    /// Whether the call still waits for its answer.
    package func isOpen(_ token: CallToken) -> Bool {
        self.stream(of: token) != nil
    }

    /// Answers a unary call with one message and OK; a call that has ended meanwhile is counted and
    /// dropped.
    package func respond(to token: CallToken, message: UnsafeRawBufferPointer) {
        guard let stream = self.stream(of: token) else { return self.metrics.lateResponse() }
        stream._withUnsafeGuaranteedRef { stream in
            _ = stream.withConnection { $0.send(message, on: stream, isLast: true) }
        }
    }

    /// Sends one message of a response stream.
    package func send(_ message: UnsafeRawBufferPointer, to token: CallToken) -> SendOutcome {
        guard let stream = self.stream(of: token) else {
            self.metrics.lateResponse()
            return .gone
        }
        return stream._withUnsafeGuaranteedRef { stream in
            stream.withConnection { $0.send(message, on: stream, isLast: false) }
        }
    }

    /// Ends a call with a status.
    package func finish(_ token: CallToken, with status: RPCStatus) {
        guard let stream = self.stream(of: token) else { return self.metrics.lateResponse() }
        stream._withUnsafeGuaranteedRef { stream in
            stream.withConnection { $0.finish(stream, status) }
        }
    }

    private func pushHealth() {
        let version = self.health.version
        guard version != self.healthVersion else { return }
        self.healthVersion = version
        for case let open? in self.connections where open.connection.watches > 0 {
            open.connection.pushHealth()
        }
    }

    // MARK: Shutdown

    /// - Returns: Whether every connection has ended, or the grace is over.
    private func advanceDrain() -> Bool {
        guard self.command.load(ordering: .acquiring) == Command.drain.rawValue else {
            return false
        }
        guard let deadline = self.drainDeadline else {
            self.drainDeadline =
                self.nowNanoseconds + self.graceNanoseconds.load(ordering: .relaxed)
            self.drainFinalAt = self.nowNanoseconds + Connection.drainPingNanoseconds
            if self.isAccepting { self.poller.remove(self.listener.descriptor) }
            self.isAccepting = false
            for case let open? in self.connections { open.connection.announceDrain() }
            return self.connectionCount == 0
        }
        if self.nowNanoseconds >= self.drainFinalAt {
            for case let open? in self.connections { open.connection.finishDrain() }
        }
        return self.connectionCount == 0 || self.nowNanoseconds >= deadline
    }
}
