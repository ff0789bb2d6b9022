import IOCore
import IOSimulation

/// A simulated network that remembers the pollers it made, which are those of the loops, in order.
package final class RecordingNetwork: Network {
    package let network: SimulatedNetwork
    private let made = Guarded<[SimulatedPoller]>([])

    /// - Parameter network: What it is a view of; a process that starts again has a view of its
    ///   own.
    package init(_ network: SimulatedNetwork = SimulatedNetwork()) {
        self.network = network
    }

    package var pollers: [SimulatedPoller] { self.made.withLock { $0 } }

    package func makePoller() throws(IOError) -> any Poller {
        let poller = self.network.makeSimulatedPoller()
        self.made.withLock { $0.append(poller) }
        return poller
    }

    package func listen(
        host: String, port: UInt16, count: Int
    ) throws(IOError) -> [any ListeningSocket] {
        try self.network.listen(host: host, port: port, count: count)
    }
}
