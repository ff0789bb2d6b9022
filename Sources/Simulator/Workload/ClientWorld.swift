import TestSupport

/// What a client of the workload needs of the world around it.
package protocol ClientWorld: AnyObject {
    /// Monotonic time.
    var nowNanoseconds: UInt64 { get }
    /// Wall-clock time, in microseconds since 1970.
    var wallMicroseconds: Int64 { get }
    /// Connects to whom clients believe to serve; `nil`: nobody listens.
    func openConnection(key: String?) -> WireClient?
}

/// A client's connection, made again when it is gone.
final class ClientLink {
    let key: String?
    private var client: WireClient?

    init(key: String?) {
        self.key = key
    }

    /// The connection; `nil`: nobody listens.
    func open(_ world: any ClientWorld) -> WireClient? {
        if let client = self.client, !client.isClosed { return client }
        self.client = world.openConnection(key: self.key)
        return self.client
    }

    /// Closes the connection, so that the next call makes another.
    func drop() {
        self.client?.close()
        self.client = nil
    }
}

/// Times of the workload's clients.
enum ClientTimes {
    /// Longest rest between two calls of a client, in nanoseconds.
    static let restNanosecondsMax = 8_000_000
    /// Rest before another attempt, in nanoseconds: a server that is down is not asked all the
    /// time, and the world's time goes on meanwhile.
    static let retryNanoseconds: UInt64 = 20_000_000
    /// How long a client waits for a response before it abandons its connection, in nanoseconds:
    /// longer than any delay of the network, shorter than the run.
    static let patienceNanoseconds: UInt64 = 10_000_000_000
}

extension World: ClientWorld {
    package var nowNanoseconds: UInt64 { self.clock.monotonicNanoseconds() }
    package var wallMicroseconds: Int64 { self.clock.wallMicroseconds() }
    package func openConnection(key: String?) -> WireClient? { self.connect(key: key) }

    /// Tells everybody what a client did or saw.
    func record(_ event: HistoryEvent) {
        switch event.kind {
        case .invoked:
            self.methods[event.operation.method, default: 0] += 1
            self.note(event.operation.method, event.operation.number)
        case .responded(_, let bytes): self.trace.mix(bytes: bytes)
        case .lost: self.note("lost", event.operation.number)
        case .ended(let outcome):
            let text =
                switch outcome {
                case .ok: "status-0"
                case .rejected(let status, _): "status-\(status)"
                case .unknown: "unknown"
                }
            self.counts.calls[text, default: 0] += 1
            self.note(text, event.operation.number)
        }
        self.check { (checker) throws(Violation) in try checker.observe(event, self) }
    }
}
