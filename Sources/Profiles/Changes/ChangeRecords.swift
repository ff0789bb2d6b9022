import Bytes

// The records of changes as they stand in memory and in the feed, written by the applier. Source:
// docs/formats/feed.md, "Change records".
//
// SAFETY: a record is written into bytes that the buffer made for exactly it; its parts are
// borrowed until the writing ends.

/// What the records that were taken together say, beside their bytes.
package struct RecordedChanges: Equatable, Sendable {
    /// Of the first record.
    package var firstLSN: UInt64
    /// Of the last record.
    package var lastLSN: UInt64
    /// One of them has a kind that changes whom identifiers lead to.
    package var changesIdentities: Bool
}

/// The change records since the last take; the applier's alone.
struct ChangeRecords: ~Copyable {
    /// Storage that is kept from one take to the next, in bytes: the records of a frame of 4 MiB
    /// have less.
    static let bytesKept = 8 << 20

    var isRecording = false
    private(set) var changesIdentities = false
    private(set) var lastLSN: UInt64 = 0
    private(set) var buffer = ByteBuffer(capacity: 0)
    /// Where an open atomic batch began.
    private var mark = (count: 0, lastLSN: UInt64(0), changesIdentities: false)

    /// The record without its custom id, source and detail.
    struct Head {
        var kind: ChangeKind
        var origin: ChangeOrigin
        var project: ProjectID
        var lsn: UInt64
        var receivedAt: Int64
        var profileID: ProfileID
        /// Zeros: none.
        var otherID: ProfileID
        var revision: UInt64
        var customID: UnsafeRawBufferPointer
    }

    /// What was recorded; `nil`: nothing.
    var recorded: RecordedChanges? {
        guard self.buffer.count > 0 else { return nil }
        return RecordedChanges(
            firstLSN: self.buffer.bytes.integer(at: ChangeRecordHeader.lsnOffset),
            lastLSN: self.lastLSN, changesIdentities: self.changesIdentities)
    }

    mutating func removeAll() {
        self.buffer.removeAll()
        self.buffer.shrink(toCapacity: Self.bytesKept)
        self.changesIdentities = false
    }

    // MARK: Atomic batches

    mutating func beginBatch() {
        self.mark = (self.buffer.count, self.lastLSN, self.changesIdentities)
    }

    mutating func rollBack() {
        self.buffer.truncate(to: self.mark.count)
        self.lastLSN = self.mark.lastLSN
        self.changesIdentities = self.mark.changesIdentities
    }

    // MARK: Writing

    /// Appends the record of an event; its block is copied as it is, but for the number of its
    /// holder, which is a matter of memory.
    ///
    /// Budget: two copies and nine stores, no allocation once the buffer has grown.
    @inline(__always)
    mutating func append(
        _ event: EventBlock, of header: UnsafeMutablePointer<ProfileHeader>,
        customID: UnsafeRawBufferPointer, isHistorical: Bool, receivedAt: Int64
    ) {
        let eventBytes = event.totalBytes
        let bytes = ChangeRecordHeader.fixedBytes &+ customID.count &+ eventBytes
        // SAFETY: the parts below have `bytes` bytes together.
        let target = self.buffer.appendUninitialized(bytes).baseAddress.unsafelyUnwrapped
        let flags = isHistorical ? ChangeRecordHeader.historicalFlag : 0
        var writer = RawWriter(target)
        writer.write(
            UInt64(truncatingIfNeeded: bytes) | UInt64(ChangeKind.eventStored.rawValue) << 32
                | UInt64(flags) << 40 | UInt64(truncatingIfNeeded: customID.count) << 48)
        writer.write(UInt64(header.pointee.project.rawValue))
        writer.write(event.lsn)
        writer.write(receivedAt)
        writer.write(header.pointee.id.high.bigEndian)
        writer.write(header.pointee.id.low.bigEndian)
        writer.write(header.pointee.revision)
        if customID.count > 0 { writer.write(customID) }
        event.copyWithoutHolder(to: target + (bytes &- eventBytes))
        self.lastLSN = event.lsn
    }

