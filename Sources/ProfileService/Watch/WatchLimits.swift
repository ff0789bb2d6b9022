/// Bounds of the watchers of a node.
package struct WatchLimits: Sendable {
    /// Open Watch calls; each costs at most `3 * batchBytes` and what the transport holds for it.
    package var watchersMax = 1_000
    /// Messages that are handed to a loop at once, in bytes; a single larger change is handed over
    /// alone. Of each watcher one batch is being filled, one waits, and one is being sent.
    package var batchBytes = 32 << 10
    /// Bytes of the feed that a watcher looks through before the next one gets its turn: at a
    /// billion bytes a second 0.25 ms.
    package var sliceBytes = 256 << 10
    /// A watcher to which nothing was sent hears after so long how far it is, in nanoseconds.
    package var heartbeatNanoseconds: UInt64 = 5_000_000_000
    /// A watcher hears how far it is after so many changes that its filter skips.
    package var skippedMax = 10_000
    /// A filled batch is handed over, a part of one waits for more only so long, in nanoseconds.
    /// 0: whatever there is, at once.
    package var gatherNanoseconds: UInt64 = 0

    package init() {}
}
