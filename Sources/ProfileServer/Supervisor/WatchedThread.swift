/// A thread of the node that the watchdog observes.
struct WatchedThread: Sendable {
    /// Of its component, such as `loop-0`.
    let name: String
    /// Raised by each turn of it.
    let count: @Sendable () -> UInt64
    /// Makes it take a turn soon, also if it has nothing to do.
    let wake: @Sendable () -> Void
    /// Whether it waits for the disk, which no restart makes faster.
    let waitsForDisk: @Sendable () -> Bool
}
