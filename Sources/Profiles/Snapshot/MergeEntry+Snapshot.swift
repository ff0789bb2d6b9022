import Bytes

// A merge in a snapshot. What un-merge needs came later than merges did: an entry of rules before
// version 3 ends where it always ended.
//
// SAFETY: a block has at least the bytes that the entry states; the loader reads into blocks of its
// own.

extension MergeEntry {
    /// Layout:
    /// `loser, survivor: UInt32 | receivedAt: Int64 µs | lsn: UInt64 |
    /// eventCount, attributesBytes, consentBytes: UInt32 | lsns of the events: UInt64 each |
    /// the survivor's attributes | its consent`, then, if it can be undone, `flags, platform: UInt8
    /// | platformNumber: UInt16 | counterCount, leftBytes, droppedCount, survivorEventCount: UInt32
    /// | createdAt, lastSeenAt, eventsTruncatedBefore, seenAfter: Int64 µs | counters
    /// | LeftIdentity | dropped counters`.
    func write(into buffer: inout ByteBuffer, slab: Slab) {
        buffer.append(self.loser.rawValue)
        buffer.append(self.survivor.rawValue)
        buffer.append(self.receivedAt)
        buffer.append(self.lsn)
        buffer.append(self.eventCount)
        buffer.append(self.survivorAttributesBytes)
        buffer.append(self.survivorConsentBytes)
        slab.append(self.events, self.eventsBytes, to: &buffer)
        slab.append(self.survivorAttributes, Int(self.survivorAttributesBytes), to: &buffer)
        slab.append(self.survivorConsent, Int(self.survivorConsentBytes), to: &buffer)
        self.writeUndo(into: &buffer, slab: slab)
    }

    /// The part of an entry that can be undone; nothing of any other.
    func writeUndo(into buffer: inout ByteBuffer, slab: Slab) {
        guard self.isUndoable else { return }
        buffer.append(self.flags.rawValue)
        buffer.append(self.platform)
        buffer.append(self.platformNumber)
        buffer.append(self.counterCount)
        buffer.append(self.leftBytes)
        buffer.append(self.droppedCount)
        buffer.append(self.survivorEventCount)
        buffer.append(self.createdAt)
        buffer.append(self.lastSeenAt)
        buffer.append(self.eventsTruncatedBefore)
        buffer.append(self.seenAfter)
        slab.append(self.counters, self.countersBytes, to: &buffer)
        slab.append(self.left, Int(self.leftBytes), to: &buffer)
        slab.append(self.dropped, self.droppedBytes, to: &buffer)
    }

    /// Reads what `write` wrote into blocks of their own, to the end; `nil` if it is no merge.
    init?(from reader: inout ByteReader, slab: Slab) {
        let (loser, survivor) = (reader.read(UInt32.self), reader.read(UInt32.self))
        let receivedAt = reader.read(Int64.self)
        let lsn = reader.read(UInt64.self)
        guard loser != 0, survivor != 0, loser != survivor, !reader.overrun,
            SnapshotFormat.times.contains(receivedAt)
        else { return nil }
        self.init(
            loser: ProfileRef(rawValue: loser), survivor: ProfileRef(rawValue: survivor),
            receivedAt: receivedAt, lsn: lsn)
        self.eventCount = reader.read()
        (self.survivorAttributesBytes, self.survivorConsentBytes) = (reader.read(), reader.read())
        self.events = slab.allocate(copying: reader.read(count: self.eventsBytes))
        self.survivorAttributes = slab.allocate(
            copying: reader.read(count: Int(self.survivorAttributesBytes)))
        self.survivorConsent = slab.allocate(
            copying: reader.read(count: Int(self.survivorConsentBytes)))
        guard !reader.overrun else { return nil }
        if reader.remaining > 0, !self.readUndo(from: &reader, slab: slab) { return nil }
        guard reader.isAtCleanEnd else { return nil }
    }

    private mutating func readUndo(from reader: inout ByteReader, slab: Slab) -> Bool {
        self.flags = Flags(rawValue: reader.read())
        (self.platform, self.platformNumber) = (reader.read(), reader.read())
        self.counterCount = reader.read()
        self.leftBytes = reader.read()
        self.droppedCount = reader.read()
        self.survivorEventCount = reader.read()
        self.createdAt = reader.read()
        self.lastSeenAt = reader.read()
        self.eventsTruncatedBefore = reader.read()
        self.seenAfter = reader.read()
        guard !reader.overrun, self.isUndoable, Flags.all.isSuperset(of: self.flags),
            self.platform == 0 || Platform.ofDevices.contains(self.platform),
            (self.platform == 0) == (self.platformNumber == 0)
        else { return false }
        self.counters = slab.allocate(copying: reader.read(count: self.countersBytes))
        self.left = slab.allocate(copying: reader.read(count: Int(self.leftBytes)))
        self.dropped = slab.allocate(copying: reader.read(count: self.droppedBytes))
        return !reader.overrun
    }
}

extension Store {
    /// Whether a profile that a snapshot names is one of those that it has.
    func isPlace(_ profile: UInt32) -> Bool {
        // 0 is nobody.
        guard profile != 0 else { return false }
        let profile = ProfileRef(rawValue: profile)
        return profile.slot < self.pool.count(profile.shard)
    }

    /// Whether a merge of a snapshot is about profiles of its project, the one merged into the
    /// other, and what it keeps of them is there if it can be undone.
    func isWhole(_ merge: MergeEntry, of project: Project) -> Bool {
        for profile in [merge.loser, merge.survivor] {
            guard self.isPlace(profile.rawValue),
                self.pool.header(profile).pointee.project == project.id
            else { return false }
        }
        let attributes = self.bytes(merge.survivorAttributes, merge.survivorAttributesBytes)
        let left = self.bytes(merge.left, merge.leftBytes)
        guard attributes.isEmpty || AttributePart.isWhole(attributes),
            left.isEmpty || LeftIdentity.isWhole(left, self.isPlace)
        else { return false }
        let loser = self.pool.header(merge.loser).pointee
        return loser.mergedInto == merge.survivor.rawValue
            && (loser.identity != 0 || !merge.isUndoable)
    }

    private func bytes(_ block: Handle, _ count: UInt32) -> UnsafeRawBufferPointer {
        block == 0
            ? .none : UnsafeRawBufferPointer(start: self.slab.pointer(block), count: Int(count))
    }
}
