/// Bounds of the watchers of a node.
package struct WatchLimits: Sendable {
    /// Open Watch calls, of one peer half as many. Each costs at most `3 * batchBytes` beside what
    /// the transport holds.
    package var watchersMax = 1_000
    /// Messages that are handed to a loop at once, in bytes; a larger change is handed over alone.
    /// Of each watcher one batch is being filled, one waits, and one is being sent.
    package var batchBytes = 32 << 10
    /// Bytes of the feed that a watcher looks through before the next one gets its turn.
    package var sliceBytes = 256 << 10
    /// A watcher that was sent nothing for so long hears how far it is, in nanoseconds: the worker
    /// looks each half second, and 5 s are promised.
    package var heartbeatNanoseconds: UInt64 = 4_500_000_000
    /// A watcher whose filter skips so many changes hears how far it is.
    package var skippedMax: UInt64 = 10_000
    /// Changes of identities between a watcher's first position and the head that concern its
    /// identifiers, each of some 64 bytes: who had them at the first position is found from these.
    package var historyMax = 100_000
    /// Readings of these changes: one more whenever they name profiles that an identifier went
    /// through before an un-merge, which may have been in a merge that was undone still earlier.
    package var historyReadingsMax = 100

    package init() {}
}
