import ProfileService

/// Watches one promise over a run.
package protocol Checker: AnyObject {
    var name: String { get }
    /// A client has begun or ended a call.
    func observe(_ event: HistoryEvent, _ world: World) throws(Violation)
    /// The same, for those that need no more of the world than its history.
    func observe(_ event: HistoryEvent) throws(Violation)
    /// A node serves calls: its state is what its disk has given.
    func nodeStarted(_ node: SimulatedNode, _ world: World) throws(Violation)
    /// A node is about to end; its state can still be read, unless it never recovered.
    func nodeStops(_ node: SimulatedNode, _ end: ProcessEnd, _ world: World) throws(Violation)
    /// A node has reported what an operator should know.
    func nodeReported(
        _ event: NodeEvent, _ node: SimulatedNode, _ world: World
    ) throws(Violation)
    /// Called every `World.watchSteps` steps.
    func watch(_ world: World) throws(Violation)
    /// The world is whole again, every call has ended and every node serves.
    func finish(_ world: World) throws(Violation)
}

extension Checker {
    package func observe(_ event: HistoryEvent, _ world: World) throws(Violation) {
        try self.observe(event)
    }

    package func observe(_ event: HistoryEvent) throws(Violation) {}
    package func nodeStarted(_ node: SimulatedNode, _ world: World) throws(Violation) {}
    package func nodeStops(
        _ node: SimulatedNode, _ end: ProcessEnd, _ world: World
    ) throws(Violation) {}
    package func nodeReported(
        _ event: NodeEvent, _ node: SimulatedNode, _ world: World
    ) throws(Violation) {}
    package func watch(_ world: World) throws(Violation) {}
    package func finish(_ world: World) throws(Violation) {}
}

/// How a process ends.
package enum ProcessEnd: Equatable, Sendable {
    case killed
    case powerCut
    /// Drained and closed in order.
    case drained
    /// It could not start.
    case rejected
}
