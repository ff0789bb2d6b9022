import Bytes

// What one command changes. A command first decides everything and stages it here: new headers and
// index entries beside the visible ones, and edits of what is changed in place. `Store.finish` then
// makes all of it visible at once. No reader sees half of a merge.

/// What one commit changes, staged before any lock is taken. Its storage is kept.
struct ChangeSet: ~Copyable {
    /// Edits of one commit: the profile that a Track names, and a former holder for each event.
    static let editsMax = TrackWork.eventsMax + 1

    /// Whether anything but edits is staged. A commit looks at this one byte first.
    var isStaged = false
    /// Blocks that a commit replaces are freed after its change records are written.
    var defersFrees = false
    private(set) var editCount = 0
    // SAFETY: made with the store and freed with it; the applier's alone; `editCount` edits are
    // initialised.
    let edits: UnsafeMutablePointer<ProfileEdit>

    var headers: [(profile: ProfileRef, header: ProfileHeader)] = []
    var index: [IdentifierIndex.Change] = []
    /// Of `Store.addresses`.
    var addresses: [IdentifierIndex.Change] = []
    /// Blocks that nothing refers to once the change is made.
    var freed: [(block: Handle, bytes: Int)] = []
    /// Profiles created less those merged away or erased.
    var profilesAdded = 0
    var suppression: SuppressionChange?
    var key: KeyChange?

    var records = ChangeRecords()
    var list = ChangeList()

    /// The reasons that an address is suppressed for from now on.
    struct SuppressionChange {
        var address: AddressHash
        var reasons: SuppressionReasons
        /// Suppressed no longer, since `reasons` contains what it was suppressed for; `nil`: none.
        var formerAddress: AddressHash?
    }

    init() {
        self.edits = .allocate(capacity: Self.editsMax)
    }

    func destroy() {
        self.edits.deallocate()
    }

    /// Adds an edit, to be completed by the caller.
    @inline(__always)
    mutating func addEdit(_ profile: ProfileRef) -> UnsafeMutablePointer<ProfileEdit> {
        precondition(self.editCount < Self.editsMax, "one for each event and one for the profile")
        let edit = self.edits + self.editCount
        edit.initialize(to: ProfileEdit(profile: profile))
        self.editCount += 1
        return edit
    }

    @inline(__always)
    mutating func removeEdits() { self.editCount = 0 }

    /// Removes everything that was staged; change records are kept until they are taken.
    mutating func removeAll() {
        self.isStaged = false
        self.editCount = 0
        self.headers.removeAll(keepingCapacity: true)
        self.index.removeAll(keepingCapacity: true)
        self.addresses.removeAll(keepingCapacity: true)
        self.freed.removeAll(keepingCapacity: true)
        self.profilesAdded = 0
        self.suppression = nil
        self.key = nil
    }
}

/// A change to one profile that is made in place, under its lock: events, `lastSeenAt`, retention.
struct ProfileEdit: BitwiseCopyable {
    var profile: ProfileRef
    /// Events of the Track that are pending, and how many of them this profile stores.
    var eventCount = 0
    var storedCount: UInt32 = 0
    /// The events are those with this `PendingEvent.target`.
    var target: UInt32 = 0
    /// Larger blocks for counters and events.
    var parts = ReplacedParts()
    var raisesRevision = false
    /// Removes the events that are past the retention; an edit that stores events always does.
    var dropsPastDue = false
    var isHistorical = false
    /// The platform that the call gives `installationID`; 0: it keeps what it has.
    var platform: UInt8 = 0
    /// Another platform raises the revision; false: the staged header has been raised for it.
    var raisesForPlatform = true
    /// The new `lastSeenAt`, in microseconds; 0: the person was not seen.
    var seenAt: Int64 = 0
    /// The installation of the call, which was seen with them; empty: none.
    var installationID = UnsafeRawBufferPointer.none

    init(profile: ProfileRef) {
        self.profile = profile
    }

    /// Whether a pending event is one that this profile stores.
    @inline(__always)
    func takes(_ event: UnsafeMutablePointer<PendingEvent>) -> Bool {
        event.pointee.outcome == .stored && event.pointee.target == self.target
    }
}

/// Larger blocks for a profile's counters and events, filled before the lock; 0: the present one is
/// kept.
struct ReplacedParts: BitwiseCopyable {
    var counters: Handle = 0
    var counterCapacity: UInt16 = 0
    var events: Handle = 0
    var eventCapacity: UInt32 = 0
    /// What they replace, and how many bytes that has.
    var oldCounters: Handle = 0
    var oldCounterBytes = 0
    var oldEvents: Handle = 0
    var oldEventBytes = 0
}

extension Store {
    // MARK: Blocks

