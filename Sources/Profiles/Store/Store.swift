import Bytes
import Synchronization

// The deterministic state machine behind the log. One thread, the applier, changes it by `apply` in
// log order; any thread reads it. The two meet in 192 shard locks, 64 each for the index of
// addresses, the index of identifiers, and the profiles (header and parts). A thread that takes
// several takes them in this order, and in ascending order of the shard. Suppressions and blocks
// have 64 locks each, which are taken last.
//
// A reader copies bytes only, and nearly always holds one lock at a time: the index says which
// profile an identifier names, the profile's lock guards the copy. `BatchGetProfiles` holds 128
// locks, those of identifiers and profiles, because its profiles are of one lsn.
//
// The store is composed of parts with narrow inputs, each testable alone: `IdentityStore`,
// `EventStore`, `RequestDeduplication`, `SuppressionStore`, `ErasureStore`, `SnapshotSource`.
// Commands are extensions of `Store`: shared checks (Store+Begin.swift), decisions of their own,
// and one commit (Store+Finish.swift).

/// All projects and profiles of one partition.
// SAFETY: headers and the blocks of the slab that they name are changed by the applier under the
// lock of their shard, and read by other threads under it. Suppressions and blocks have locks of
// their own. Everything else is the applier's alone, or atomic, or never changes. The pointers are
// allocated by `init` and freed by `deinit`, one element each.
package final class Store: @unchecked Sendable {
    /// Names the rules that `apply` follows; a release that changes any outcome raises it.
    package static let rulesVersion: UInt32 = 3
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
    let projects: ProjectTable
    let requests: RequestDeduplication
    let state: UnsafeMutablePointer<AppliedState>
    let work: UnsafeMutablePointer<TrackWork>
    let changes: UnsafeMutablePointer<ChangeSet>
    let merges: MergeTables
    let suppressions: SuppressionStore
    let erasure: ErasureStore
    /// The keys of all projects and of operators.
    package let keys: KeyStore
    /// The triggers of all projects and their firings.
    package let triggers: TriggerStore
    let tokens: TokenKey
    let undo: UnsafeMutablePointer<UndoLog>
    let snapshot: SnapshotSource
    /// Of the newest change that readers can see.
    private let changedLSNCell = Atomic<UInt64>(0)
    /// Of the newest record that is applied.
    private let countedLSNCell = Atomic<UInt64>(0)
    private let nextTickCell = Atomic<Int64>(.max)
    private let profileCountCell = Atomic<Int>(0)
    private let requestIDHorizonCell = Atomic<Int64>(.max)

    /// Makes the empty store of a genesis: no profiles, and the project `default`.
    package convenience init(genesis: Genesis) {
        self.init(genesis: genesis, hashMask: .max)
    }

    /// As above; with fewer bits of hash, for tests of what happens when hashes are equal.
    init(genesis: Genesis, hashMask: UInt64) {
        precondition(genesis.limits.isSupported, "Genesis(decoding:) refuses other limits")
        self.genesis = genesis
        self.limits = genesis.limits
        self.hash = KeyedHash(key: genesis.hashKey, mask: hashMask)
        self.ids = DerivedIDs(secret: genesis.secret)
        self.identities = IdentityStore(slab: self.slab, hash: self.hash)
        self.eventStore = EventStore(
            slab: self.slab, hash: self.hash, ids: self.ids, pool: self.identities.pool)
        self.tokens = TokenKey(secret: genesis.secret)
        self.merges = MergeTables(slab: self.slab, ids: self.ids)
        self.snapshot = SnapshotSource(
            slab: self.slab, pool: self.identities.pool, merges: self.merges)
        self.suppressions = SuppressionStore(snapshot: self.snapshot.work)
        self.erasure = ErasureStore(
            slab: self.slab, hash: self.hash, limits: genesis.limits, snapshot: self.snapshot.work)
        self.keys = KeyStore(
            hash: self.hash, secret: genesis.secret, snapshot: self.snapshot.work)
        self.triggers = TriggerStore(
            slab: self.slab, pool: self.identities.pool, snapshot: self.snapshot.work)
        self.requests = RequestDeduplication(
            slab: self.slab, hash: self.hash, limits: genesis.limits, snapshot: self.snapshot.work)
        self.projects = ProjectTable(hash: self.hash, limits: genesis.limits)
        let first = self.projects.insertDefault()
        self.state = .allocate(capacity: 1)
        self.state.initialize(to: AppliedState(project: first))
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
        self.state.deallocate()
        self.projects.destroy()
        self.requests.destroy()
        self.eventStore.destroy()
        self.identities.destroy()
        self.merges.destroy()
        self.suppressions.destroy()
        self.erasure.destroy()
        self.keys.destroy()
        self.triggers.destroy()
        self.snapshot.destroy()
        self.slab.destroy()
    }

    // MARK: Parts of parts

    /// The project of the record that is applied, which `begin` selects, or of the profile that a
    /// tick is at; for the applier.
    @inline(__always) var project: Project { self.state.pointee.project }
    @inline(__always) var pool: ProfilePool { self.identities.pool }
    @inline(__always) var index: IdentifierIndex { self.identities.index }
    @inline(__always) var addresses: IdentifierIndex { self.identities.addresses }
    @inline(__always) var profileLocks: ShardLocks { self.identities.locks }
    @inline(__always) var events: ShardedTable { self.eventStore.table }

    // MARK: Any thread

    /// The lsn up to which everything is applied; 0 before the first record.
    package var appliedLSN: UInt64 {
        max(self.changedLSNCell.load(ordering: .acquiring), self.countedLSN)
    }

    /// The lsn up to which everything is counted too, in `statistics(of:)`: a record's change is
    /// visible a moment before.
    package var countedLSN: UInt64 { self.countedLSNCell.load(ordering: .acquiring) }

    /// The number of profiles.
    package var profileCount: Int { self.profileCountCell.load(ordering: .relaxed) }

    /// How long a request id is certain to be known, in seconds: as long as the limit of age says,
    /// or less if the limits of number and bytes dropped younger ones; as of the last call with a
    /// request id. Any thread.
    package var requestIDHorizonSeconds: Double {
        let horizon = Double(self.requestIDHorizonCell.load(ordering: .relaxed)) / 1_000_000
        return min(horizon, Double(self.limits.requestIDSeconds))
    }

    /// The lsn of the last erasure that removed something, or of the last call that was rejected
    /// because of one; 0: none.
    package var lastEraseLSN: UInt64 { self.erasure.lastEraseLSN }

    /// Blocked identifiers of erased people.
    package var blockedIdentifierCount: Int { self.erasure.blockCount }

    /// Until when an identifier is blocked, in microseconds; `nil`: it is not, or ended at `now`.
    package func blockedUntil(_ project: ProjectID, _ identifier: IdentifierView, now: Int64)
        -> Int64?
    {
        self.erasure.blockedUntil(project, identifier, now: now)
    }

    /// Until when an identifier that a record names is blocked, in microseconds; `nil`: none is.
    package func blockedUntil(_ record: RecordView, now: Int64) -> Int64? {
        self.erasure.blockedUntil(record, now: now)
    }

    /// Whether something is past due, so that the log thread should append a tick; `now` in
    /// microseconds.
    package func tickDue(at now: Int64) -> Bool {
        self.nextTickCell.load(ordering: .relaxed) <= now
    }

    // MARK: The applier

    /// Shows readers that the change of the record at `lsn` is made; inside the last lock that
    /// guards the change.
    func publish(_ lsn: UInt64) {
        self.changedLSNCell.store(lsn, ordering: .releasing)
    }

    /// Shows readers that everything up to `lsn` is applied and counted.
    func publishCounted(_ lsn: UInt64) {
        self.countedLSNCell.store(lsn, ordering: .releasing)
    }

    func publishProfileCount(_ count: Int) {
        self.profileCountCell.store(count, ordering: .relaxed)
    }

    /// Shows the shortest horizon that any project has.
    func publishRequestIDHorizon(now: Int64) {
        let forgotten = max(
            self.state.pointee.forgottenRequests, self.project.requests.forgotten)
        self.state.pointee.forgottenRequests = forgotten
        self.requestIDHorizonCell.store(
            forgotten == .min ? .max : max(now - forgotten, 0), ordering: .relaxed)
    }

    func publishNextTick(_ time: Int64) {
        self.nextTickCell.store(time, ordering: .relaxed)
    }
}

