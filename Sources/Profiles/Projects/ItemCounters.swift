import Synchronization

// SAFETY: records of projects stay at their places until the store ends; the counters in them are
// atomics, which any thread may change.

// The accounting of items (events, attribute writes, subscription changes) per project. It lies in
// the projects' records because they are found without a lock and are never freed; it is counted
// since the start of the process and is no part of the state: no record, digest or snapshot has it.

/// What became of items since the server started.
package struct ItemCounts: Equatable, Sendable {
    /// Kept.
    package var stored: UInt64 = 0
    /// Had been kept before.
    package var duplicate: UInt64 = 0
    /// Lost to a newer one.
    package var stale: UInt64 = 0
    package var rejected: UInt64 = 0

    package init() {}

    package init(stored: Int = 0, duplicate: Int = 0, stale: Int = 0, rejected: Int = 0) {
        self.stored = UInt64(stored)
        self.duplicate = UInt64(duplicate)
        self.stale = UInt64(stale)
        self.rejected = UInt64(rejected)
    }

    /// All items: each has one outcome, and is counted when that is known.
    package var received: UInt64 { self.stored + self.duplicate + self.stale + self.rejected }

    package static func += (left: inout ItemCounts, right: ItemCounts) {
        left.stored += right.stored
        left.duplicate += right.duplicate
        left.stale += right.stale
        left.rejected += right.rejected
    }

    /// What is in `left` and not in `right`, which was counted earlier.
    package static func - (left: ItemCounts, right: ItemCounts) -> ItemCounts {
        var difference = ItemCounts()
        difference.stored = left.stored - min(left.stored, right.stored)
        difference.duplicate = left.duplicate - min(left.duplicate, right.duplicate)
        difference.stale = left.stale - min(left.stale, right.stale)
        difference.rejected = left.rejected - min(left.rejected, right.rejected)
        return difference
    }
}

/// The items of one project. Any thread.
struct ItemCounters: ~Copyable {
    private let stored = Atomic<UInt64>(0)
    private let duplicate = Atomic<UInt64>(0)
    private let stale = Atomic<UInt64>(0)
    private let rejected = Atomic<UInt64>(0)

    @inline(__always)
    func add(_ items: ItemCounts) {
        if items.stored > 0 { self.stored.add(items.stored, ordering: .relaxed) }
        if items.duplicate > 0 { self.duplicate.add(items.duplicate, ordering: .relaxed) }
        if items.stale > 0 { self.stale.add(items.stale, ordering: .relaxed) }
        if items.rejected > 0 { self.rejected.add(items.rejected, ordering: .relaxed) }
    }

    var counts: ItemCounts {
        var counts = ItemCounts()
        counts.stored = self.stored.load(ordering: .relaxed)
        counts.duplicate = self.duplicate.load(ordering: .relaxed)
        counts.stale = self.stale.load(ordering: .relaxed)
        counts.rejected = self.rejected.load(ordering: .relaxed)
        return counts
    }

    /// Empties the counters, for another project.
    func take() -> ItemCounts {
        var counts = ItemCounts()
        counts.stored = self.stored.exchange(0, ordering: .relaxed)
        counts.duplicate = self.duplicate.exchange(0, ordering: .relaxed)
        counts.stale = self.stale.exchange(0, ordering: .relaxed)
        counts.rejected = self.rejected.exchange(0, ordering: .relaxed)
        return counts
    }
}

extension Store {
    /// Counts items whose outcome is known. Those of no project, or of one that is gone, are
    /// counted with the instance. Any thread; no lock.
    package func count(_ items: ItemCounts, of project: ProjectID) {
        (self.projects.find(project) ?? self.projects.instance).record.pointee.items.add(items)
    }

    /// The items of a project; of `ProjectID(rawValue: 0)` those of no project and of projects that
    /// are gone. Any thread; no lock.
    package func itemCounts(of project: ProjectID) -> ItemCounts {
        (self.projects.find(project) ?? self.projects.instance).record.pointee.items.counts
    }

    /// The items of all projects, beginning with `ProjectID(rawValue: 0)`, ascending by number. Any
    /// thread.
    ///
    /// - Complexity: O(projects), under the lock that a change of projects takes.
    package func forEachItemCount(_ body: (ProjectID, ItemCounts) -> Void) {
        self.projects.forEach { body($0.id, $0.record.pointee.items.counts) }
    }
}
