import ProfileService
import Profiles

/// All nodes of a cluster have the same state at the same lsn, whichever of them leads, and a
/// healed cluster has one leader whom all others follow to the end.
final class ClusterChecker: Checker {
    /// States that are remembered, the newest ones: nodes that are further apart have replayed the
    /// history, which compares digests itself.
    private static let statesMax = 512
    /// Steps in which the nodes of a healed cluster reach the end of one history, at most: an
    /// election and a few commits.
    private static let settleStepsMax = 5_000

    let name = "cluster"
    private let topology: ReplicatedTopology
    /// Digests by the lsn of their state, and the node that was seen with it.
    private var states: [UInt64: (digest: UInt64, node: Int)] = [:]
    /// The keys of `states`, in the order in which they came.
    private var seen: [UInt64] = []
    /// Times that two nodes were seen with one lsn.
    private(set) var comparisons = 0

    init(_ topology: ReplicatedTopology) {
        self.topology = topology
    }

    func watch(_ world: World) throws(Violation) {
        for node in world.nodes where node.isServing { try self.compare(node) }
    }

    func nodeStarted(_ node: SimulatedNode, _ world: World) throws(Violation) {
        try self.compare(node)
    }

    func nodeStops(_ node: SimulatedNode, _ end: ProcessEnd, _ world: World) throws(Violation) {
        try self.compare(node)
    }

    private func compare(_ node: SimulatedNode) throws(Violation) {
        guard let store = node.node?.recovered?.store else { return }
        let (lsn, digest) = (store.appliedLSN, store.digest())
        if let known = self.states[lsn] {
            self.comparisons += 1
            guard known.digest == digest else {
                throw Violation(
                    self.name, "nodes \(known.node) and \(node.index) differ at lsn \(lsn)")
            }
            return
        }
        self.states[lsn] = (digest, node.index)
        self.seen.append(lsn)
        if self.seen.count > Self.statesMax {
            self.states[self.seen.removeFirst()] = nil
        }
    }

    func finish(_ world: World) throws(Violation) {
        var lsns = self.lsns(world)
        for _ in 0 ..< Self.settleStepsMax
        where self.topology.leader == nil || Set(lsns).count > 1 {
            world.step()
            lsns = self.lsns(world)
        }
        guard let leader = self.topology.leader else {
            throw Violation(self.name, "nobody leads a healed cluster")
        }
        for node in world.nodes {
            guard let pipeline = node.node?.recovered?.pipeline else {
                throw Violation(self.name, "node \(node.index) of a healed cluster is down")
            }
            guard pipeline.isFollowing == (node.index != leader), !pipeline.isPoisoned else {
                throw Violation(self.name, "node \(node.index) does not know who leads")
            }
            guard lsns[node.index] == lsns[leader] else {
                throw Violation(self.name, "a healed cluster has the states of lsns \(lsns)")
            }
            try self.compare(node)
        }
    }

    private func lsns(_ world: World) -> [UInt64] {
        world.nodes.map { $0.node?.recovered?.store.appliedLSN ?? 0 }
    }
}