/// What the state knows of time, and how far it has got.
struct AppliedState {
    /// `receivedAt` of the last record, in microseconds; it never runs backwards.
    var lastReceivedAt: Int64 = 0
    var profileCount = 0
    var sweep = RetentionSweep()
    var purge = ProjectPurge()

    // What follows is no state of its own: it is computed from it, or is about one record.

    /// `Store.project`.
    var project: Project
    /// Bytes of the slab that are counted for a project.
    var accountedBytes = 0
    /// When the first event of any project is past its retention, in microseconds.
    var nextExpiry = Int64.max
    /// When the first project is to be purged or its name to be free, in microseconds.
    var nextProjectDue = Int64.max
    /// The newest time of which any project may have forgotten request ids, in microseconds.
    var forgottenRequests = Int64.min
    var oldest = OldestEntries()

    init(project: Project) {
        self.project = project
    }
}

/// How late, ahead and old an event may be, in seconds.
package struct TimeWindows: Equatable, Sendable, BitwiseCopyable {
    package var lateSeconds: UInt64 = 0
    package var aheadSeconds: UInt64 = 0
    /// With `historical`: the retention.
    package var historicalSeconds: UInt64 = 0

    /// Empty ones.
    package init() {}

    init(lateSeconds: UInt64, aheadSeconds: UInt64, historicalSeconds: UInt64) {
        self.lateSeconds = lateSeconds
        self.aheadSeconds = aheadSeconds
        self.historicalSeconds = historicalSeconds
    }
}
