// Probes and metrics have a thread and a port of their own: they respond while the loops are busy,
// and no request here can slow down a call. A second event loop of 200 lines is simpler than
// sharing buffers and limits with the gRPC loops.

import IOCore
import Synchronization

/// Serves `AdminPages` over HTTP/1.1 on the thread that calls `run`.
// SAFETY: all mutable state belongs to the thread of `run` (or of the test that calls `turn`);
// `stop`, the one method for others, touches an atomic and the poller's `wake` only.
package final class AdminListener: @unchecked Sendable {
    /// Most simultaneous connections: a few scrapers and probes; 64 times the largest page is 64
    /// MiB.
    package static let connectionsMax = 64
    /// Accepts before the existing connections get their turn.
    private static let acceptsPerTurnMax = 16
    /// Pause after running out of descriptors or memory, in nanoseconds.
    static let acceptPauseNanoseconds: UInt64 = 1_000_000_000
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
    private let pages: any AdminPages
    private let scratch: UnsafeMutableRawBufferPointer
    private let stopping = Atomic<Bool>(false)

    private var slots = [Slot](repeating: Slot(), count: AdminListener.connectionsMax)
    private var isAccepting = true
    /// When a pause for lack of descriptors ends, in monotonic nanoseconds.
    private var acceptResumesAt: UInt64?

    private static let listenerTag: UInt64 = 0

    /// Binds the endpoint; from here on the kernel queues connections.
    ///
    /// - Throws: The error of the bind or of the poller.
    package init(
        network: any Network, endpoint: Endpoint, clock: any Clock, pages: any AdminPages
    ) throws(IOError) {
        self.poller = try network.makePoller()
        self.listener = try network.listen(
            host: endpoint.host, port: endpoint.port, sharesPort: false)
        self.address = self.listener.address
        self.clock = clock
        self.pages = pages
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
        let ready = self.poller.wait(forNanoseconds: waitNanoseconds).ready
        let context = AdminConnection.Context(
            pages: self.pages, now: self.clock.monotonicNanoseconds(),
            wallMicroseconds: self.clock.wallMicroseconds(), scratch: self.scratch)
        var mayAccept = false
        for one in ready {
            if one.tag == Self.listenerTag {
                mayAccept = true
            } else if let index = self.slotIndex(ofTag: one.tag) {
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
        guard let interest = connection.turn(context) else { return self.close(index) }
        guard interest != self.slots[index].interest else { return }
        self.slots[index].interest = interest
        self.poller.modify(
            connection.socket.descriptor, tag: self.tag(of: index), interest: interest)
    }

    private func close(_ index: Int) {
        guard let connection = self.slots[index].connection else { return }
        self.poller.remove(connection.socket.descriptor)
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

    private func accept(_ context: AdminConnection.Context) {
        for _ in 0 ..< Self.acceptsPerTurnMax {
            guard let index = self.slotToUse() else { return }
            switch self.listener.accept() {
            case .wouldBlock:
                return
            case .exhausted:
                // Readiness is level-triggered: without a pause this would spin.
                self.acceptResumesAt = context.now + Self.acceptPauseNanoseconds
                return
            case .socket(let socket):
                self.close(index)
                self.open(socket, in: index, context)
            }
        }
    }

    private func open(
        _ socket: any StreamSocket, in index: Int, _ context: AdminConnection.Context
    ) {
        do {
            try self.poller.add(
                socket.descriptor, tag: self.tag(of: index), interest: .read)
        } catch {
            // The kernel has no memory for another watch: the client sees a close and reconnects.
            socket.close()
            return
        }
        self.slots[index].connection = AdminConnection(socket: socket, now: context.now)
        self.slots[index].interest = .read
    }

    /// A slot without a connection, or the one that has been idle longest, so that keep-alive
    /// connections cannot lock a probe out. `nil` if all are busy.
    private func slotToUse() -> Int? {
        var oldest: (index: Int, deadline: UInt64)?
        for (index, slot) in self.slots.enumerated() {
            guard let connection = slot.connection else { return index }
            if connection.isIdle, connection.deadline < oldest?.deadline ?? .max {
                oldest = (index, connection.deadline)
            }
        }
        return oldest?.index
    }

    /// Watches the listening socket only while another connection can be accepted; the others wait
    /// in the kernel's queue.
    private func updateAccepting() {
        let accepting = self.acceptResumesAt == nil && self.slotToUse() != nil
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
