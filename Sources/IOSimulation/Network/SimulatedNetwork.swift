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
            for descriptor in state.ends.keys { state.cut(descriptor) }
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

        var waiting: Int { self.input.count - self.inputOffset }
        var spaceBytes: Int { max(0, self.capacityBytes - self.waiting) }

        /// Takes what there is space for; returns how many bytes that were.
        mutating func take(_ bytes: [UInt8]) -> Int {
            let count = min(self.spaceBytes, bytes.count)
            self.input += bytes[..<count]
            self.largestArrivalBytes = max(self.largestArrivalBytes, count)
            return count
        }
    }

    /// Everything behind the lock.
    struct State: Sendable {
        var listeners: [Int32: Listener] = [:]
        var ends: [Int32: End] = [:]
        var connectionCount = 0
        var isExhausted = false
        let bufferBytes: Int
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
            if end.isPeerGone { return [.read, .write] }
            let isWritable = (self.ends[end.other]?.spaceBytes ?? 1) > 0
            return (end.waiting > 0 || end.isInputEnded ? IOInterest.read : []).union(
                isWritable ? .write : [])
        }

        mutating func read(_ descriptor: Int32, atMost count: Int) -> [UInt8]? {
            guard var end = self.ends.removeValue(forKey: descriptor) else { return nil }
            let taken = Array(end.input[end.inputOffset...].prefix(count))
            end.inputOffset += taken.count
            if end.inputOffset == end.input.count {
                end.input.removeAll(keepingCapacity: true)
                end.inputOffset = 0
            }
            let isClosed = taken.isEmpty && (end.isPeerGone || end.isInputEnded)
            self.ends[descriptor] = end
            return isClosed ? nil : taken
        }

        /// - Returns: Bytes taken; `nil` if the other end is closed.
        mutating func write(_ descriptor: Int32, _ bytes: [UInt8]) -> Int? {
            guard let end = self.ends[descriptor], !end.isPeerGone else { return nil }
            return self.ends[end.other]?.take(bytes)
        }

        mutating func close(_ descriptor: Int32) {
            if let listener = self.listeners.removeValue(forKey: descriptor) {
                for waiting in listener.backlog { self.close(waiting) }
            }
            guard let end = self.ends.removeValue(forKey: descriptor) else { return }
            self.ends[end.other]?.isPeerGone = true
        }

        /// Both ends see the connection closed, and what was under way is lost.
        mutating func cut(_ descriptor: Int32) {
            guard let other = self.ends[descriptor]?.other else { return }
            for end in [descriptor, other] {
                self.ends[end]?.input = []
                self.ends[end]?.inputOffset = 0
                self.ends[end]?.isPeerGone = true
            }
        }
    }
}
