import Synchronization

/// 64 locks, each on a cache line of its own: neighbours are taken by different threads all the time.
///
/// The closures must not escape, call out or wait: they copy bytes, or swap what was prepared before.
struct ShardLocks: @unchecked Sendable {
    private struct Line: ~Copyable {
        let mutex = Mutex<Void>(())
        /// Says to the thread sanitizer what the mutex does where it waits, in a library that the sanitizer does not see.
        let order = Atomic<UInt32>(0)
        // All three fill a line of 64 bytes.
        let padding: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0)
    }

    // SAFETY: made once, never moved, freed when no thread uses the store any more.
    private let lines: UnsafeMutablePointer<Line>

    init() {
        self.lines = .allocate(capacity: Shards.count)
        for shard in 0 ..< Shards.count { (self.lines + shard).initialize(to: Line()) }
    }

    func destroy() {
        self.lines.deinitialize(count: Shards.count)
        self.lines.deallocate()
    }

    /// Runs `body` while holding one shard's lock.
    @inline(__always)
    func with<Result>(_ shard: Int, _ body: () -> Result) -> Result {
        self.lines[shard].mutex.withLock { _ in
            _ = self.lines[shard].order.load(ordering: .acquiring)
            defer { self.lines[shard].order.store(1, ordering: .releasing) }
            return body()
        }
    }

    /// Runs `body` while holding two shards' locks, taken in ascending order.
    @inline(__always)
    func with<Result>(_ one: Int, _ other: Int, _ body: () -> Result) -> Result {
        guard one != other else { return self.with(one, body) }
        return self.with(min(one, other)) { self.with(max(one, other), body) }
    }
}
