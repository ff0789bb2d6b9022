// A network in memory: sockets, listeners and pollers that never wait. Tests only.

import IOCore

/// A network for tests: deterministic, in memory, non-blocking, with bounded buffers and
/// connections that can be cut.
///
/// All state is behind one lock, so nodes on several threads may use it too.
package final class SimulatedNetwork: Network {
    /// What one direction of a connection holds unless the test says otherwise, in bytes: as a
    /// kernel's socket buffer, it makes a peer that does not read hold the writer back.
    package static let bufferBytes = 64 << 10
    /// Connections that may wait to be accepted at one listener.
    static let backlogMax = 128

    let state: Guarded<State>

    /// - Parameter bufferBytes: What one direction of a connection holds, in bytes.
    package init(bufferBytes: Int = SimulatedNetwork.bufferBytes) {
        self.state = Guarded(State(bufferBytes: bufferBytes))
    }

    package func makePoller() throws(IOError) -> any Poller {
        self.makeSimulatedPoller()
    }

    /// The same, for a driver that must know whether it has work.
    package func makeSimulatedPoller() -> SimulatedPoller {
        SimulatedPoller(self)
    }

    package func listen(
        host: String, port: UInt16, count: Int
    ) throws(IOError) -> [any ListeningSocket] {
        let opened = self.state.withLock { state -> (descriptors: [Int32], address: String)? in
            let port = port == 0 ? state.takePort() : port
            let address = "\(host):\(port)"
            guard !state.listeners.values.contains(where: { $0.address == address }) else {
                return nil
            }
            let descriptors = (0 ..< count).map { _ in state.takeDescriptor() }
            for descriptor in descriptors {
                state.listeners[descriptor] = Listener(address: address)
            }
            return (descriptors, address)
        }
        guard let opened else {
            throw IOError(.other, operation: "bind", subject: "\(host):\(port)", code: 98)
        }
        return opened.descriptors.map {
            SimulatedListener(self, descriptor: $0, address: opened.address)
        }
    }

    /// Connects a client.
    ///
    /// Several listeners of one address take turns.
    ///
    /// - Returns: The client's end; `nil` if nothing listens there or too many wait already.
    package func connect(to address: String, from host: String = "127.0.0.1") -> SimulatedSocket? {
        let ends = self.state.withLock { state -> (descriptor: Int32, peer: String)? in
            let found = state.listeners.filter { $0.value.address == address }.keys.sorted()
            guard !found.isEmpty else { return nil }
            let listener = found[state.connectionCount % found.count]
            guard state.listeners[listener]!.backlog.count < Self.backlogMax else { return nil }
            state.connectionCount += 1
            let (client, server) = (state.takeDescriptor(), state.takeDescriptor())
            let peer = "\(host):\(state.takePort())"
            let capacity = state.bufferBytes
            state.ends[client] = End(peer: address, other: server, capacityBytes: capacity)
            state.ends[server] = End(peer: peer, other: client, capacityBytes: capacity)
            state.listeners[listener]!.backlog.append(server)
            return (client, address)
        }
        return ends.map { SimulatedSocket(self, descriptor: $0.descriptor, peer: $0.peer) }
    }

    /// Cuts every connection, as if the host had gone: both ends see it closed, bytes under way are
    /// lost. Listeners stop.
    package func cutAll() {
        self.state.withLock { state in
            for descriptor in state.ends.keys.sorted() { state.cut(descriptor) }
            state.listeners.removeAll()
        }
    }

    /// Whether the process has no descriptor left: connections arrive and cannot be accepted.
    package var isExhausted: Bool {
        get { self.state.withLock { $0.isExhausted } }
        set { self.state.withLock { $0.isExhausted = newValue } }
    }

    /// Whether a listener is open at an address.
    package func isListening(at address: String) -> Bool {
        self.state.withLock { $0.listeners.values.contains { $0.address == address } }
    }

    /// Lets time pass for what is under way, up to a monotonic time in nanoseconds.
    package func advance(to now: UInt64) { self.state.withLock { $0.now = now } }

    /// When the next bytes, or the next end, arrive; `nil`: nothing is under way.
    package var nextArrival: UInt64? { self.state.withLock { $0.nextArrival } }

    /// Bytes that ends have read and written so far.
    package var bytesMoved: Int { self.state.withLock { $0.bytesMoved } }

    /// Open connections by their clients' descriptors, in ascending order.
    package var connections: [Int32] {
        self.state.withLock { state in
            state.ends.keys.filter { $0 < state.ends[$0]!.other }.sorted()
        }
    }

    /// Delays what both ends of a connection send from now on; `.max`: the connection is half-open,
    /// neither end hears of the other again.
    package func delay(_ connection: Int32, nanoseconds: UInt64) {
        self.state.withLock { state in
            guard let other = state.ends[connection]?.other else { return }
            state.ends[connection]?.delayNanoseconds = nanoseconds
            state.ends[other]?.delayNanoseconds = nanoseconds
        }
    }

    /// Cuts a connection: both ends see it closed, and bytes under way are lost. One end may have
    /// closed it before, unheard by the other.
    package func cut(_ connection: Int32) {
        self.state.withLock { state in
            if state.ends[connection] != nil { return state.cut(connection) }
            for left in state.ends.keys.sorted() where state.ends[left]?.other == connection {
                state.cut(left)
            }
        }
    }

    /// Connections with an end that is still open.
    package var openEnds: Int { self.state.withLock { $0.ends.count } }
}