    /// A new block, which a batch that is rolled back frees again.
    func allocate(_ bytes: Int) -> Handle {
        let block = self.slab.allocate(bytes)
        if self.undo.pointee.isActive { self.undo.pointee.allocated.append((block, bytes)) }
        return block
    }

    /// A new block with a copy of `bytes`; 0 for none.
    func allocate(copying bytes: UnsafeRawBufferPointer) -> Handle {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return 0 }
        let block = self.allocate(bytes.count)
        self.slab.pointer(block).copyMemory(from: source, byteCount: bytes.count)
        return block
    }

    /// Frees a block that readers cannot reach any more: at once, or when what may still refer to
    /// it is done, which is a change record or an atomic batch.
    func discard(_ block: Handle, bytes: Int) {
        guard block != 0 else { return }
        if self.undo.pointee.isActive {
            self.undo.pointee.freed.append((block, bytes))
        } else if self.changes.pointee.defersFrees {
            self.changes.pointee.freed.append((block, bytes))
        } else {
            self.slab.deallocate(block, bytes: bytes)
        }
    }

    /// Frees a block once the staged change is made.
    func free(_ block: Handle, bytes: Int) {
        guard block != 0 else { return }
        self.changes.pointee.freed.append((block, bytes))
    }

    // MARK: Staging

    /// Stages a profile's new header; the last one staged for a profile counts.
    func replace(_ profile: ProfileRef, with header: ProfileHeader) {
        self.changes.pointee.isStaged = true
        self.changes.pointee.headers.append((profile, header))
    }

    /// Stages an edit in place, to be completed by the caller; keeps the pre-image first.
    @inline(__always)
    func edit(_ profile: ProfileRef) -> UnsafeMutablePointer<ProfileEdit> {
        self.preserve(profile)
        return self.changes.pointee.addEdit(profile)
    }

    /// The header that a profile will have as far as it is staged.
    func stagedHeader(_ profile: ProfileRef) -> ProfileHeader {
        self.changes.pointee.headers.last { $0.profile == profile }?.header
            ?? self.pool.header(profile).pointee
    }

    /// Stages that an identifier names a profile from now on.
    func name(_ profile: ProfileRef, _ hash: UInt64) {
        self.changes.pointee.isStaged = true
        self.changes.pointee.index.append(
            IdentifierIndex.Change(hash: hash, profile: profile, isRemoval: false))
    }

    /// Stages that an identifier names a profile no more.
    func unname(_ profile: ProfileRef, _ hash: UInt64) {
        self.changes.pointee.isStaged = true
        self.changes.pointee.index.append(
            IdentifierIndex.Change(hash: hash, profile: profile, isRemoval: true))
    }

    /// Makes a profile that no reader can find before the commit: its id is staged to name it, and
    /// its header may be replaced or edited before the commit.
    func createProfile(
        _ call: CallContext, project: ProjectID, identity: Handle, identityBytes: Int,
        origin: ChangeOrigin = ChangeOrigin()
    ) -> ProfileRef {
        let id = self.ids.profile(receivedAt: call.receivedAt, lsn: call.lsn)
        let hash = self.identities.profileIDHash(project, id)
        let header = ProfileHeader(
            id: id, project: project, lsn: call.lsn, receivedAt: call.receivedAt,
            identity: identity,
            identityBytes: identityBytes)
        let profile = self.add(header, shard: Shards.shard(hash))
        self.name(profile, hash)
        self.changes.pointee.profilesAdded += 1
        if self.isIdentified(header) { self.project.record.pointee.counts.identified += 1 }
        if self.recordsChanges {
            self.note(
                .created, of: profile, lsn: call.firstLSN, origin: origin, detail: .created)
        }
        return profile
    }

    /// Puts a header into a slot that is free again, or into a new one.
    private func add(_ header: ProfileHeader, shard: Int) -> ProfileRef {
        let vacant = self.pool.vacant(shard)
        guard vacant != 0 else {
            let profile = self.pool.add(header, shard: shard, locks: self.profileLocks)
            if self.undo.pointee.isActive { self.undo.pointee.steps.append(.created(profile)) }
            return profile
        }
        let profile = ProfileRef(rawValue: vacant)
        self.snapshot.willChange(profile)
        let old = self.pool.header(profile).pointee
        if self.undo.pointee.isActive { self.undo.pointee.steps.append(.reused(profile, old)) }
        self.pool.setVacant(shard, old.nextVacant)
        self.profileLocks.applying(shard) { self.pool.header(profile).pointee = header }
        return profile
    }

    /// Whether a header is that of a person with a custom id; its identity is still there.
    func isIdentified(_ header: ProfileHeader) -> Bool {
        header.isLive && IdentityPart(self.slab.pointer(header.identity)).customID.count > 0
    }
}