    /// Appends a record; `detail` appends what its kind adds.
    mutating func append(_ head: Head, _ detail: (inout ByteBuffer) -> Void) {
        let start = self.buffer.count
        // A name that did not come through the contract may be longer.
        let sourceName = UnsafeRawBufferPointer(
            rebasing: head.origin.sourceName.prefix(Int(UInt16.max)))
        let hasOther = head.otherID != ProfileID(high: 0, low: 0)
        var flags: UInt8 = 0
        if head.origin.isHistorical { flags |= ChangeRecordHeader.historicalFlag }
        if hasOther { flags |= ChangeRecordHeader.otherIDFlag }
        if head.kind == .erased { flags |= ChangeRecordHeader.survivorsFlag }
        self.buffer.append(UInt32(0))
        self.buffer.append(head.kind.rawValue)
        self.buffer.append(flags)
        self.buffer.append(UInt16(head.customID.count))
        self.buffer.append(head.project.rawValue)
        self.buffer.append(head.origin.platform)
        self.buffer.append(UInt8(0))
        self.buffer.append(UInt16(sourceName.count))
        self.buffer.append(head.lsn)
        self.buffer.append(head.receivedAt)
        Self.append(head.profileID, to: &self.buffer)
        self.buffer.append(head.revision)
        if hasOther { Self.append(head.otherID, to: &self.buffer) }
        self.buffer.append(head.customID)
        self.buffer.append(sourceName)
        detail(&self.buffer)
        self.buffer.patch(
            UInt32(self.buffer.count - start), at: start + ChangeRecordHeader.bytesOffset)
        self.lastLSN = head.lsn
        if head.kind.changesIdentities { self.changesIdentities = true }
    }

    static func append(_ id: ProfileID, to buffer: inout ByteBuffer) {
        buffer.append(id.high.bigEndian)
        buffer.append(id.low.bigEndian)
    }
}

extension Store {
    /// Whether every commit appends its change records, for `takeChanges`; off at first. Set it
    /// before the first record is applied; for the applier.
    package var recordsChanges: Bool {
        get { self.changes.pointee.records.isRecording }
        set {
            self.changes.pointee.records.isRecording = newValue
            if !newValue { self.changes.pointee.records.removeAll() }
        }
    }

    /// Hands over the records since the last call, in the order of the feed, and forgets them; does
    /// not call `body` if there are none. For the applier, after each frame.
    ///
    /// - Parameter body: Gets bytes that are valid during the call.
    package func takeChanges(
        _ body: (_ records: UnsafeRawBufferPointer, _ recorded: RecordedChanges) -> Void
    ) {
        guard let recorded = self.changes.pointee.records.recorded else { return }
        body(self.changes.pointee.records.buffer.bytes, recorded)
        self.changes.pointee.records.removeAll()
    }

    // MARK: What a commit records

    /// Records the events of an edit that is carried out, before its events are settled.
    @inline(__always)
    func recordEvents(_ edit: UnsafeMutablePointer<ProfileEdit>, receivedAt: Int64) {
        let header = self.pool.header(edit.pointee.profile)
        let customID = IdentityPart(self.slab.pointer(header.pointee.identity)).customID
        for number in 0 ..< edit.pointee.eventCount {
            let event = self.work.pointee.pending + number
            guard edit.pointee.takes(event) else { continue }
            self.changes.pointee.records.append(
                EventBlock(self.slab.pointer(event.pointee.block)), of: header,
                customID: customID, isHistorical: edit.pointee.isHistorical,
                receivedAt: receivedAt)
        }
    }

    /// Records the changes that were noted, and the events of the edits, which are carried out.
    @inline(never)
    func recordNoted(_ call: CallContext) {
        for number in 0 ..< self.changes.pointee.editCount {
            self.noteEvents(self.changes.pointee.edits + number)
        }
        self.changes.pointee.list.sort()
        for index in self.changes.pointee.list.changes.indices {
            self.record(self.changes.pointee.list.changes[index], receivedAt: call.receivedAt)
        }
        self.changes.pointee.list.removeAll()
    }

    /// Appends the record of a change that is committed.
    private func record(_ change: Change, receivedAt: Int64) {
        let header = self.pool.header(change.profile).pointee
        let customID =
            header.isLive ? IdentityPart(self.slab.pointer(header.identity)).customID : .none
        let head = ChangeRecords.Head(
            kind: change.kind, origin: change.origin, project: self.project.id, lsn: change.lsn,
            receivedAt: receivedAt, profileID: change.profileID, otherID: change.otherID,
            revision: header.revision, customID: customID)
        let written = self.changes.pointee.list.details.bytes
        self.changes.pointee.records.append(head) { buffer in
            switch change.detail {
            case .none: break
            case .created: self.appendCreated(header, to: &buffer)
            case .event(let handle):
                EventBlock(self.slab.pointer(handle)).appendWithEmptyHolder(to: &buffer)
            case .written(let range):
                buffer.append(UnsafeRawBufferPointer(rebasing: written[range]))
            }
        }
    }

    /// Appends what a profile was created with: an installation or none, and its attributes.
    private func appendCreated(_ header: ProfileHeader, to buffer: inout ByteBuffer) {
        var installation = UnsafeRawBufferPointer.none
        if header.isLive {
            IdentityPart(self.slab.pointer(header.identity)).forEachInstallation {
                installation = $0.id
            }
        }
        buffer.appendPrefixed(installation)
        guard header.attributes != 0 else { return }
        AttributePart(self.slab.pointer(header.attributes)).appendNumbered(
            totalBytes: Int(header.attributesBytes), to: &buffer)
    }
}
