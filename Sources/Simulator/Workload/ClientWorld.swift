import TestSupport

/// What a client of the workload needs of the world around it.
package protocol ClientWorld: AnyObject {
    /// Monotonic time.
    var nowNanoseconds: UInt64 { get }
    /// Wall-clock time, in microseconds since 1970.
    var wallMicroseconds: Int64 { get }
    /// Whether a node has all that the clients have heard of. Where several nodes have one log, one
    /// that follows may be behind.
    func isCurrent(_ node: Int, with history: History) -> Bool
    /// Whether some node may be behind.
    var hasFollowers: Bool { get }
    /// The node whom clients believe to lead.
    var believedLeader: Int { get }
    /// Connects to a node; `nil`: nobody listens there.
    func openConnection(key: String?, to node: Int) -> WireClient?
}

/// A client's connection, made again when it is gone.
final class ClientLink {
    let key: String?
    private var client: WireClient?
    /// Of the connection.
    private(set) var node = 0

    init(key: String?) {
        self.key = key
    }

    /// The connection; `nil`: nobody listens.
    func open(_ world: any ClientWorld) -> WireClient? {
        if let client = self.client, !client.isClosed { return client }
        self.node = world.believedLeader
        self.client = world.openConnection(key: self.key, to: self.node)
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
    package var hasFollowers: Bool { self.nodes.count > 1 }
    package var believedLeader: Int { self.topology.preferredNode }

    package func openConnection(key: String?, to node: Int) -> WireClient? {
        self.connect(key: key, to: node)
    }

    package func isCurrent(_ node: Int, with history: History) -> Bool {
        let lsn = self.nodes[node].node?.recovered?.store.appliedLSN
        return !self.hasFollowers || (lsn ?? 0) >= history.newestLSN
    }

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
