import IOSimulation
import ProfileService
import Storage
import TestSupport

/// The logs that a node is tested on.
enum TestLog: CaseIterable, Sendable {
    /// Segments in one directory, one frame in flight.
    case local
    /// A simulated replicated log: 5 ms a commit, 16 frames in flight.
    case replicated

    /// A world without nodes.
    func world() -> TestWorld { TestWorld(self) }
}

/// Nodes that come one after the other on one log, and the clock they share.
final class TestWorld {
    let clock = SimulatedClock()
    /// `nil`: the log is local.
    let cluster: SimulatedCluster?
    private var store: SimulatedReplicatedLogStore?

    init(_ log: TestLog) {
        switch log {
        case .local: self.cluster = nil
        case .replicated: self.cluster = SimulatedCluster(clock: self.clock)
        }
    }

    /// A node that serves, and leads the log.
    func start(
        _ disk: SimulatedDisk = SimulatedDisk(), order: UInt64? = nil,
        configure: (inout NodeConfiguration) -> Void = { _ in }
    ) throws -> NodeHarness {
        let isFirst = self.store == nil
        let harness = try NodeHarness.serving(
            disk, clock: self.clock, order: order, makeLogStore: { self.makeStore($0) },
            configure: configure)
        // The first node begins the history and leads. Later ones are elected, without the tail
        // that was never acknowledged.
        if !isFirst {
            self.lead()
            try harness.settle()
        }
        return harness
    }

    /// Elects the newest node.
    func lead() {
        if let cluster = self.cluster, let store = self.store { cluster.elect(store.member) }
    }

    private func makeStore(_ environment: LogEnvironment) -> any LogStore {
        guard let cluster = self.cluster else { return SegmentedLogStore(environment) }
        let store = SimulatedReplicatedLogStore(cluster, environment)
        self.store = store
        return store
    }
}
