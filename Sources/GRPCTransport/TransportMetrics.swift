import IOCore
import Synchronization

/// Counters of one loop: written by its thread, read by any, all relaxed.
// SAFETY: the tables are made once and freed with this object; all that changes in them is atomic.
package final class TransportMetrics: @unchecked Sendable {
    /// One counter: as its loop alone raises it, that is a load and a store, where an addition
    /// would lock the cache line.
    private struct Counter: ~Copyable {
        private let valueCell = Atomic<UInt64>(0)

        var value: UInt64 { self.valueCell.load(ordering: .relaxed) }

        @inline(__always)
        func raise() {
            self.valueCell.store(self.valueCell.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
        }
    }

    /// Of one method; kept in a table, so that a call counts no reference.
    private struct Counters: ~Copyable {
        let started = Counter()
        /// By `RPCStatusCode.rawValue`.
        let handled = InlineArray<17, Counter> { _ in Counter() }
        /// Reached without counting a reference; this holds one.
        // SAFETY: retained here, released in deinit; borrowed by calls of the object in between.
        let handling = Unmanaged.passRetained(Histogram(bounds: .handlingSeconds))

        deinit { self.handling.release() }
    }

    /// One method's figures at some moment.
    package struct Method: Sendable {
        /// `package.Service/Method`, or `unknown`.
        package var name: String
        package var started: UInt64
        /// By `RPCStatusCode.rawValue`.
        package var handled: [UInt64]
        package var handling: Histogram.Snapshot
    }

    private let names: [String]
    /// As many as names.
    private let methods: UnsafeMutablePointer<Counters>
    /// By the index in `ConnectionEnd.allCases`; no fewer than these.
    private let ends = InlineArray<32, Counter> { _ in Counter() }
    private let connectionsCutCell = Atomic<Int>(0)
    private let callsCutCell = Atomic<Int>(0)
    private let connectionsCell = Atomic<Int>(0)
    private let streamsCell = Atomic<Int>(0)
    private let lateResponsesCell = Counter()
    private let receivedCell = Counter()
    private let sentCell = Counter()
    private let turnsCell = Counter()

    /// - Parameter paths: Of the served methods, in their order.
    init(paths: [String]) {
        self.names = paths.map { String($0.dropFirst()) } + ["unknown"]
        self.methods = .allocate(capacity: self.names.count)
        for index in self.names.indices { (self.methods + index).initialize(to: Counters()) }
        precondition(
            RPCStatusCode.allCases.count == 17 && ConnectionEnd.allCases.count <= self.ends.count,
            "a counter for each")
    }

    deinit {
        self.methods.deinitialize(count: self.names.count)
        self.methods.deallocate()
    }

    /// Open connections.
    package var connections: Int { self.connectionsCell.load(ordering: .relaxed) }
    /// Open streams.
    package var streams: Int { self.streamsCell.load(ordering: .relaxed) }
    /// Responses whose call had ended.
    package var lateResponses: UInt64 { self.lateResponsesCell.value }
    /// Connections and calls that were open when the grace of the drain ended.
    package var connectionsCut: Int { self.connectionsCutCell.load(ordering: .relaxed) }
    package var callsCut: Int { self.callsCutCell.load(ordering: .relaxed) }
    /// Messages received whole.
    package var messagesReceived: UInt64 { self.receivedCell.value }
    /// Messages sent.
    package var messagesSent: UInt64 { self.sentCell.value }

    /// Ticks of the loop: it makes progress as long as they become more.
    package var turns: UInt64 { self.turnsCell.value }

    /// Figures of every method; the last is for unknown ones.
    package func snapshot() -> [Method] {
        self.names.indices.map { index in
            Method(
                name: self.names[index], started: self.methods[index].started.value,
                handled: RPCStatusCode.allCases.map {
                    self.methods[index].handled[Int($0.rawValue)].value
                },
                handling: self.methods[index].handling._withUnsafeGuaranteedRef { $0.snapshot() })
        }
    }

    /// Ended connections by reason.
    package func connectionEnds() -> [(reason: String, count: UInt64)] {
        ConnectionEnd.allCases.enumerated().map { ($1.rawValue, self.ends[$0].value) }
    }

    func started(method: Int?) {
        self.methods[method ?? self.names.count - 1].started.raise()
    }

    func handled(method: Int?, code: RPCStatusCode, nanoseconds: UInt64) {
        let index = method ?? self.names.count - 1
        self.methods[index].handled[Int(code.rawValue)].raise()
        self.methods[index].handling._withUnsafeGuaranteedRef { $0.record(nanoseconds) }
    }

    func ended(_ reason: ConnectionEnd) {
        guard let index = ConnectionEnd.allCases.firstIndex(of: reason) else { return }
        self.ends[index].raise()
    }

    /// Notes what the end of the grace has cut off.
    func cut(connections: Int, calls: Int) {
        self.connectionsCutCell.store(connections, ordering: .relaxed)
        self.callsCutCell.store(calls, ordering: .relaxed)
    }

    func setOpen(connections: Int, streams: Int) {
        self.connectionsCell.store(connections, ordering: .relaxed)
        self.streamsCell.store(streams, ordering: .relaxed)
    }

    func turned() { self.turnsCell.raise() }
    func lateResponse() { self.lateResponsesCell.raise() }
    func messageReceived() { self.receivedCell.raise() }
    func messageSent() { self.sentCell.raise() }
}
