/// Names a profile's header: `(slot << 6 | shard) + 1`, so that 0 names no profile. Slots ascend in
/// the order of creation.
struct ProfileRef: Equatable, BitwiseCopyable {
    var rawValue: UInt32

    /// Profiles that one shard can hold; 64 shards of them fit the 32 bits.
    static let slotsMax = 1 << (32 - Shards.bits) - 1

    init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    init(shard: Int, slot: Int) {
        self.rawValue = UInt32(slot << Shards.bits | shard) + 1
    }

    var shard: Int { Int((self.rawValue - 1) & UInt32(Shards.count - 1)) }
    var slot: Int { Int((self.rawValue - 1) >> UInt32(Shards.bits)) }
}

/// The fixed part of a profile, changed in place under its shard's lock; its other parts are blocks
/// of the slab.
struct ProfileHeader: BitwiseCopyable {
    var id: ProfileID
    var revision: UInt64 = 1
    /// Of the call that raised the revision last.
    var lsn: UInt64
    /// Times in microseconds since 1970.
    var createdAt: Int64
    var updatedAt: Int64
    var lastSeenAt: Int64
    /// One past the newest event that was dropped; 0: none was.
    var eventsTruncatedBefore: Int64 = 0
    var project: ProjectID
    /// An `IdentityPart`.
    var identity: Handle
    var identityBytes: UInt32
    /// An `AttributePart`; 0 while there is none.
    var attributes: Handle = 0
    var attributesBytes: UInt32 = 0
    /// Subscription states; 0 while there is none.
    var consent: Handle = 0
    var consentBytes: UInt32 = 0
    /// The consent ledger; 0 while there is none.
    var ledger: Handle = 0
    var ledgerBytes: UInt32 = 0
    /// Where the profile went in a merge, as a `ProfileRef`; 0: it lives. What it was stays here
    /// for un-merge, and its custom id for ever, as an alias.
    var mergedInto: UInt32 = 0
    /// An array of `CounterEntry`; 0 while there is none.
    var counters: Handle = 0
    var counterCount: UInt16 = 0
    var counterCapacity: UInt16 = 0
    /// An array of handles of `EventBlock`s by (effective time, lsn): `eventCount` of them from
    /// `eventHead` on.
    var events: Handle = 0
    var eventHead: UInt32 = 0
    var eventCount: UInt32 = 0
    var eventCapacity: UInt32 = 0

    init(
        id: ProfileID, project: ProjectID, lsn: UInt64, receivedAt: Int64, identity: Handle,
        identityBytes: Int
    ) {
        self.id = id
        self.project = project
        self.lsn = lsn
        self.createdAt = receivedAt
        self.updatedAt = receivedAt
        self.lastSeenAt = receivedAt
        self.identity = identity
        self.identityBytes = UInt32(identityBytes)
    }
}

extension ProfileHeader {
    /// The profile lives: it was neither merged away nor erased.
    var isLive: Bool { self.mergedInto == 0 && self.identity != 0 }

    /// The person was erased: moves of installations and merged-away profiles still lead here, and
    /// find no profile.
    var isErased: Bool { self.mergedInto == 0 && self.identity == 0 }

    /// A header that an erasure left: of the erased person, or of one that was merged into them
    /// before. A profile has a revision.
    var isTombstone: Bool { self.revision == 0 }

    /// The header of a slot that is free again, whose project is gone.
    ///
    /// - Parameter next: The next vacant slot of its shard, as a `ProfileRef`; 0: none.
    static func vacant(next: UInt32) -> ProfileHeader {
        var header = ProfileHeader(
            id: ProfileID(high: 0, low: 0), project: ProjectID(rawValue: 0), lsn: UInt64(next),
            receivedAt: 0, identity: 0, identityBytes: 0)
        header.revision = 0
        return header
    }

    /// No profile has the slot; to every reader it is erased.
    var isVacant: Bool { self.project.rawValue == 0 }

    /// Of a vacant slot: the next one, as a `ProfileRef`; 0: none.
    var nextVacant: UInt32 { UInt32(truncatingIfNeeded: self.lsn) }

    /// Notes a change that a reader can see.
    mutating func raiseRevision(_ call: CallContext) {
        self.revision += 1
        self.lsn = call.lsn
        self.updatedAt = call.receivedAt
    }
}

/// One event name's counter, 24 bytes.
struct CounterEntry: BitwiseCopyable {
    /// `count << 16 | name`: 2^48 events of one name are more than a profile will see.
    private var word: UInt64
    /// Effective times in microseconds since 1970.
    var first: Int64
    var last: Int64

    init(name: UInt16, count: UInt64, first: Int64, last: Int64) {
        self.word = count << 16 | UInt64(name)
        self.first = first
        self.last = last
    }

    var name: UInt16 { UInt16(truncatingIfNeeded: self.word) }
    var count: UInt64 { self.word >> 16 }

    /// The same, with another count.
    func counting(_ count: UInt64) -> CounterEntry {
        CounterEntry(name: self.name, count: count, first: self.first, last: self.last)
    }

    /// The same, with times that are not outside of those of a counter that includes it.
    func within(_ whole: CounterEntry) -> CounterEntry {
        CounterEntry(
            name: self.name, count: self.count,
            first: min(max(self.first, whole.first), whole.last),
            last: max(min(self.last, whole.last), whole.first))
    }

    /// Counts one event more; `last` only moves forward, `first` only back.
    mutating func add(_ effectiveTime: Int64) {
        self.word += 1 << 16
        self.first = min(self.first, effectiveTime)
        self.last = max(self.last, effectiveTime)
    }

    /// Adds another counter of the same name.
    mutating func add(_ other: CounterEntry) {
        self.word += other.count << 16
        self.first = min(self.first, other.first)
        self.last = max(self.last, other.last)
    }
}
