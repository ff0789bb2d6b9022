import Synchronization

// SAFETY: a record is made by `ProjectTable` or a test, stays at its place until the store ends,
// and is used again for another project only after a day in which nobody could find it. `names` and
// everything that is neither atomic nor in `name` and `details` is the applier's alone; these two
// are changed under the table's lock.

/// What a project was told, and when; shown by `ProjectInfo`.
struct ProjectDetails: BitwiseCopyable {
    var options = ProjectOptions()
    /// In microseconds since 1970; 0: before the log recorded it.
    var createdAt: Int64 = 0
    /// 0: the project is not being deleted.
    var deleteDue: Int64 = 0
    var revision: UInt64 = 1
    /// When nothing of it was left, in microseconds since 1970; 0: something is.
    var purgedAt: Int64 = 0
}

/// What a project holds, as far as an atomic batch that is rolled back restores it.
struct ProjectCounts: BitwiseCopyable {
    var profiles = 0
    var identified = 0
    var events = 0
    /// Bytes in the slab.
    var bytes = 0
    /// No retained event is older than this, in microseconds; `.max` without any.
    var oldestEvent = Int64.max
    /// The oldest event left behind a running sweep, or stored since it began.
    var oldestBehind = Int64.max
    /// The merges that can still be undone.
    var merges = EntryList()
}

/// Whether commands of a project are served.
enum ProjectAccess: UInt8 {
    case live = 0
    case deleting = 1
    /// The owner of what belongs to no project; no command names it.
    case instance = 2
}

/// The memory of one project: about 400 bytes, and nothing else until it is used.
struct ProjectRecord: ~Copyable {
    // MARK: Any thread

    /// 0: no project; also of the instance.
    let id = Atomic<UInt32>(0)
    /// `retention in seconds << 32 | late window in seconds`: both fit, being at most ten years.
    let windows = Atomic<UInt64>(0)
    /// 0: it is not being deleted.
    let deleteDue = Atomic<Int64>(0)
    let topicDefault = Atomic<Bool>(false)
    let profiles = Atomic<Int>(0)
    let identified = Atomic<Int>(0)
    let events = Atomic<Int>(0)
    let bytes = Atomic<Int>(0)
    let items = ItemCounters()

    // MARK: Under the table's lock; the applier without

    /// Owned memory.
    var name = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    var details = ProjectDetails()

    // MARK: The applier

    var access = ProjectAccess.live
    /// The running purge removes it.
    var isPurging = false
    /// `nil`: it has no triggers, which is what a Track looks at.
    var triggers: ProjectTriggers?
    /// Its position among the cursors of a running snapshot; meaningless without one.
    var snapshotIndex = Int.max
    let names: NameTable
    var counts = ProjectCounts()
    var requests = RequestList()
    /// Blocked identifiers of erased people.
    var blocks = EntryList()
    /// Suppressed addresses.
    var suppressions = 0

    init(names: NameTable) {
        self.names = names
    }
}

/// One project of the store: names its record.
struct Project: Equatable {
    let record: UnsafeMutablePointer<ProjectRecord>

    /// A project of its own memory, for tables and tests.
    ///
    /// - Parameter nameBytes: Counts the bytes of names of all projects.
    init(hash: KeyedHash, nameBytes: UnsafeMutablePointer<Int>) {
        self.record = .allocate(capacity: 1)
        self.record.initialize(
            to: ProjectRecord(names: NameTable(hash: hash, totalBytes: nameBytes)))
    }

    func destroy() {
        self.record.pointee.names.destroy()
        self.record.pointee.name.deallocate()
        self.record.deinitialize(count: 1)
        self.record.deallocate()
    }

    // MARK: Any thread

    @inline(__always)
    var id: ProjectID {
        ProjectID(rawValue: self.record.pointee.id.load(ordering: .relaxed))
    }

    /// How long events are retained, in seconds.
    @inline(__always)
    var retentionSeconds: UInt64 { self.record.pointee.windows.load(ordering: .relaxed) >> 32 }

    /// How late an event may be, in seconds.
    @inline(__always)
    var lateSeconds: UInt64 {
        self.record.pointee.windows.load(ordering: .relaxed) & UInt64(UInt32.max)
    }

    /// Names never move, and a number is published only after its name.
    @inline(__always)
    var names: NameTable { self.record.pointee.names }

    // MARK: The applier

    var options: ProjectOptions {
        get { self.record.pointee.details.options }
        nonmutating set { self.record.pointee.details.options = newValue }
    }

    /// Whether its commands are carried out.
    @inline(__always)
    var isLive: Bool { self.record.pointee.access == .live }

    /// Some of it is gone already, or all of it: its deletion cannot be undone, and nothing may be
    /// added to its lists.
    var isBeingRemoved: Bool {
        self.record.pointee.isPurging || self.record.pointee.details.purgedAt != 0
    }

    var counts: ProjectCounts {
        get { self.record.pointee.counts }
        nonmutating set { self.record.pointee.counts = newValue }
    }
    var merges: EntryList {
        get { self.record.pointee.counts.merges }
        nonmutating set { self.record.pointee.counts.merges = newValue }
    }
    var requests: RequestList {
        get { self.record.pointee.requests }
        nonmutating set { self.record.pointee.requests = newValue }
    }
    var blocks: EntryList {
        get { self.record.pointee.blocks }
        nonmutating set { self.record.pointee.blocks = newValue }
    }

    /// When its first event is past the retention, in microseconds; `.max` without events.
    var nextExpiry: Int64 {
        let oldest = self.record.pointee.counts.oldestEvent
        return oldest == .max ? .max : oldest + Int64(self.retentionSeconds) * 1_000_000
    }

    /// Keeps the bounds on the oldest event.
    @inline(__always)
    func eventStored(at effectiveTime: Int64) {
        self.record.pointee.counts.oldestEvent = min(
            self.record.pointee.counts.oldestEvent, effectiveTime)
        self.record.pointee.counts.oldestBehind = min(
            self.record.pointee.counts.oldestBehind, effectiveTime)
    }

    /// Shows readers how much the project holds.
    @inline(__always)
    func publishCounts() {
        self.record.pointee.profiles.store(self.record.pointee.counts.profiles, ordering: .relaxed)
        self.record.pointee.identified.store(
            self.record.pointee.counts.identified, ordering: .relaxed)
        self.record.pointee.events.store(self.record.pointee.counts.events, ordering: .relaxed)
        self.record.pointee.bytes.store(self.record.pointee.counts.bytes, ordering: .relaxed)
    }
}
