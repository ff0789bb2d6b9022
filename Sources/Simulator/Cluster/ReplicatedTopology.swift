import IOSimulation
import ProfileService
import Storage

/// Nodes on one simulated replicated log, each with a disk of its own for snapshots: which node is
/// which member, who leads, and the elections that follow when nobody does.
///
/// Elections are as slow as those of a real log, compared with its commits, so that clients meet a
/// cluster without a leader. Their choices follow from a random stream of their own.
final class ReplicatedTopology: Topology {
    /// From the loss of a leader to the next election, in nanoseconds: a few commits.
    private static let electionNanosecondsMin: UInt64 = 20_000_000
    /// What is added to it, at random, in nanoseconds.
    private static let electionNanosecondsSpread = 200_000_000
    /// A client in so many that connects does not know who leads.
    private static let clientsPerIgnorant = 8

    let nodeCount: Int
    private let cluster: SimulatedCluster
    private let clock: SimulatedClock
    private var random: SeededRandom
    /// By node. They outlive its processes, since each is one member.
    private var stores: [SimulatedReplicatedLogStore?]
    /// When the next leader is elected, in monotonic nanoseconds; `nil`: there is one, or the
    /// history has not begun.
    private var electionAt: UInt64?
    /// Frames of the lost leader's tail that the next one keeps.
    private var kept = 0
    private var isHealing = false
    /// The node that does not know of its successor, and the step before which it does not.
    private var isolated: (node: Int, until: Int)?

    init(_ plan: SimulationPlan, clock: SimulatedClock) {
        self.clock = clock
        self.cluster = SimulatedCluster(clock: clock)
        self.random = RandomStream.elections.random(of: plan.seed)
        // Three are a majority that loses one; two meet each other more often.
        self.nodeCount = 2 + self.random.below(2)
        self.stores = Array(repeating: nil, count: self.nodeCount)
    }

    func makeLogStore(ofNode index: Int, _ environment: LogEnvironment) -> any LogStore {
        if let store = self.stores[index] { return store }
        let store = SimulatedReplicatedLogStore(self.cluster, environment)
        self.stores[index] = store
        return store
    }

    /// The node that leads; `nil`: none does.
    var leader: Int? {
        self.cluster.leader.flatMap { member in
            self.stores.firstIndex { $0?.member == member }
        }
    }

    /// Larger with each election.
    var epoch: UInt64 { self.cluster.epoch }

    /// The leader most of the time, else anybody, also one that was deposed and does not know.
    var preferredNode: Int {
        let isIgnorant = self.random.below(Self.clientsPerIgnorant) == 0
        if let leader = self.leader, self.isHealing || !isIgnorant { return leader }
        return self.random.below(self.nodeCount)
    }

    func isSettled(_ world: World) -> Bool {
        guard self.electionAt == nil, self.isolated == nil, self.leader != nil else { return false }
        let lsns = world.nodes.map { $0.node?.recovered?.store.appliedLSN ?? 0 }
        return Set(lsns).count == 1
    }

    // MARK: Nodes

    func join(_ world: World) {
        world.add(FollowerProbe(self))
        world.add(ClusterChecker(self))
    }

    func nodeStarted(_ node: SimulatedNode, _ world: World) {}

    /// What a leader had in flight may be with the others or not.
    func nodeStopped(_ node: SimulatedNode, _ world: World) {
        if self.isolated?.node == node.index { self.isolated = nil }
        guard self.leader == node.index else { return }
        self.depose(keeping: self.someFrames())
    }

    private func someFrames() -> Int {
        self.random.below(SimulatedCluster.framesInFlightMax + 1)
    }

    // MARK: Faults

    func strike(_ fault: PlannedFault, _ world: World) -> Bool {
        switch fault.fault {
        case .deposeLeader(let kept):
            guard self.leader != nil else { return false }
            self.depose(keeping: kept)
            return true
        case .twoLeaders(let steps):
            return self.usurp(world, until: world.stepNumber + steps)
        default: return false
        }
    }

    /// The leader is cut off and knows it; the next one keeps so many frames of its tail.
    private func depose(keeping kept: Int) {
        self.cluster.depose()
        self.kept = kept
        self.electionAt =
            self.clock.monotonicNanoseconds() + Self.electionNanosecondsMin
            + UInt64(self.random.below(Self.electionNanosecondsSpread))
    }

    /// Another node leads at once, and the leader does not hear of it before a step.
    private func usurp(_ world: World, until step: Int) -> Bool {
        guard self.isolated == nil, let old = self.leader else { return false }
        let others = world.nodes.filter { $0.isServing && $0.index != old }
        guard !others.isEmpty,
            let next = self.stores[others[self.random.below(others.count)].index]
        else { return false }
        self.cluster.usurp(next.member, keeping: self.someFrames())
        self.isolated = (old, step)
        return true
    }

    func heal(_ world: World) {
        self.isHealing = true
        if let isolated = self.isolated { self.rejoin(isolated.node) }
    }

    private func rejoin(_ node: Int) {
        self.isolated = nil
        if let member = self.stores[node]?.member { self.cluster.rejoin(member) }
    }

    // MARK: Elections

    var nextDue: UInt64? {
        self.electionAt.flatMap { $0 > self.clock.monotonicNanoseconds() ? $0 : nil }
    }

    func turn(_ world: World) -> Bool {
        if let isolated = self.isolated, isolated.until <= world.stepNumber {
            self.rejoin(isolated.node)
            world.note("rejoin", isolated.node)
            return true
        }
        guard let electionAt = self.electionAt, electionAt <= self.clock.monotonicNanoseconds()
        else { return false }
        let candidates = world.nodes.filter(\.isServing)
        guard !candidates.isEmpty else { return false }
        let next = candidates[self.random.below(candidates.count)].index
        guard let store = self.stores[next] else { return false }
        self.electionAt = nil
        self.cluster.elect(store.member, keeping: self.kept)
        world.note("elect", next)
        return true
    }
}
