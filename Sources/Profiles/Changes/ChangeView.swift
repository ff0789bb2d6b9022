import Bytes

// The reading side of change records, for any thread. Bytes that are damaged read as no record, no
// event or no list; nothing here traps on them. Names are numbers of the project's table, which
// `ChangeResolver` turns into text. Source: docs/formats/feed.md, "Change records".

/// One change record, borrowed.
package struct ChangeView {
    /// Stands where a packed value has its tag: the attribute was deleted.
    static let deletedTag: UInt8 = 0

    /// The whole record.
    package let bytes: UnsafeRawBufferPointer
    package let kind: ChangeKind

    /// The record at the beginning of `bytes`; `nil`: there is no valid one.
    package init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= ChangeRecordHeader.fixedBytes,
            let kind = ChangeKind(rawValue: bytes[ChangeRecordHeader.kindOffset])
        else { return nil }
        let count = Int(bytes.integer(at: ChangeRecordHeader.bytesOffset, UInt32.self))
        guard count >= ChangeRecordHeader.fixedBytes, count <= bytes.count else { return nil }
        self.bytes = UnsafeRawBufferPointer(rebasing: bytes[..<count])
        self.kind = kind
        guard self.detailOffset <= count else { return nil }
    }

    private var flags: UInt8 { self.bytes[ChangeRecordHeader.flagsOffset] }

    /// By an import or a historical Track.
    package var isHistorical: Bool { self.flags & ChangeRecordHeader.historicalFlag != 0 }
    package var project: ProjectID {
        ProjectID(rawValue: self.bytes.integer(at: ChangeRecordHeader.projectOffset))
    }
    package var lsn: UInt64 { self.bytes.integer(at: ChangeRecordHeader.lsnOffset) }
    /// In microseconds since 1970.
    package var receivedAt: Int64 { self.bytes.integer(at: ChangeRecordHeader.receivedAtOffset) }
    package var profileID: ProfileID { self.id(at: ChangeRecordHeader.profileIDOffset) }
    /// Of the profile after the operation; 0 once it is erased.
    package var revision: UInt64 { self.bytes.integer(at: ChangeRecordHeader.revisionOffset) }
    /// Of the call; an event has its own. 0: unknown.
    package var platform: UInt8 { self.bytes[ChangeRecordHeader.platformOffset] }
    /// The profile merged away, the one restored, or the former holder of the installation.
    package var otherID: ProfileID? {
        self.otherIDBytes == 0 ? nil : self.id(at: ChangeRecordHeader.fixedBytes)
    }
    /// Empty: anonymous.
    package var customID: UnsafeRawBufferPointer {
        self.slice(self.customIDOffset, self.customIDBytes)
    }
    /// Of the call; an event has its own. Empty: none.
    package var sourceName: UnsafeRawBufferPointer {
        self.slice(self.customIDOffset + self.customIDBytes, self.sourceNameBytes)
    }
    /// What the kind adds.
    var detail: UnsafeRawBufferPointer {
        self.slice(self.detailOffset, self.bytes.count - self.detailOffset)
    }

    private var otherIDBytes: Int {
        self.flags & ChangeRecordHeader.otherIDFlag == 0 ? 0 : ProfileID.binaryBytes
    }
    private var customIDBytes: Int {
        Int(self.bytes.integer(at: ChangeRecordHeader.customIDBytesOffset, UInt16.self))
    }
    private var sourceNameBytes: Int {
        Int(self.bytes.integer(at: ChangeRecordHeader.sourceNameBytesOffset, UInt16.self))
    }
    private var customIDOffset: Int { ChangeRecordHeader.fixedBytes + self.otherIDBytes }
    private var detailOffset: Int {
        self.customIDOffset + self.customIDBytes + self.sourceNameBytes
    }

    private func id(at offset: Int) -> ProfileID {
        ProfileID(binary: self.slice(offset, ProfileID.binaryBytes))
    }

    private func slice(_ offset: Int, _ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: self.bytes[offset ..< offset + count])
    }

    // MARK: What a kind adds

    /// The event that was stored; `nil` for other kinds, and if it is malformed.
    package var event: ChangedEvent? {
        self.kind == .eventStored ? ChangedEvent(self.detail) : nil
    }

    /// The installation that moved, or that the profile was created with; `nil`: none.
    package var installationID: UnsafeRawBufferPointer? {
        guard self.kind == .installationMoved || self.kind == .created else { return nil }
        var reader = ByteReader(self.detail)
        let id = reader.readPrefixed()
        return reader.overrun || id.count == 0 ? nil : id
    }

    /// The attributes that were set or deleted, ascending by name; none for kinds without.
    package var attributes: ChangedAttributes {
        switch self.kind {
        case .attributesChanged: return ChangedAttributes(ByteReader(self.detail))
        case .created:
            var reader = ByteReader(self.detail)
            _ = reader.readPrefixed()
            return ChangedAttributes(reader)
        default: return ChangedAttributes(ByteReader(.none))
        }
    }

    /// The applied entries of a consent ledger, in its order; none for other kinds.
    package var entries: ChangedEntries {
        ChangedEntries(ByteReader(self.kind == .subscriptionChanged ? self.detail : .none))
    }

    /// The channel whose address is suppressed, and the reasons from now on (empty: none); `nil`
    /// for other kinds, and if it is malformed.
    package var suppression: (channel: Channel, reasons: SuppressionReasons)? {
        guard self.kind == .suppressionChanged else { return nil }
        var reader = ByteReader(self.detail)
        let channel = Channel(rawValue: reader.read())
        let reasons = SuppressionReasons(rawValue: reader.read())
        guard reader.isAtCleanEnd, let channel else { return nil }
        return (channel, reasons)
    }

    /// Calls `body` with each profile that had been merged into the erased one.
    package func forEachErasedID(_ body: (ProfileID) -> Void) {
        self.forEachErasedLink { loser, _ in body(loser) }
    }

    /// Calls `body` with each profile that had been merged into the erased one, and the one that it
    /// was merged into itself; records of before say only into whom all of them were in the end.
    package func forEachErasedLink(_ body: (_ loser: ProfileID, _ survivor: ProfileID) -> Void) {
        guard self.kind == .erased else { return }
        let hasSurvivors = self.flags & ChangeRecordHeader.survivorsFlag != 0
        var loser: ProfileID?
        self.forEachDetailID { id in
            if let merged = loser {
                body(merged, id)
                loser = nil
            } else if hasSurvivors {
                loser = id
            } else {
                body(id, self.profileID)
            }
        }
    }

    /// Calls `body` with each profile between the other one and the profile, if merges had led
    /// through others: of `unmerged` from the restored one on, of `identified` the one that had the
    /// custom id itself.
    package func forEachIDBetween(_ body: (ProfileID) -> Void) {
        if self.kind == .unmerged || self.kind == .identified { self.forEachDetailID(body) }
    }

    private func forEachDetailID(_ body: (ProfileID) -> Void) {
        var reader = ByteReader(self.detail)
        while reader.remaining >= ProfileID.binaryBytes {
            body(ProfileID(binary: reader.read(count: ProfileID.binaryBytes)))
        }
    }
}

