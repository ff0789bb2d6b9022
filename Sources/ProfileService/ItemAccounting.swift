import Synchronization

/// Counts items (events, attribute writes, subscription changes) so that what came in always equals
/// what became of it.
///
/// An item is counted in and out in one go, when its outcome is known, so the sum holds at every
/// moment but inside that call.
package final class ItemAccounting: Sendable {
    private let storedCell = Atomic<UInt64>(0)
    private let duplicateCell = Atomic<UInt64>(0)
    private let staleCell = Atomic<UInt64>(0)
    private let rejectedCell = Atomic<UInt64>(0)

    package init() {}

    /// Items that were kept.
    package var stored: UInt64 { self.storedCell.load(ordering: .relaxed) }
    /// Items that had been kept before.
    package var duplicate: UInt64 { self.duplicateCell.load(ordering: .relaxed) }
    /// Items that lost to a newer one.
    package var stale: UInt64 { self.staleCell.load(ordering: .relaxed) }
    /// Items that were rejected.
    package var rejected: UInt64 { self.rejectedCell.load(ordering: .relaxed) }

    /// Adds the outcomes of one call's items.
    package func add(stored: Int = 0, duplicate: Int = 0, stale: Int = 0, rejected: Int = 0) {
        if stored > 0 { self.storedCell.add(UInt64(stored), ordering: .relaxed) }
        if duplicate > 0 { self.duplicateCell.add(UInt64(duplicate), ordering: .relaxed) }
        if stale > 0 { self.staleCell.add(UInt64(stale), ordering: .relaxed) }
        if rejected > 0 { self.rejectedCell.add(UInt64(rejected), ordering: .relaxed) }
    }
}
