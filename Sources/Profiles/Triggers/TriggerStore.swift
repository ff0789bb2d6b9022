import Bytes
import Synchronization

// Triggers of all projects and their firings. The applier decides everything; other threads list
// triggers and read pending firings, under one lock that the applier holds while it changes what
// they see. A project without triggers has nothing here.

/// The triggers of a store, and what waits for them.
// SAFETY: projects, triggers and their queues are changed by the applier under the lock, and read
// by other threads under it; owners, histories and links are the applier's alone. `snapshot` is
// owned by `Store`, which outlives its parts. The counters are atomics.
package final class TriggerStore: @unchecked Sendable {
    private let mutex = Mutex<Void>(())
    /// Shows the thread sanitizer the order that the mutex makes: it waits in a library that the
    /// sanitizer does not see.
    private let order = Atomic<UInt32>(0)
    private let versionCell = Atomic<UInt64>(1)
    let slab: Slab
    let pool: ProfilePool
    let snapshot: UnsafeMutablePointer<SnapshotWork>
    /// Those that have triggers, ascending by number.
    var projects: [ProjectTriggers] = []
    /// `FiringOwner`s by trigger and profile.
    let owners = ShardedTable()
    /// What the record that is applied does to firings; empty between two records.
    var staged: [TriggerAction] = []
    /// Nothing is due before, in microseconds; `.max`: nothing will be.
    var nextDue = Int64.max
    /// Only tests change them.
    package var limits = TriggerLimits()
    /// Bytes of queues and definitions.
    var queueBytes = 0
    var snapshotWork = TriggerSnapshot()
    let counters = TriggerCounters()

    init(slab: Slab, pool: ProfilePool, snapshot: UnsafeMutablePointer<SnapshotWork>) {
        self.slab = slab
        self.pool = pool
        self.snapshot = snapshot
    }

    /// Frees the tables; the store may not be used again.
    func destroy() {
        self.owners.destroy()
    }

    /// Runs `body` while holding the lock. It copies bytes, or changes what was prepared before.
    func locked<Result>(_ body: () -> Result) -> Result {
        self.mutex.withLock { _ in
            _ = self.order.load(ordering: .acquiring)
            defer { self.order.store(1, ordering: .releasing) }
            return body()
        }
    }

    // MARK: Any thread

    /// Changes whenever a trigger has new pending firings, is made or is deleted.
    package var version: UInt64 { self.versionCell.load(ordering: .acquiring) }

    /// The triggers of a project, the oldest first. Allocates.
    package func list(of project: ProjectID) -> [TriggerInfo] {
        self.locked {
            self.find(project)?.all.filter { !$0.isDeleted }.map(\.info) ?? []
        }
    }

    /// A trigger of a project; `nil`: there is none with this id. Allocates.
    package func info(of id: ProfileID, in project: ProjectID) -> TriggerInfo? {
        self.locked { self.find(project)?.find(id)?.info }
    }

    /// Calls `body` with pending firings of a trigger in the order in which they became due, which
    /// is that of their events' lsns.
    ///
    /// - Parameters:
    ///   - lsn: Of the event of the last firing that was read; 0: from the oldest on.
    ///   - body: Borrows its argument for one call, under the lock: it copies and returns.
    /// - Returns: False if there is no such trigger.
    /// - Complexity: O(limit + log pending), and gaps that are at most as many as firings.
    package func forEachPending(
        of id: ProfileID, in project: ProjectID, after lsn: UInt64, limit: Int,
        _ body: (PendingFiring) -> Void
    ) -> Bool {
        self.locked {
            guard let trigger = self.find(project)?.find(id) else { return false }
            var position = trigger.firings.position(after: lsn)
            var left = limit
            while left > 0, position < trigger.firings.entries.count,
                trigger.isPending(trigger.firings.entries[position].lsn)
            {
                let entry = trigger.firings.entries[position]
                position += 1
                guard entry.block != 0 else { continue }
                body(PendingFiring(Firing(self.slab.pointer(entry.block)), of: trigger))
                left -= 1
            }
            return true
        }
    }

    /// Calls `body` with all firings of a trigger in the order of their events' lsns, also with
    /// those whose delay is not over. For a store that nothing changes: it holds the lock until the
    /// last one.
    package func forEachFiring(
        of id: ProfileID, in project: ProjectID,
        _ body: (PendingFiring, _ isPending: Bool) -> Void
    ) {
        self.locked {
            guard let trigger = self.find(project)?.find(id) else { return }
            for entry in trigger.firings.entries where entry.block != 0 {
                body(
                    PendingFiring(Firing(self.slab.pointer(entry.block)), of: trigger),
                    trigger.isPending(entry.lsn))
            }
        }
    }

    /// Whether the firing of an event waits to be acknowledged.
    ///
    /// - Complexity: O(log pending).
    package func isPending(_ lsn: UInt64, of id: ProfileID, in project: ProjectID) -> Bool {
        self.locked {
            guard let trigger = self.find(project)?.find(id), trigger.isPending(lsn) else {
                return false
            }
            return trigger.firings.find(lsn) != 0
        }
    }

    /// What became of firings since the process started, and how many there are.
    package var counts: TriggerCounts { self.counters.counts }

    /// The triggers of a project; `nil`: it never had any, or they are gone.
    func find(_ project: ProjectID) -> ProjectTriggers? {
        let index = self.index(of: project)
        guard index < self.projects.count, self.projects[index].id == project else { return nil }
        return self.projects[index]
    }

    /// Where `projects` has a project, or would have it.
    func index(of project: ProjectID) -> Int {
        var (low, high) = (0, self.projects.count)
        while low < high {
            let middle = (low + high) / 2
            if self.projects[middle].id.rawValue < project.rawValue {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }

    /// Tells those who wait for firings; inside of the lock, behind the change.
    func changed() {
        self.versionCell.wrappingAdd(1, ordering: .releasing)
    }
}

/// A firing that waits to be acknowledged, borrowed for one call under the lock.
package struct PendingFiring {
    private let firing: Firing
    package let triggerID: ProfileID
    package let id: FiringID
    /// When it became due, in microseconds since 1970; the tick that noticed came up to a second
    /// later.
    package let dueAt: Int64

    init(_ firing: Firing, of trigger: Trigger) {
        self.firing = firing
        self.triggerID = trigger.id
        self.id = FiringID(triggerLSN: trigger.createdLSN, eventLSN: firing.event.lsn)
        self.dueAt = firing.event.receivedAt + trigger.delay
    }

    /// Of the profile that the event was credited to: an alias if that was merged away since.
    package var profileID: ProfileID { self.firing.profileID }
    /// Of the event; firings of a trigger come in this order.
    package var eventLSN: UInt64 { self.id.eventLSN }
    /// Of the event, in microseconds since 1970.
    package var receivedAt: Int64 { self.firing.event.receivedAt }

    /// Appends the image of the event (`StoredEventView`).
    package func appendEvent(
        of project: ProjectID, _ store: Store, to buffer: inout ByteBuffer
    ) {
        let event = self.firing.event
        store.appendImage(
            of: event, event.parts, names: store.projects.names(of: project), to: &buffer)
    }

    /// The event's content, for tests.
    var content: [UInt8] { [UInt8](self.firing.event.parts.content) }
}

/// What became of firings since the process started, and how many there are.
package struct TriggerCounts: Equatable, Sendable {
    package var triggers: UInt64 = 0
    /// Firings that wait to be acknowledged.
    package var pending: UInt64 = 0
    /// Firings whose delay is not over.
    package var waiting: UInt64 = 0
    /// Firings that became due.
    package var fired: UInt64 = 0
    /// Events that matched, for which a cap allowed no firing.
    package var capped: UInt64 = 0
    /// Firings that were cancelled by their `unless_event_name`.
    package var cancelled: UInt64 = 0
    package var acknowledged: UInt64 = 0
    /// Firings that the guard settled.
    package var guarded: UInt64 = 0
    /// Firings dropped because too many waited.
    package var lost: UInt64 = 0
}

/// The cells of `TriggerCounts`; counted by the applier, read by any thread.
final class TriggerCounters: Sendable {
    let triggers = Atomic<UInt64>(0)
    let pending = Atomic<UInt64>(0)
    let waiting = Atomic<UInt64>(0)
    let fired = Atomic<UInt64>(0)
    let capped = Atomic<UInt64>(0)
    let cancelled = Atomic<UInt64>(0)
    let acknowledged = Atomic<UInt64>(0)
    let guarded = Atomic<UInt64>(0)
    let lost = Atomic<UInt64>(0)

    var counts: TriggerCounts {
        var counts = TriggerCounts()
        counts.triggers = self.triggers.load(ordering: .relaxed)
        counts.pending = self.pending.load(ordering: .relaxed)
        counts.waiting = self.waiting.load(ordering: .relaxed)
        counts.fired = self.fired.load(ordering: .relaxed)
        counts.capped = self.capped.load(ordering: .relaxed)
        counts.cancelled = self.cancelled.load(ordering: .relaxed)
        counts.acknowledged = self.acknowledged.load(ordering: .relaxed)
        counts.guarded = self.guarded.load(ordering: .relaxed)
        counts.lost = self.lost.load(ordering: .relaxed)
        return counts
    }
}
