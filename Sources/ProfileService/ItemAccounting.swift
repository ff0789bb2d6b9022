import Synchronization

/// Counts items (events, attribute writes, subscription changes) so that what came in always equals
/// what became of it.
///
/// An item is counted in and out in one go, when its fate is known, so the sum holds at every
/// moment but inside that call.
package final class ItemAccounting: Sendable {
    private let stored_ = Atomic<UInt64>(0)
    private let duplicate_ = Atomic<UInt64>(0)
    private let stale_ = Atomic<UInt64>(0)
    private let rejected_ = Atomic<UInt64>(0)

    package init() {}

    /// Items that were kept.
    package var stored: UInt64 { self.stored_.load(ordering: .relaxed) }
    /// Items that had been kept before.
    package var duplicate: UInt64 { self.duplicate_.load(ordering: .relaxed) }
    /// Items that lost to a newer one.
    package var stale: UInt64 { self.stale_.load(ordering: .relaxed) }
    /// Items that were refused.
    package var rejected: UInt64 { self.rejected_.load(ordering: .relaxed) }

    /// Adds the fates of one call's items.
    package func add(stored: Int = 0, duplicate: Int = 0, stale: Int = 0, rejected: Int = 0) {
        if stored > 0 { self.stored_.add(UInt64(stored), ordering: .relaxed) }
        if duplicate > 0 { self.duplicate_.add(UInt64(duplicate), ordering: .relaxed) }
        if stale > 0 { self.stale_.add(UInt64(stale), ordering: .relaxed) }
        if rejected > 0 { self.rejected_.add(UInt64(rejected), ordering: .relaxed) }
    }
}
