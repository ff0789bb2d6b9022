import IOCore
import Synchronization

/// Counters of one loop: written by its thread, read by any, all relaxed.
package final class TransportMetrics: Sendable {
    private final class Counters: Sendable {
        let started = Atomic<UInt64>(0)
        let handled: [Counter]
        let handling = Histogram(bounds: .handlingSeconds)

        init() {
            self.handled = RPCStatusCode.allCases.map { _ in Counter() }
        }
    }

    /// One counter that lives in an array.
    private final class Counter: Sendable {
        let value = Atomic<UInt64>(0)
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
    private let methods: [Counters]
    private let ends: [Counter]
    private let connections_ = Atomic<Int>(0)
    private let streams_ = Atomic<Int>(0)
    private let lateAnswers_ = Atomic<UInt64>(0)
    private let received_ = Atomic<UInt64>(0)
    private let sent_ = Atomic<UInt64>(0)

    /// - Parameter paths: Of the served methods, in their order.
    init(paths: [String]) {
        self.names = paths.map { String($0.dropFirst()) } + ["unknown"]
        self.methods = self.names.map { _ in Counters() }
        self.ends = ConnectionEnd.allCases.map { _ in Counter() }
    }

    /// Open connections.
    package var connections: Int { self.connections_.load(ordering: .relaxed) }
    /// Open streams.
    package var streams: Int { self.streams_.load(ordering: .relaxed) }
    /// Answers whose call had ended.
    package var lateAnswers: UInt64 { self.lateAnswers_.load(ordering: .relaxed) }
    /// Messages received whole.
    package var messagesReceived: UInt64 { self.received_.load(ordering: .relaxed) }
    /// Messages sent.
    package var messagesSent: UInt64 { self.sent_.load(ordering: .relaxed) }

    /// Figures of every method; the last is for unknown ones.
    package func snapshot() -> [Method] {
        zip(self.names, self.methods).map { name, counters in
            Method(
                name: name, started: counters.started.load(ordering: .relaxed),
                handled: counters.handled.map { $0.value.load(ordering: .relaxed) },
                handling: counters.handling.snapshot())
        }
    }

    /// Ended connections by reason.
    package func connectionEnds() -> [(reason: String, count: UInt64)] {
        zip(ConnectionEnd.allCases, self.ends).map { ($0.rawValue, $1.value.load(ordering: .relaxed)) }
    }

    func started(method: Int?) {
        self.methods[method ?? self.methods.count - 1].started.wrappingAdd(1, ordering: .relaxed)
    }

    func handled(method: Int?, code: RPCStatusCode, nanoseconds: UInt64) {
        let counters = self.methods[method ?? self.methods.count - 1]
        counters.handled[Int(code.rawValue)].value.wrappingAdd(1, ordering: .relaxed)
        counters.handling.record(nanoseconds)
    }

    func ended(_ reason: ConnectionEnd) {
        guard let index = ConnectionEnd.allCases.firstIndex(of: reason) else { return }
        self.ends[index].value.wrappingAdd(1, ordering: .relaxed)
    }

    func setOpen(connections: Int, streams: Int) {
        self.connections_.store(connections, ordering: .relaxed)
        self.streams_.store(streams, ordering: .relaxed)
    }

    func lateAnswer() { self.lateAnswers_.wrappingAdd(1, ordering: .relaxed) }
    func messageReceived() { self.received_.wrappingAdd(1, ordering: .relaxed) }
    func messageSent() { self.sent_.wrappingAdd(1, ordering: .relaxed) }
}
