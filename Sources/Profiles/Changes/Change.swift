import Bytes

// What a committed record changed, for the change feed. The list is collected while the record is
// applied and handed over before anything that it refers to is freed, so that it holds handles and
// slices instead of copies. Nothing is collected unless a consumer is attached.

/// One change to one profile.
package struct Change {
    /// What changed. The changes of one lsn are delivered in the order of the raw values.
    package enum Kind: UInt8, Sendable, CaseIterable {
        /// A profile exists. Its attributes and installations are those that it was created with.
        case created = 1
        /// An anonymous profile got a custom id.
        case identified = 2
        /// The profile absorbed `otherID`.
        case merged = 3
        /// A merge was undone: `otherID` is restored. No command does that yet.
        case unmerged = 4
        /// The installation belongs to the profile now; `otherID` had it before, unless it is new.
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
    }

    package var kind: Kind
    /// Of the operation; `created` has the first lsn of its call, so that it precedes the events.
    package var lsn: UInt64
    package var profileID: ProfileID
    /// The profile merged away or the former holder; zeros: none.
    package var otherID = ProfileID(high: 0, low: 0)
    /// Of the profile after the operation; 0 once it is erased.
    package var revision: UInt64 = 0
    /// The call was an import of the past.
    package var isHistorical = false
    var profile: ProfileRef
    var detail = Detail.none

    /// What the kinds add. Handles and slices are valid while the change is delivered.
    enum Detail {
        case none
        case created(identity: Handle, attributes: Handle, attributesBytes: Int)
        case installation(UnsafeRawBufferPointer)
        /// `names` in `ChangeList.attributes`; the block has all attributes after the operation.
        case attributes(names: Range<Int>, block: Handle, bytes: Int)
        case event(Handle)
        /// In `ChangeList.entries`.
        case entries(Range<Int>)
        case suppression(Channel, SuppressionReasons)
    }
}

/// An attribute that was set or deleted.
struct AttributeChange: BitwiseCopyable {
    /// Its number in the project's `NameTable`.
    var name: UInt16
    var isDeleted: Bool
}

/// A new entry of a consent ledger.
struct ConsentEntryChange {
    var channel: Channel
    /// Empty: the whole channel.
    var topic: UnsafeRawBufferPointer
    /// As it is hashed (`ConsentEntry`).
    var entry: UnsafeRawBufferPointer
}

/// The changes of the records since the last delivery. Its storage is kept.
struct ChangeList {
    var changes: [Change] = []
    var attributes: [AttributeChange] = []
    var entries: [ConsentEntryChange] = []
    /// Changes whose revision was read after their commit.
    var committedCount = 0

    mutating func removeAll() {
        self.changes.removeAll(keepingCapacity: true)
        self.attributes.removeAll(keepingCapacity: true)
        self.entries.removeAll(keepingCapacity: true)
        self.committedCount = 0
    }

    /// Orders the changes by lsn, then by kind; equal ones stay in the order of their collection.
    mutating func sort() {
        let order = self.changes.indices.sorted { one, other in
            let (left, right) = (self.changes[one], self.changes[other])
            if left.lsn != right.lsn { return left.lsn < right.lsn }
            if left.kind != right.kind { return left.kind.rawValue < right.kind.rawValue }
            return one < other
        }
        self.changes = order.map { self.changes[$0] }
    }
}

/// Takes the changes of each commit; called by the applier.
package protocol ChangeConsumer: AnyObject {
    /// Takes the changes of one commit, which has become visible; valid during the call only.
    ///
    /// An atomic batch is one commit, one that is rolled back none. Runs on the applier's thread
    /// and delays the records behind it, so it copies what it needs and returns.
    func consume(_ changes: CommittedChanges)
}

/// The changes of one commit in the order of the feed, borrowed for one call of a consumer.
package struct CommittedChanges {
    let store: Store
    let list: ChangeList
    /// Of the record's frame, in microseconds since 1970.
    package let receivedAt: Int64

    /// Ascending by lsn, then by kind.
    package var changes: [Change] { self.list.changes }

    /// The names of a change of attributes, ascending by text; none for other kinds.
    package func forEachAttribute(
        of change: Change, _ body: (_ name: UnsafeRawBufferPointer, _ isDeleted: Bool) -> Void
    ) {
        guard case .attributes(let names, _, _) = change.detail else { return }
        for attribute in self.list.attributes[names] {
            body(self.store.project.names.name(Int(attribute.name)), attribute.isDeleted)
        }
    }

    /// Appends the list of all attributes right after the operation, as `ProfileImage` has it;
    /// false for kinds without attributes.
    package func appendAttributes(of change: Change, to buffer: inout ByteBuffer) -> Bool {
        let (block, bytes): (Handle, Int)
        switch change.detail {
        case .attributes(_, let attributes, let size): (block, bytes) = (attributes, size)
        case .created(_, let attributes, let size): (block, bytes) = (attributes, size)
        default: return false
        }
        guard block != 0 else {
            buffer.appendVarint(0)
            return true
        }
        AttributePart(self.store.slab.pointer(block)).appendImage(
            self.store.project.names, totalBytes: bytes, to: &buffer)
        return true
    }

    /// Appends the image of a stored event (`StoredEventView`); false for other kinds.
    package func appendEvent(of change: Change, to buffer: inout ByteBuffer) -> Bool {
        guard case .event(let handle) = change.detail else { return false }
        let block = EventBlock(self.store.slab.pointer(handle))
        self.store.appendImage(
            of: block, block.parts, names: self.store.project.names, to: &buffer)
        return true
    }

    /// The new entries of a consent ledger in their order; none for other kinds.
    package func forEachEntry(
        of change: Change,
        _ body: (
            _ channel: Channel, _ topic: UnsafeRawBufferPointer, _ entry: UnsafeRawBufferPointer
        ) -> Void
    ) {
        guard case .entries(let range) = change.detail else { return }
        for entry in self.list.entries[range] { body(entry.channel, entry.topic, entry.entry) }
    }

    /// The installations that a profile was created with, or the one that moved.
    package func forEachInstallation(
        of change: Change, _ body: (UnsafeRawBufferPointer) -> Void
    ) {
        switch change.detail {
        case .installation(let id): body(id)
        case .created(let identity, _, _):
            IdentityPart(self.store.slab.pointer(identity)).forEachInstallation { body($0.id) }
        default: return
        }
    }

    /// The channel whose address is suppressed, and the reasons from now on (empty: none); `nil`
    /// for other kinds.
    package func suppression(
        of change: Change
    ) -> (channel: Channel, reasons: SuppressionReasons)? {
        guard case .suppression(let channel, let reasons) = change.detail else { return nil }
        return (channel, reasons)
    }
}
