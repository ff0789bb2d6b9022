import Bytes

// What a commit changed, while it is being applied: each place that decides a change notes it
// beside its staging, and `Store.finish` writes the records (ChangeRecords.swift). A Track of an
// existing profile notes nothing: its records are written from its edit. Nothing is noted unless
// the store records changes.

/// What a change is about. The changes of one lsn are in the order of the raw values, which stand
/// in the feed.
package enum ChangeKind: UInt8, Sendable, CaseIterable {
    /// A profile exists, with attributes and an installation.
    case created = 1
    /// An anonymous profile got a custom id.
    case identified = 2
    /// The profile absorbed another one.
    case merged = 3
    /// A merge was undone: the other profile is restored.
    case unmerged = 4
    /// The installation belongs to the profile now; the other one had it before, unless it is new.
    case installationMoved = 5
    /// Attributes that a reader sees were set or deleted.
    case attributesChanged = 6
    case eventStored = 7
    /// The consent ledger has new entries that were applied.
    case subscriptionChanged = 8
    /// The profile's address is suppressed for other reasons than before.
    case suppressionChanged = 9
    /// Nothing is left of the profile but this id.
    case erased = 10

    /// Whether an identifier may lead to another profile than before, or to none.
    package var changesIdentities: Bool {
        switch self {
        case .created, .identified, .merged, .unmerged, .installationMoved, .erased: true
        case .attributesChanged, .eventStored, .subscriptionChanged, .suppressionChanged: false
        }
    }
}

/// Where a change came from.
struct ChangeOrigin {
    /// By an import or a historical Track.
    var isHistorical = false
    var platform: UInt8 = 0
    /// Empty: none; borrowed from the record that is applied.
    var sourceName = UnsafeRawBufferPointer.none
}

/// One change to one profile, noted before it is committed.
struct Change {
    var kind: ChangeKind
    /// Of the operation; `created` has the first lsn of its call, so that it precedes the events.
    var lsn: UInt64
    var profile: ProfileRef
    /// As it is before the commit, since an erasure replaces it.
    var profileID: ProfileID
    /// The profile merged away or the former holder; zeros: none.
    var otherID = ProfileID(high: 0, low: 0)
    var origin = ChangeOrigin()
    var detail = Detail.none

    enum Detail {
        case none
        /// Read from the profile once it is committed.
        case created
        /// Its block, which is freed after the record is written.
        case event(Handle)
        /// Written already: a part of `ChangeList.details`.
        case written(Range<Int>)
    }
}

/// The changes of a commit that is under way. Its storage is kept.
struct ChangeList: ~Copyable {
    var changes: [Change] = []
    var details = ByteBuffer(capacity: 0)

    mutating func removeAll() {
        self.changes.removeAll(keepingCapacity: true)
        self.details.removeAll()
    }

    /// Orders the changes by lsn, then by kind; equal ones stay in the order of their collection.
    mutating func sort() {
        let isSorted = (1 ..< max(self.changes.count, 1)).allSatisfy {
            !Self.isBefore(self.changes[$0], self.changes[$0 - 1])
        }
        guard !isSorted else { return }
        let order = self.changes.indices.sorted { one, other in
            if Self.isBefore(self.changes[one], self.changes[other]) { return true }
            if Self.isBefore(self.changes[other], self.changes[one]) { return false }
            return one < other
        }
        self.changes = order.map { self.changes[$0] }
    }

    private static func isBefore(_ left: Change, _ right: Change) -> Bool {
        left.lsn != right.lsn ? left.lsn < right.lsn : left.kind.rawValue < right.kind.rawValue
    }
}
