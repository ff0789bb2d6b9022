// Probes and metrics have a thread and a port of their own: they respond while the loops are busy,
// and no request here can slow down a call. A second event loop of 200 lines is simpler than
// sharing buffers and limits with the gRPC loops.

import GRPCTransport
import IOCore
import Synchronization

/// Serves the pages of a responder over HTTP/1.1 on the thread that calls `run`.
// SAFETY: all mutable state belongs to the thread of `run` (or of the test that calls `turn`);
// `stop`, the one method for others, touches an atomic and the poller's `wake` only.
package final class AdminListener: @unchecked Sendable {
    /// Most simultaneous connections: a few scrapers and probes; 64 times the largest page is 64
    /// MiB.
    package static let connectionsMax = 64
    /// Most connections of one address: half of all, so that no single one displaces the others.
    package static let connectionsPerAddressMax = 32
    /// Accepts before the existing connections get their turn: as many as one address may have, so
    /// that a connection has a turn before the next ones of its address displace it.
    private static let acceptsPerTurnMax = 32
    /// Pause after running out of descriptors or memory, in nanoseconds: readiness is
    /// level-triggered, so without a pause this would spin.
    static let acceptPauseNanoseconds: UInt64 = 100_000_000
    /// One read, in bytes: the largest head.
    private static let scratchBytes = HTTPRequestParser.headBytesMax

    private struct Slot {
        var connection: AdminConnection?
        /// Part of the tag, so that readiness of a connection that was closed in this turn is not
        /// attributed to its successor.
        var generation: UInt32 = 0
        var interest: IOInterest = .read
    }

    /// The bound address with its real port.
    package let address: String
    private let listener: any ListeningSocket
    private let poller: any Poller
    private let clock: any Clock
    private let responder: any HTTPResponder
    private let scratch: UnsafeMutableRawBufferPointer
    private let stopping = Atomic<Bool>(false)

    private var slots = [Slot](repeating: Slot(), count: AdminListener.connectionsMax)
    private var acceptedCount: UInt64 = 0
    private var isAccepting = true
    /// When a pause for lack of descriptors ends, in monotonic nanoseconds.
    private var acceptResumesAt: UInt64?

    private static let listenerTag: UInt64 = 0

    /// Binds the endpoint; from here on the kernel queues connections.
    ///
    /// - Throws: The error of the bind or of the poller.
    package convenience init(
        network: any Network, endpoint: Endpoint, clock: any Clock, pages: any AdminPages
    ) throws(IOError) {
        try self.init(
            network: network, endpoint: endpoint, clock: clock, responder: AdminResponder(pages))
    }

    /// As above, for any responder.
    package init(
        network: any Network, endpoint: Endpoint, clock: any Clock, responder: any HTTPResponder
    ) throws(IOError) {
        self.poller = try network.makePoller()
        self.listener = try network.listen(host: endpoint.host, port: endpoint.port)
        self.address = self.listener.address
        self.clock = clock
        self.responder = responder
        self.scratch = .allocate(byteCount: Self.scratchBytes, alignment: 16)
        do {
            try self.poller.add(self.listener.descriptor, tag: Self.listenerTag, interest: .read)
        } catch {
            self.listener.close()
            throw error
        }
    }

    deinit {
        // SAFETY: allocated in init, handed out only for the time of a turn.
        self.scratch.deallocate()
    }

    /// Serves until `stop`; then closes all. Once only, on a thread of its own.
    package func run() {
        while !self.stopping.load(ordering: .acquiring) { self.turn() }
        for index in self.slots.indices { self.close(index) }
        self.poller.remove(self.listener.descriptor)
        self.listener.close()
    }

    /// Makes `run` return; from any thread. Stop it last, because during a drain it is what
    /// reports "draining".
    package func stop() {
        self.stopping.store(true, ordering: .releasing)
        self.poller.wake()
    }

    /// Waits for readiness or the next deadline, once, and does what is due.
    package func turn() {
        let waitNanoseconds = self.nextDeadline().map { deadline in
            let now = self.clock.monotonicNanoseconds()
            return deadline > now ? deadline - now : 0
        }
        let (ready, woken) = self.poller.wait(forNanoseconds: waitNanoseconds)
        let poller = self.poller
        let context = AdminConnection.Context(
            responder: self.responder.forTurn(), wake: { poller.wake() },
            now: self.clock.monotonicNanoseconds(),
            wallMicroseconds: self.clock.wallMicroseconds(), scratch: self.scratch)
        var mayAccept = false
        for one in ready {
            if one.tag == Self.listenerTag {
                mayAccept = true
            } else if let index = self.slotIndex(ofTag: one.tag) {
                self.turn(index, context)
            }
        }
        if woken {
            for index in self.slots.indices
            where self.slots[index].connection?.hasPendingContent == true {
                self.turn(index, context)
            }
        }
        self.expire(context)
        // Accept last, so that the slot of a connection that has just ended can be reused.
        if mayAccept { self.accept(context) }
        self.updateAccepting()
    }

    // MARK: - Connections

    private func turn(_ index: Int, _ context: AdminConnection.Context) {
        guard let connection = self.slots[index].connection else { return }
        guard let wanted = connection.turn(context) else { return self.close(index) }
        let interest = connection.socket.interest(for: wanted)
        guard interest != self.slots[index].interest else { return }
        self.slots[index].interest = interest
        self.poller.modify(
            connection.socket.descriptor, tag: self.tag(of: index), interest: interest)
    }

    private func close(_ index: Int) {
        guard let connection = self.slots[index].connection else { return }
        self.poller.remove(connection.socket.descriptor)
        connection.abandon()
        connection.socket.close()
        self.slots[index].connection = nil
        self.slots[index].generation &+= 1
    }

    private func expire(_ context: AdminConnection.Context) {
        for index in self.slots.indices {
            guard let connection = self.slots[index].connection,
                connection.deadline <= context.now
            else { continue }
            connection.expire(context)
            self.close(index)
        }
        if let resumesAt = self.acceptResumesAt, resumesAt <= context.now {
            self.acceptResumesAt = nil
        }
    }

    private func nextDeadline() -> UInt64? {
        var next = self.acceptResumesAt
        for slot in self.slots {
            guard let deadline = slot.connection?.deadline else { continue }
            next = min(next ?? deadline, deadline)
        }
        return next
    }

    // MARK: - Accepting

    /// Takes new connections, each of which gets a turn at once: a probe that has sent its request
    /// has its response before anything can displace it.
    private func accept(_ context: AdminConnection.Context) {
        for _ in 0 ..< Self.acceptsPerTurnMax {
            switch self.listener.accept() {
            case .wouldBlock:
                return
            case .exhausted:
                // A connection that does nothing is worth less than one that wants to.
                if let index = self.leastWorth(of: nil), self.worth(of: index) != .responding {
                    self.close(index)
                    continue
                }
                self.acceptResumesAt = context.now + Self.acceptPauseNanoseconds
                return
            case .socket(let socket):
                self.acceptedCount += 1
                let connection = AdminConnection(
                    socket: socket, number: self.acceptedCount, now: context.now,
                    readsDetails: self.responder.readsDetails)
                self.open(connection, context)
            }
        }
    }

    private func open(_ connection: AdminConnection, _ context: AdminConnection.Context) {
        let index = self.slot(for: connection)
        self.close(index)
        do {
            try self.poller.add(
                connection.socket.descriptor, tag: self.tag(of: index), interest: .read)
        } catch {
            // The kernel has no memory for another watch: the client sees a close and reconnects.
            return connection.socket.close()
        }
        self.slots[index].connection = connection
        self.slots[index].interest = .read
        self.turn(index, context)
    }

    /// A free slot, or that of the connection which is worth least: of the same address if it has
    /// its share, otherwise of all.
    private func slot(for connection: AdminConnection) -> Int {
        let sameHost = self.slots.count { $0.connection?.host == connection.host }
        if sameHost >= Self.connectionsPerAddressMax,
            let index = self.leastWorth(of: connection.host)
        {
            return index
        }
        if let free = self.slots.firstIndex(where: { $0.connection == nil }) { return free }
        guard let index = self.leastWorth(of: nil) else {
            preconditionFailure("without a free slot there are connections")
        }
        return index
    }

    /// The connection to close in favour of a new one.
    ///
    /// - Parameter host: Only of this address; `nil`: of all.
    private func leastWorth(of host: PeerAddress?) -> Int? {
        var least: (index: Int, connection: AdminConnection)?
        for (index, slot) in self.slots.enumerated() {
            guard let connection = slot.connection, host ?? connection.host == connection.host
            else { continue }
            if let found = least, !connection.isWorthLess(than: found.connection) { continue }
            least = (index, connection)
        }
        return least?.index
    }

    private func worth(of index: Int) -> AdminConnection.Worth? {
        self.slots[index].connection?.worth
    }

    /// Watches the listening socket unless accepting pauses.
    private func updateAccepting() {
        let accepting = self.acceptResumesAt == nil
        guard accepting != self.isAccepting else { return }
        self.isAccepting = accepting
        self.poller.modify(
            self.listener.descriptor, tag: Self.listenerTag, interest: accepting ? .read : [])
    }

    // MARK: - Tags

    /// Generation, then slot + 1 in the low byte: 0 is the listener.
    private func tag(of index: Int) -> UInt64 {
        UInt64(self.slots[index].generation) << 8 | UInt64(index + 1)
    }

    private func slotIndex(ofTag tag: UInt64) -> Int? {
        let index = Int(tag & 0xFF) - 1
        guard self.slots.indices.contains(index), self.tag(of: index) == tag else { return nil }
        return index
    }
}
