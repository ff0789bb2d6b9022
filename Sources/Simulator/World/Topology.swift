import IOSimulation
import ProfileService
import Storage

/// How the nodes of a world are joined: whose log is where, whom clients turn to, and what goes
/// wrong between the nodes.
package protocol Topology: AnyObject {
    var nodeCount: Int { get }
    /// The node that clients without a better knowledge connect to.
    var preferredNode: Int { get }
    /// Whether all nodes agree and have the same history.
    func isSettled(_ world: World) -> Bool
    /// When it has something to do without a call, in monotonic nanoseconds; `nil`: nothing.
    var nextDue: UInt64? { get }
    func makeLogStore(ofNode index: Int, _ environment: LogEnvironment) -> any LogStore
    /// Adds the actors and checkers that belong to it.
    func join(_ world: World)
    /// A process of this node serves.
    func nodeStarted(_ node: SimulatedNode, _ world: World)
    /// No process of this node runs any more.
    func nodeStopped(_ node: SimulatedNode, _ world: World)
    /// Does a fault of the log between the nodes.
    ///
    /// - Returns: Whether it knows this fault and could do it.
    func strike(_ fault: PlannedFault, _ world: World) -> Bool
    /// Does what is due, such as an election.
    ///
    /// - Returns: Whether it did something.
    func turn(_ world: World) -> Bool
    /// From now on nothing goes wrong.
    func heal(_ world: World)
}

extension Scenario {
    func makeTopology(_ plan: SimulationPlan, clock: SimulatedClock) -> any Topology {
        switch self {
        case .local: LocalTopology()
        case .replicated: ReplicatedTopology(plan, clock: clock)
        }
    }
}

/// One node with a log of its own.
final class LocalTopology: Topology {
    let nodeCount = 1
    let preferredNode = 0
    let nextDue: UInt64? = nil

    func makeLogStore(ofNode index: Int, _ environment: LogEnvironment) -> any LogStore {
        SegmentedLogStore(environment)
    }

    func isSettled(_ world: World) -> Bool { true }
    func join(_ world: World) {}
    func nodeStarted(_ node: SimulatedNode, _ world: World) {}
    func nodeStopped(_ node: SimulatedNode, _ world: World) {}
    func strike(_ fault: PlannedFault, _ world: World) -> Bool { false }
    func turn(_ world: World) -> Bool { false }
    func heal(_ world: World) {}
}
