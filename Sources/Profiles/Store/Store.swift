import Bytes
import Synchronization

// The deterministic state machine behind the log. One thread, the applier, changes it by `apply` in
// log order; any thread reads it. The two meet in 192 shard locks, 64 each for the index of
// addresses, the index of identifiers, and the profiles (header and parts); whoever holds several
// takes them in this order, and in ascending order of the shard. Suppressions and blocks have 64
// locks each, which are the last ones to be taken.
//
// A reader copies bytes only, and nearly always holds one lock at a time: the index says which
// profile an identifier names, the profile's lock guards the copy. `BatchGetProfiles` holds 128
// locks, those of identifiers and profiles, because its profiles are of one lsn.
//
// The store is composed of parts, each with what it needs and nothing else: `IdentityStore`,
// `EventStore`, `RequestDeduplication`, `SuppressionTable`, `BlockList`, `SnapshotWork`. Commands
// are extensions of `Store`: checks that all share (Store+Begin.swift), decisions of their own, and
// one commit (Store+Finish.swift).

/// All projects and profiles of one partition.
package final class Store: @unchecked Sendable {
    // SAFETY: `shards`, `pool` and the blocks behind them are changed by the applier under the
    // shard's lock and read by others under it; everything else below is the applier's alone, or
    // atomic, or never changes.

    /// Names the rules that `apply` follows; a release that changes any outcome raises it.
    package static let rulesVersion: UInt32 = 1
    /// The newest rules that this store applies by; only tests of a next version raise it.
    package var newestRules = Store.rulesVersion

    /// What this store began with.
    package let genesis: Genesis

    let limits: StoreLimits
    let hash: KeyedHash
    let ids: DerivedIDs
    let slab = Slab()
    let identities: IdentityStore
    let eventStore: EventStore
    let project: Project
    let state: UnsafeMutablePointer<AppliedState>
    let work: UnsafeMutablePointer<TrackWork>
    let changes: UnsafeMutablePointer<ChangeSet>
    let suppressions = SuppressionTable()
    /// What erased people were called by.
    let blocks: BlockList
    let tokens: TokenKey
    let undo: UnsafeMutablePointer<UndoLog>
    let snapshot: UnsafeMutablePointer<SnapshotWork>
    private let appliedLSNCell = Atomic<UInt64>(0)
    private let nextTickCell = Atomic<Int64>(.max)
    private let profileCountCell = Atomic<Int>(0)
    private let blockCountCell = Atomic<Int>(0)
    private let lastEraseLSNCell = Atomic<UInt64>(0)
    // SAFETY: written and read under the lock of shard 0, whose order the thread sanitizer
    // understands.
    private let publishedOptions: UnsafeMutablePointer<ProjectOptions>
    private let topicDefaultCell = Atomic<Bool>(false)
    private let retentionCell: Atomic<UInt64>
    private let lateCell: Atomic<UInt64>

    /// Makes the empty store of a genesis: no profiles, and the project `default`.
    package convenience init(genesis: Genesis) {
        self.init(genesis: genesis, hashMask: .max)
    }

    /// As above; with fewer bits of hash, for tests of what happens when hashes are equal.
    init(genesis: Genesis, hashMask: UInt64) {
        precondition(genesis.limits.isSupported, "Genesis(decoding:) refuses other limits")
        self.genesis = genesis
        self.limits = genesis.limits
        self.retentionCell = Atomic(genesis.limits.retentionSeconds(ProjectOptions()))
        self.lateCell = Atomic(genesis.limits.lateSeconds(ProjectOptions()))
        self.hash = KeyedHash(key: genesis.hashKey, mask: hashMask)
        self.ids = DerivedIDs(secret: genesis.secret)
        self.identities = IdentityStore(slab: self.slab, hash: self.hash)
        self.eventStore = EventStore(
            slab: self.slab, hash: self.hash, ids: self.ids, pool: self.identities.pool)
        self.tokens = TokenKey(secret: genesis.secret)
        self.snapshot = .allocate(capacity: 1)
        self.snapshot.initialize(to: SnapshotWork())
        self.project = Project(
            id: ProjectID(rawValue: 1), name: "default",
            names: NameTable(hash: KeyedHash(key: genesis.hashKey, mask: hashMask)),
            requests: RequestDeduplication(
                slab: self.slab, hash: self.hash, limits: genesis.limits, snapshot: self.snapshot))
        self.blocks = BlockList(slab: self.slab, limits: genesis.limits)
        self.publishedOptions = .allocate(capacity: 1)
        self.publishedOptions.initialize(to: ProjectOptions())
        self.state = .allocate(capacity: 1)
        self.state.initialize(to: AppliedState())
        self.work = .allocate(capacity: 1)
        self.work.initialize(to: TrackWork(droppedCapacity: Int(genesis.limits.eventsPerProfile)))
        self.changes = .allocate(capacity: 1)
        self.changes.initialize(to: ChangeSet())
        self.undo = .allocate(capacity: 1)
        self.undo.initialize(to: UndoLog())
    }

    deinit {
        self.work.pointee.destroy()
        self.work.deinitialize(count: 1)
        self.work.deallocate()
        self.changes.pointee.destroy()
        self.changes.deinitialize(count: 1)
        self.changes.deallocate()
        self.undo.deinitialize(count: 1)
        self.undo.deallocate()
        self.snapshot.deinitialize(count: 1)
        self.snapshot.deallocate()
        self.state.deallocate()
        self.publishedOptions.deallocate()
        self.project.names.destroy()
        self.project.requests.destroy()
        self.eventStore.destroy()
        self.identities.destroy()
        self.suppressions.destroy()
        self.blocks.destroy()
        self.slab.destroy()
    }

    // MARK: Parts of parts

    @inline(__always) var pool: ProfilePool { self.identities.pool }
    @inline(__always) var index: IdentifierIndex { self.identities.index }
    @inline(__always) var addresses: IdentifierIndex { self.identities.addresses }
    @inline(__always) var profileLocks: ShardLocks { self.identities.locks }
    @inline(__always) var events: ShardedTable { self.eventStore.table }

    // MARK: Any thread

    /// The lsn up to which everything is applied; 0 before the first record.
    package var appliedLSN: UInt64 { self.appliedLSNCell.load(ordering: .acquiring) }

    /// Profiles in all.
    package var profileCount: Int { self.profileCountCell.load(ordering: .relaxed) }

    /// Of the last erasure that removed something, or of the last call rejected for one; 0: there
    /// was none.
    package var lastEraseLSN: UInt64 { self.lastEraseLSNCell.load(ordering: .acquiring) }

    /// Identifiers of erased people that are blocked, until a tick forgets them.
    package var blockedIdentifierCount: Int { self.blockCountCell.load(ordering: .relaxed) }

    /// Whether anything is blocked at all; spares most calls a hash.
    var hasBlocks: Bool { self.blockedIdentifierCount > 0 }

    /// Whether something is past due, so that the log thread should append a tick; `now` in
    /// microseconds.
    package func tickDue(at now: Int64) -> Bool {
        self.nextTickCell.load(ordering: .relaxed) <= now
    }

    /// The project `default`, the one that every store has.
    package var defaultProject: ProjectID { self.project.id }

    /// The project of a name; `nil` if there is none.
    package func findProject(_ name: UnsafeRawBufferPointer) -> ProjectID? {
        let known = UnsafeRawBufferPointer(
            start: self.project.name.utf8Start, count: self.project.name.utf8CodeUnitCount)
        return known.equals(name) ? self.project.id : nil
    }

    /// The time windows of a project; `nil` if there is none.
    package func timeWindows(of project: ProjectID) -> TimeWindows? {
        guard project == self.project.id else { return nil }
        return TimeWindows(
            lateSeconds: self.lateCell.load(ordering: .relaxed),
            aheadSeconds: self.limits.aheadWindowSeconds,
            historicalSeconds: self.retentionSeconds)
    }

    /// How long events are retained, in seconds.
    package var retentionSeconds: UInt64 { self.retentionCell.load(ordering: .relaxed) }

    /// What a project decides for itself; `nil` if there is none.
    package func options(of project: ProjectID) -> ProjectOptions? {
        project == self.project.id
            ? self.profileLocks.with(0) { self.publishedOptions.pointee } : nil
    }

    /// The name of the one project.
    package var projectName: StaticString { self.project.name }

    /// Whether a topic that a person said nothing about counts as unsubscribed.
    package var isTopicUnsubscribedByDefault: Bool {
        self.topicDefaultCell.load(ordering: .relaxed)
    }

    // MARK: The applier

    /// Shows readers the options that they need; to be called whenever `state.options` changed.
    func publishOptions() {
        let options = self.state.pointee.options
        self.profileLocks.applying(0) { self.publishedOptions.pointee = options }
        self.topicDefaultCell.store(options.topicDefaultUnsubscribed, ordering: .relaxed)
        self.retentionCell.store(self.limits.retentionSeconds(options), ordering: .relaxed)
        self.lateCell.store(self.limits.lateSeconds(options), ordering: .relaxed)
    }

    /// Shows readers that everything up to `lsn` is applied; inside the last lock that guards the
    /// change.
    func publish(_ lsn: UInt64) {
        self.appliedLSNCell.store(lsn, ordering: .releasing)
    }

    func publishProfileCount(_ count: Int) {
        self.profileCountCell.store(count, ordering: .relaxed)
    }

    /// Shows readers how many identifiers are blocked.
    func publishBlocks() {
        self.blockCountCell.store(self.blocks.count, ordering: .relaxed)
    }

    /// Shows readers when the last erasure was.
    func publishLastErase() {
        self.lastEraseLSNCell.store(self.state.pointee.lastEraseLSN, ordering: .releasing)
    }

    func publishNextTick(_ time: Int64) {
        self.nextTickCell.store(time, ordering: .relaxed)
    }

    /// Changes with each piece of memory that the store takes for blocks and headers, and costs
    /// nothing to look at; for the applier.
    package var memoryMark: Int {
        self.slab.bytesReserved &+ self.state.pointee.profileCount / ProfilePool.chunkSlots
    }

    /// Where the memory goes; for the applier, or while nothing is applied.
    package var memory: MemoryStatistics {
        MemoryStatistics(
            slabBytesInUse: self.slab.bytesInUse, slabBytesReserved: self.slab.bytesReserved,
            profileHeaderBytes: self.pool.bytes,
            identifierIndexBytes: self.index.bytes + self.addresses.bytes,
            eventIndexBytes: self.events.bytes,
            requestBytes: self.project.requests.bytes,
            requestTableBytes: self.project.requests.tableBytes,
            suppressionBytes: self.suppressions.bytes,
            blockTableBytes: self.blocks.tableBytes,
            nameBytes: self.project.names.bytes, retainedEvents: self.events.count)
    }
}