/// Attributes that were set or deleted; `isDamaged` is known once `next` has returned `nil`.
package struct ChangedAttributes {
    /// One of them, borrowed.
    package struct Item {
        /// Its number in the project's table of names.
        package var name: Int
        /// Packed; empty: the attribute was deleted.
        package var value: UnsafeRawBufferPointer
    }

    private var reader: ByteReader
    package private(set) var isDamaged: Bool

    init(_ reader: ByteReader) {
        self.reader = reader
        self.isDamaged = reader.overrun
    }

    package mutating func next() -> Item? {
        guard self.reader.remaining > 0, !self.isDamaged else { return nil }
        let name = Int(self.reader.read(UInt16.self))
        var ahead = self.reader
        guard ahead.read(UInt8.self) != ChangeView.deletedTag else {
            self.isDamaged = ahead.overrun
            self.reader = ahead
            return self.isDamaged ? nil : Item(name: name, value: .none)
        }
        ahead = self.reader
        guard PackedValue.skip(&ahead, depth: 1) else {
            self.isDamaged = true
            return nil
        }
        return Item(name: name, value: self.reader.read(count: ahead.offset - self.reader.offset))
    }
}

/// Applied entries of a consent ledger; `isDamaged` is known once `next` has returned `nil`.
package struct ChangedEntries {
    /// One of them, borrowed.
    package struct Item {
        package var channel: Channel
        package var previousHash: SHA256Digest
        package var hash: SHA256Digest
        /// Without its hashes, as protobuf.
        package var entry: UnsafeRawBufferPointer
    }

    private var reader: ByteReader
    package private(set) var isDamaged = false

    init(_ reader: ByteReader) {
        self.reader = reader
    }

    package mutating func next() -> Item? {
        guard self.reader.remaining > 0, !self.isDamaged else { return nil }
        let channel = Channel(rawValue: self.reader.read())
        let previous = SHA256Digest(from: &self.reader)
        let hash = SHA256Digest(from: &self.reader)
        let entry = self.reader.readPrefixed()
        guard !self.reader.overrun, let channel else {
            self.isDamaged = true
            return nil
        }
        return Item(channel: channel, previousHash: previous, hash: hash, entry: entry)
    }
}

