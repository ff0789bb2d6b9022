import IOSimulation
import Storage

@testable import ProfileService

/// Where a fixture's log is kept, so that a test can crash the node and start it again from what
/// was kept; of either implementation.
final class LogWorld {
    enum Kind: CaseIterable {
        case local
        case replicated
    }

    let clock = SimulatedClock()
    /// Of a replicated log.
    let cluster: SimulatedCluster
    private let kind: Kind
    private(set) var disk = SimulatedDisk()
    private var seed: UInt64 = 1
    private lazy var store = SimulatedReplicatedLogStore(self.cluster, self.environment(self.disk))

    init(_ kind: Kind, commitNanoseconds: UInt64 = 5_000_000) {
        self.kind = kind
        self.cluster = SimulatedCluster(clock: self.clock, commitNanoseconds: commitNanoseconds)
    }

    /// The first node's number in the cluster.
    var member: Int { self.store.member }

    private func environment(_ disk: SimulatedDisk) -> LogEnvironment {
        LogEnvironment(
            directory: "d", fileSystem: disk, clock: self.clock, options: LogOptions())
    }

    /// Starts the node on what was kept.
    func start(_ limits: PipelineLimits = PipelineLimits()) throws(RecoveryError) -> ServiceFixture
    {
        switch self.kind {
        case .local: try ServiceFixture(self.disk, pipelineLimits: limits, clock: self.clock)
        case .replicated:
            try ServiceFixture(
                self.disk, pipelineLimits: limits, on: self.store, clock: self.clock)
        }
    }

    /// Another node of the same cluster, and its number.
    func startAnother(
        _ limits: PipelineLimits = PipelineLimits()
    ) throws(RecoveryError) -> (node: ServiceFixture, member: Int) {
        let disk = SimulatedDisk()
        let store = SimulatedReplicatedLogStore(self.cluster, self.environment(disk))
        let node = try ServiceFixture(
            disk, pipelineLimits: limits, on: store, clock: self.clock)
        return (node, store.member)
    }

    /// The node's machine fails; of its frames in flight nothing is kept.
    func crash() {
        switch self.kind {
        case .local:
            self.disk = self.disk.afterPowerCut(seed: self.seed)
            self.seed += 1
        case .replicated: self.cluster.elect(self.store.member)
        }
    }
}