/// A project of the store.
struct Project {
    let id: ProjectID
    let name: StaticString
    let names: NameTable
    let requests: RequestDeduplication
}

/// What the state knows of time, and how far it has got.
struct AppliedState {
    /// `receivedAt` of the last record, in microseconds; it never runs backwards.
    var lastReceivedAt: Int64 = 0
    var profileCount = 0
    /// No retained event is older than this, in microseconds; `.max` without any.
    var oldestEvent = Int64.max
    var sweep = RetentionSweep()
    var options = ProjectOptions()
    var merges = MergeList()
    /// Of the last erasure that removed something, or of the last call that was rejected for one
    /// and is in the log; 0: there was none. Snapshots are due until none of it is left on disk.
    var lastEraseLSN: UInt64 = 0
}

/// How late, ahead and old an event may be, in seconds.
package struct TimeWindows: Equatable, Sendable {
    package var lateSeconds: UInt64
    package var aheadSeconds: UInt64
    /// With `historical`: the retention.
    package var historicalSeconds: UInt64
}

/// Bytes of the store by their use.
package struct MemoryStatistics: Equatable, Sendable {
    /// Blocks in use: identities, counters, event indexes, events, remembered responses.
    package var slabBytesInUse: Int
    /// What the slab has taken from the system, free blocks included.
    package var slabBytesReserved: Int
    package var profileHeaderBytes: Int
    /// With that of addresses.
    package var identifierIndexBytes: Int
    /// The table of retained events by id.
    package var eventIndexBytes: Int
    /// Remembered responses; inside the slab.
    package var requestBytes: Int
    package var requestTableBytes: Int
    /// The table of suppressed addresses.
    package var suppressionBytes: Int
    /// The tables of blocked identifiers; the entries lie in the slab.
    package var blockTableBytes: Int
    package var nameBytes: Int
    /// Events retained, in all profiles.
    package var retainedEvents: Int

    /// Bytes taken from the system.
    package var totalBytes: Int {
        self.slabBytesReserved + self.profileHeaderBytes + self.identifierIndexBytes
            + self.eventIndexBytes
            + self.requestTableBytes + self.suppressionBytes + self.blockTableBytes + self.nameBytes
    }

    /// Bytes that hold something: the rest is blocks that were freed and wait for their next use.
    package var usedBytes: Int { self.totalBytes - self.slabBytesReserved + self.slabBytesInUse }

    /// What a store may ever take: handles name 64 GiB, and an eighth is left for what may never be
    /// rejected.
    package static let bytesMax = Slab.chunksMax / 8 * 7 * Slab.chunkBytes
}