/// An event as a change record has it, borrowed: its block, without the holder.
package struct ChangedEvent {
    package var effectiveTime: Int64
    package var lsn: UInt64
    package var receivedAt: Int64
    package var isHistorical: Bool
    package var platform: UInt8
    package var identifier: IdentifierView
    /// `nil`: made by the server; `ChangeResolver.eventID(of:)` has it.
    package var eventID: UnsafeRawBufferPointer?
    package var sourceName: UnsafeRawBufferPointer
    /// Its number in the project's table of names.
    package var name: Int
    package var label: UnsafeRawBufferPointer
    /// Positioned at the first of the prefixed tags.
    package var tags: ByteReader
    package var tagCount: UInt64
    /// Positioned at the first field: `name: varint (a number) | packed value` each.
    package var fields: ByteReader
    /// Each has at least two bytes, so there are fewer than the record has bytes.
    package var fieldCount: UInt64

    /// Reads a whole block; `nil` if it is not one.
    init?(_ block: UnsafeRawBufferPointer) {
        var reader = ByteReader(block)
        self.effectiveTime = reader.read()
        self.lsn = reader.read()
        self.receivedAt = reader.read()
        _ = reader.read(UInt32.self)
        guard Int(reader.read(UInt32.self)) == block.count else { return nil }
        let flags = EventBlock.Flags(rawValue: reader.read())
        guard let kind = flags.identifierKind else { return nil }
        self.isHistorical = flags.isHistorical
        self.platform = reader.read()
        self.identifier = IdentifierView(kind: kind, bytes: reader.readPrefixed())
        self.eventID = flags.isServerMade ? nil : reader.readPrefixed()
        self.sourceName = reader.readPrefixed()
        self.name = Int(reader.read(UInt16.self))
        self.label = reader.readPrefixed()
        self.tagCount = reader.readVarint()
        self.tags = reader
        var tagsLeft = self.tagCount
        while tagsLeft > 0, !reader.overrun {
            _ = reader.readPrefixed()
            tagsLeft -= 1
        }
        self.fieldCount = reader.readVarint()
        self.fields = reader
        var fieldsLeft = self.fieldCount
        while fieldsLeft > 0 {
            _ = reader.readVarint()
            guard PackedValue.skip(&reader, depth: 1) else { return nil }
            fieldsLeft -= 1
        }
        guard reader.isAtCleanEnd,
            kind != .profileID || self.identifier.bytes.count == ProfileID.binaryBytes
        else { return nil }
    }

    /// The number of the name of the event in a block, without a look at the rest.
    static func name(in block: UnsafeRawBufferPointer) -> Int? {
        var reader = ByteReader(block)
        _ = reader.read(count: 32)
        let flags = EventBlock.Flags(rawValue: reader.read())
        _ = reader.read(UInt8.self)
        _ = reader.readPrefixed()
        if !flags.isServerMade { _ = reader.readPrefixed() }
        _ = reader.readPrefixed()
        let name = Int(reader.read(UInt16.self))
        return reader.overrun ? nil : name
    }
}

/// Why records cannot be read.
package enum ChangeError: Error, Equatable {
    /// No record begins at this offset, in bytes.
    case malformed(offset: Int)
}

/// Reads records that stand one behind the other.
package struct ChangeReader {
    private let bytes: UnsafeRawBufferPointer
    /// Of the next record.
    package private(set) var offset = 0

    /// - Parameter bytes: Whole records; they must outlive the views.
    package init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    /// The next record; `nil` at the end.
    ///
    /// - Throws: `.malformed` if what is left does not begin with a record.
    package mutating func next() throws(ChangeError) -> ChangeView? {
        guard self.offset < self.bytes.count else { return nil }
        guard let view = ChangeView(UnsafeRawBufferPointer(rebasing: self.bytes[self.offset...]))
        else { throw .malformed(offset: self.offset) }
        self.offset += view.bytes.count
        return view
    }
}
