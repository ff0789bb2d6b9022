// How a component that owns no thread is driven: a thread of the server, a test, or the simulator
// calls `step` again and again, and rests in between for as long as the component says.

/// When a component wants its next step.
package enum NextStep: Equatable, Sendable {
    /// There is more to do at once.
    case now
    /// After this time, or as soon as it is woken.
    case after(nanoseconds: UInt64)
    /// As soon as it is woken, and not before.
    case whenWoken
    /// Never again: the component has ended.
    case ended
}

/// A component that does its work in steps. Used by one thread at a time.
package protocol Steppable: AnyObject {
    /// Does what is due, and returns when to call it again.
    ///
    /// A step waits only through a seam (a file, a socket, a poller), never for another component.
    func step() -> NextStep
}

/// Makes a component's driver call `step` soon. May be called on any thread; a wake is never lost.
package protocol Waker: AnyObject, Sendable {
    func wake()
}
