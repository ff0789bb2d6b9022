import Synchronization

/// 64 locks, each on a cache line of its own: neighbours are taken by different threads all the
/// time.
///
/// The closures must not escape, call out or wait: they copy bytes, or swap what was prepared
/// before.
// SAFETY: `lines` are allocated by `init` and freed by `destroy`, 64 of them, and a mutex may be
// used by any thread; `held` is one word that only the applier touches.
struct ShardLocks: @unchecked Sendable {
    private struct Line: ~Copyable {
        let mutex = Mutex<Void>(())
        /// Shows the thread sanitizer the order that the mutex makes: it waits in a library that
        /// the sanitizer does not see.
        let order = Atomic<UInt32>(0)
        // All three fill a line of 64 bytes.
        let padding: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (
            0, 0, 0, 0, 0, 0, 0
        )
    }

    // SAFETY: made once, never moved, freed when no thread uses the store any more.
    private let lines: UnsafeMutablePointer<Line>
    // SAFETY: the applier's alone.
    private let held: UnsafeMutablePointer<UInt64>

    init() {
        self.lines = .allocate(capacity: Shards.count)
        for shard in 0 ..< Shards.count { (self.lines + shard).initialize(to: Line()) }
        self.held = .allocate(capacity: 1)
        self.held.initialize(to: 0)
    }

    func destroy() {
        self.lines.deinitialize(count: Shards.count)
        self.lines.deallocate()
        self.held.deallocate()
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

    /// Runs `body` while holding the locks of every shard whose bit is set, taken in ascending
    /// order.
    func with<Result>(mask: UInt64, _ body: () -> Result) -> Result {
        guard mask != 0 else { return body() }
        return self.with(mask.trailingZeroBitCount) { self.with(mask: mask & (mask - 1), body) }
    }

    // MARK: The applier, whose larger changes run inside of locks that they hold already

    /// As `with`; a lock that is held already is not taken again.
    @inline(__always)
    func applying<Result>(_ shard: Int, _ body: () -> Result) -> Result {
        guard self.held.pointee & 1 << UInt64(shard) == 0 else { return body() }
        return self.with(shard, body)
    }

    /// As `with(mask:)`; `applying` inside of `body` does not take these locks again.
    func holding<Result>(mask: UInt64, _ body: () -> Result) -> Result {
        let missing = mask & ~self.held.pointee
        return self.with(mask: missing) {
            self.held.pointee |= missing
            defer { self.held.pointee &= ~missing }
            return body()
        }
    }
}