extension SimulatedNetwork {
    /// A listening socket.
    struct Listener: Sendable {
        var address: String
        /// Server ends that wait to be accepted, the oldest first.
        var backlog: [Int32] = []
    }

    /// One end of a connection, with what waits to be read here.
    struct End: Sendable {
        var peer: String
        /// The descriptor of the other end.
        var other: Int32
        /// What may wait to be read here, in bytes.
        var capacityBytes: Int
        /// Most bytes that one write of the other end has brought.
        var largestArrivalBytes = 0
        var input: [UInt8] = []
        /// Offset of the first unread byte of `input`.
        var inputOffset = 0
        /// The other end is closed: what waits can still be read.
        var isPeerGone = false
        /// The other end sends nothing more: what waits can still be read, and written as before.
        var isInputEnded = false
        /// From a write of the other end until it can be read here, in nanoseconds; `.max`: nothing
        /// arrives any more, not even that the other end is gone.
        var delayNanoseconds: UInt64 = 0
        /// The last bytes of `input`, which are still under way: how many, and when they arrive,
        /// the oldest first.
        var underway: [(bytes: Int, dueAt: UInt64)] = []
        /// When the end of the other side can be seen here, in nanoseconds.
        var endDueAt: UInt64 = 0

        var waiting: Int { self.input.count - self.inputOffset }
        var spaceBytes: Int { max(0, self.capacityBytes - self.waiting) }

        /// Takes what there is space for; returns how many bytes that were.
        mutating func take(_ bytes: [UInt8], at now: UInt64) -> Int {
            let count = min(self.spaceBytes, bytes.count)
            self.input += bytes[..<count]
            self.largestArrivalBytes = max(self.largestArrivalBytes, count)
            if self.delayNanoseconds > 0 || !self.underway.isEmpty {
                self.underway.append((count, self.dueAt(now)))
            }
            return count
        }

        /// When what is sent now arrives: never before what was sent earlier.
        func dueAt(_ now: UInt64) -> UInt64 {
            let (due, isNever) = now.addingReportingOverflow(self.delayNanoseconds)
            return max(isNever ? .max : due, self.underway.last?.dueAt ?? 0)
        }

        /// What has arrived by now.
        mutating func arrive(by now: UInt64) {
            let count = self.underway.prefix { $0.dueAt <= now }.count
            if count > 0 { self.underway.removeFirst(count) }
        }

        /// Bytes that can be read.
        func readable(at now: UInt64) -> Int {
            self.waiting
                - self.underway.reduce(0) { $1.dueAt > now ? $0 + $1.bytes : $0 }
        }

        /// Whether the reader sees, behind all bytes, that no more will come.
        func hasEnded(at now: UInt64) -> Bool {
            (self.isPeerGone || self.isInputEnded) && self.endDueAt <= now
                && self.readable(at: now) == self.waiting
        }
    }

