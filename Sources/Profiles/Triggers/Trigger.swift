/// One trigger and what waits for it; changed by the applier.
///
/// Its firings are one queue, by the lsns of their events. All of a trigger wait equally long, so
/// they become due in that order: up to `dueThrough` they are pending, behind it they wait.
final class Trigger {
    let project: ProjectID
    let id: ProfileID
    let definition: TriggerDefinition
    let createdLSN: UInt64
    let createdAt: Int64
    /// In the project's `NameTable`.
    let eventName: UInt16
    /// `nil`: none.
    let unlessName: UInt16?
    /// `nil`: every event matches.
    let filter: CompiledFilter?

    /// What it still has is freed by ticks; nobody sees it any more.
    var isDeleted = false
    var lost: UInt64 = 0
    /// The lsn of the newest event whose firing became due.
    var dueThrough: UInt64 = 0
    var firings = FiringQueue()
    /// What its cap counts.
    var fired = FiringQueue()
    var pendingCount = 0
    var pendingVersion: UInt64 = 0

    /// Its number in the running or the last snapshot; `.max`: it is not part of that.
    var snapshotNumber = Int.max
    /// `dueThrough` when the snapshot began.
    var snapshotDueThrough: UInt64 = 0

    init(
        project: ProjectID, id: ProfileID, definition: TriggerDefinition, createdLSN: UInt64,
        createdAt: Int64, eventName: UInt16, unlessName: UInt16?, filter: CompiledFilter?
    ) {
        self.project = project
        self.id = id
        self.definition = definition
        self.createdLSN = createdLSN
        self.createdAt = createdAt
        self.eventName = eventName
        self.unlessName = unlessName
        self.filter = filter
    }

    /// In microseconds.
    var delay: Int64 { Int64(self.definition.delaySeconds) * 1_000_000 }
    var capPeriod: Int64 { Int64(self.definition.capPeriodSeconds) * 1_000_000 }
    var hasCap: Bool { self.definition.cap > 0 }
    /// Nothing is left of it.
    var isEmpty: Bool { self.firings.isEmpty && self.fired.isEmpty }

    func isPending(_ lsn: UInt64) -> Bool { lsn <= self.dueThrough }

    /// How long a cap may have to look at the time of a firing, in microseconds: what fires later
    /// may have been received as long before as it waited.
    var firedAge: Int64 { self.capPeriod + self.delay }

    var info: TriggerInfo {
        var info = TriggerInfo(
            id: self.id, definition: self.definition, createdLSN: self.createdLSN,
            createdAt: self.createdAt)
        (info.pending, info.lost) = (self.pendingCount, self.lost)
        info.pendingVersion = self.pendingVersion
        return info
    }
}

/// The triggers of one project.
final class ProjectTriggers {
    let project: Project
    let id: ProjectID
    /// By the lsn of their creation, with those that are deleted and not empty yet.
    private(set) var all: [Trigger] = []
    /// One bit for each name of an event that any of them looks for, by the number modulo 64.
    private var names: UInt64 = 0
    /// Whether any of them has an `unlessName`.
    private(set) var hasUnless = false
    var (pendingCount, pendingBytes, waitingCount, waitingBytes) = (0, 0, 0, 0)
    /// Nothing that waits is due before, in microseconds; `.max`: nothing waits.
    var nextDue = Int64.max

    init(_ project: Project) {
        self.project = project
        self.id = project.id
    }

    /// Those that are not deleted.
    var liveCount: Int { self.all.count { !$0.isDeleted } }

    /// False: no trigger looks for events of this name.
    @inline(__always)
    func concerns(_ name: UInt16) -> Bool { self.names & 1 << UInt64(name & 63) != 0 }

    func add(_ trigger: Trigger) {
        self.all.append(trigger)
        self.refresh()
    }

    func remove(_ trigger: Trigger) {
        self.all.removeAll { $0 === trigger }
        self.refresh()
    }

    /// Finds anew what is looked for.
    func refresh() {
        self.names = 0
        self.hasUnless = false
        for trigger in self.all where !trigger.isDeleted {
            self.names |= 1 << UInt64(trigger.eventName & 63)
            guard let unless = trigger.unlessName else { continue }
            self.names |= 1 << UInt64(unless & 63)
            self.hasUnless = true
        }
    }

    /// The trigger that was made at an lsn, also one that is deleted; `nil`: there is none.
    func find(createdLSN: UInt64) -> Trigger? {
        var (low, high) = (0, self.all.count)
        while low < high {
            let middle = (low + high) / 2
            if self.all[middle].createdLSN < createdLSN { low = middle + 1 } else { high = middle }
        }
        guard low < self.all.count, self.all[low].createdLSN == createdLSN else { return nil }
        return self.all[low]
    }

    /// The trigger with an id that is not deleted; `nil`: there is none.
    func find(_ id: ProfileID) -> Trigger? { self.all.first { $0.id == id && !$0.isDeleted } }
}
