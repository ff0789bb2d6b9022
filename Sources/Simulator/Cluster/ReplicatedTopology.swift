import IOSimulation
import ProfileService
import Storage

/// Nodes on one simulated replicated log, each with a disk of its own for snapshots.
///
/// The leader is the node that was elected last; a node that starts while nobody leads is elected.
final class ReplicatedTopology: Topology {
    let nodeCount = 2
    private let cluster: SimulatedCluster
    /// The member that the last process of each node is.
    private var members: [Int?]
    private var leader = 0

    init(_ plan: SimulationPlan, clock: SimulatedClock) {
        self.cluster = SimulatedCluster(clock: clock)
        self.members = Array(repeating: nil, count: self.nodeCount)
    }

    var preferredNode: Int { self.leader }
    var nextDue: UInt64? { nil }

    func makeLogStore(ofNode index: Int, _ environment: LogEnvironment) -> any LogStore {
        let store = SimulatedReplicatedLogStore(self.cluster, environment)
        self.members[index] = store.member
        return store
    }

    func nodeStarted(_ node: SimulatedNode, _ world: World) {
        if !world.nodes[self.leader].isServing || self.leader == node.index { self.elect(node, 0) }
    }

    func nodeStopped(_ node: SimulatedNode, _ world: World) {
        guard self.leader == node.index else { return }
        self.cluster.depose()
        if let other = world.nodes.first(where: { $0.isServing }) { self.elect(other, 0) }
    }

    func strike(_ fault: PlannedFault, _ world: World) -> Bool {
        guard case .deposeLeader(let kept) = fault.fault,
            let other = world.nodes.last(where: { $0.isServing && $0.index != self.leader })
        else { return false }
        self.cluster.depose()
        self.elect(other, min(kept, self.cluster.framesInFlight))
        return true
    }

    func turn(_ world: World) -> Bool { false }
    func heal(_ world: World) {}

    private func elect(_ node: SimulatedNode, _ kept: Int) {
        guard let member = self.members[node.index] else { return }
        self.leader = node.index
        self.cluster.elect(member, keeping: kept)
    }
}