    /// Everything behind the lock.
    struct State: Sendable {
        var listeners: [Int32: Listener] = [:]
        var ends: [Int32: End] = [:]
        var connectionCount = 0
        var isExhausted = false
        let bufferBytes: Int
        /// The time by which bytes under way arrive, in nanoseconds.
        var now: UInt64 = 0
        /// Bytes that ends have read and written.
        var bytesMoved = 0
        private var nextDescriptor: Int32 = 3
        private var nextPort: UInt16 = 40_000

        init(bufferBytes: Int) {
            self.bufferBytes = bufferBytes
        }

        mutating func takeDescriptor() -> Int32 {
            defer { self.nextDescriptor += 1 }
            return self.nextDescriptor
        }

        mutating func takePort() -> UInt16 {
            defer { self.nextPort = self.nextPort == .max ? 40_000 : self.nextPort + 1 }
            return self.nextPort
        }

        /// What a descriptor is ready for.
        func readiness(of descriptor: Int32) -> IOInterest {
            if let listener = self.listeners[descriptor] {
                return listener.backlog.isEmpty ? [] : .read
            }
            guard let end = self.ends[descriptor] else { return [] }
            if end.isPeerGone, end.endDueAt <= self.now { return [.read, .write] }
            let isWritable = (self.ends[end.other]?.spaceBytes ?? 1) > 0
            let isReadable = end.readable(at: self.now) > 0 || end.hasEnded(at: self.now)
            return (isReadable ? IOInterest.read : []).union(isWritable ? .write : [])
        }

        mutating func read(_ descriptor: Int32, atMost count: Int) -> [UInt8]? {
            guard var end = self.ends.removeValue(forKey: descriptor) else { return nil }
            end.arrive(by: self.now)
            let readable = min(count, end.readable(at: self.now))
            let taken = Array(end.input[end.inputOffset...].prefix(readable))
            end.inputOffset += taken.count
            if end.inputOffset == end.input.count {
                end.input.removeAll(keepingCapacity: true)
                end.inputOffset = 0
            }
            let isClosed = taken.isEmpty && end.hasEnded(at: self.now)
            self.ends[descriptor] = end
            self.bytesMoved += taken.count
            return isClosed ? nil : taken
        }

        /// - Returns: Bytes taken; `nil` if the other end is closed.
        mutating func write(_ descriptor: Int32, _ bytes: [UInt8]) -> Int? {
            guard let end = self.ends[descriptor] else { return nil }
            if end.isPeerGone {
                // Until this end hears of it, it sends to nobody.
                return end.endDueAt <= self.now ? nil : bytes.count
            }
            let count = self.ends[end.other]?.take(bytes, at: self.now)
            self.bytesMoved += count ?? 0
            return count
        }

        mutating func close(_ descriptor: Int32) {
            if let listener = self.listeners.removeValue(forKey: descriptor) {
                for waiting in listener.backlog { self.close(waiting) }
            }
            guard let end = self.ends.removeValue(forKey: descriptor) else { return }
            // Of a connection that was cut, both ends know already.
            guard var other = self.ends[end.other], !other.isPeerGone else { return }
            other.isPeerGone = true
            other.endDueAt = other.dueAt(self.now)
            self.ends[end.other] = other
        }

        /// Both ends see the connection closed, and what was under way is lost.
        mutating func cut(_ descriptor: Int32) {
            guard let other = self.ends[descriptor]?.other else { return }
            for end in [descriptor, other] {
                self.ends[end]?.input = []
                self.ends[end]?.inputOffset = 0
                self.ends[end]?.underway = []
                self.ends[end]?.endDueAt = 0
                self.ends[end]?.isPeerGone = true
            }
        }

        /// When the next bytes, or the next end, arrive.
        var nextArrival: UInt64? {
            var next: UInt64?
            for end in self.ends.values {
                for due in [end.underway.first?.dueAt ?? 0, end.endDueAt]
                where due > self.now && due != .max { next = min(next ?? due, due) }
            }
            return next
        }
    }
}
