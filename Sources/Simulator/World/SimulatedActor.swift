/// Somebody outside of the nodes who decides: a client of the workload, an operator.
///
/// Its choices follow from a random stream of its own and from what it has seen, never from the
/// wall clock of the machine, an address or the order of a dictionary.
package protocol SimulatedActor: AnyObject {
    /// Unique in its world, and the same in every run.
    var name: String { get }
    /// Whether nothing of it is under way. Once the world heals it must come to be, within a stated
    /// number of steps, whatever happened before.
    var isIdle: Bool { get }
    /// Looks at what has come, and does at most one thing. The world moves the bytes of the clients
    /// that it has given out; an actor does not call `WireClient.turn`.
    ///
    /// - Parameter world: While `world.isHealing`, an actor begins nothing new that does not end,
    ///   cancels streams that never do, and makes new connections where it needs them.
    /// - Returns: Whether it did something.
    func turn(_ world: World) -> Bool
}
