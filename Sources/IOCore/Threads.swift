/// Threads, as a seam: IOLinux starts real ones, the simulator runs the bodies itself.
package protocol ThreadStarter: AnyObject, Sendable {
    /// Runs `body` on a thread of its own, named `name` (at most 15 bytes show in tools).
    func start(name: String, body: @escaping @Sendable () -> Void) -> any RunningThread
}

/// A started thread.
package protocol RunningThread: AnyObject, Sendable {
    /// Waits until its body has returned; once only.
    func join()
}

/// Puts one thread to sleep until another wakes it; a wake before the sleep is not lost.
///
/// `wake` makes the next `park` return at once if the thread is awake, and is cheap then.
package protocol Parker: Waker {
    /// Sleeps until woken, or until `nanoseconds` have passed (`nil`: for ever). Only one thread
    /// parks.
    func park(forNanoseconds nanoseconds: UInt64?)
}
