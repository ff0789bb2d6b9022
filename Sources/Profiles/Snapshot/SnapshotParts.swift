import Bytes

// The parts of a snapshot's items, each written and read side by side. A block of memory is
// written as it is; the file of its type gives the layout.
//
// SAFETY: a block has at least the bytes that its header or entry states, and `copyMemory` copies
// as many as were allocated. The applier writes, and the loader's thread reads into blocks of its
// own.

extension AppliedState {
    /// Layout:
    /// `lastReceivedAt, profileCount, oldestEvent: Int64 | sweep: isRunning: UInt8, shard, slot:
    /// UInt32, startedAt, lastTickAt, oldestBehind: Int64 | lastEraseLSN: UInt64 |
    /// ProjectOptions`. The merges are items of their own, and `lastEraseLSN` belongs to
    /// `ErasureStore`.
    func write(into buffer: inout ByteBuffer, lastEraseLSN: UInt64) {
        buffer.append(self.lastReceivedAt)
        buffer.append(Int64(self.profileCount))
        buffer.append(self.oldestEvent)
        buffer.append(self.sweep.isRunning ? UInt8(1) : 0)
        buffer.append(UInt32(self.sweep.shard))
        buffer.append(UInt32(self.sweep.slot))
        buffer.append(self.sweep.startedAt)
        buffer.append(self.sweep.lastTickAt)
        buffer.append(self.sweep.oldestBehind)
        buffer.append(lastEraseLSN)
        self.options.write(into: &buffer)
    }

    /// `nil`: options that this release does not know, or too few bytes.
    init?(from reader: inout ByteReader, lastEraseLSN: inout UInt64) {
        self.lastReceivedAt = reader.read()
        self.profileCount = Int(reader.read(Int64.self))
        self.oldestEvent = reader.read()
        self.sweep.isRunning = reader.read(UInt8.self) != 0
        self.sweep.shard = Int(reader.read(UInt32.self))
        self.sweep.slot = Int(reader.read(UInt32.self))
        self.sweep.startedAt = reader.read()
        self.sweep.lastTickAt = reader.read()
        self.sweep.oldestBehind = reader.read()
        lastEraseLSN = reader.read()
        guard let options = ProjectOptions(from: &reader) else { return nil }
        self.options = options
    }
}

extension ProfileHeader {
    /// Layout:
    /// `reference, project, mergedInto: UInt32 | id: 2 x UInt64 | revision, lsn: UInt64 |
    /// createdAt, updatedAt, lastSeenAt, eventsTruncatedBefore: Int64 | identityBytes,
    /// attributesBytes, consentBytes, ledgerBytes, counterCount, eventCount, zero: UInt32`.
    func write(_ profile: ProfileRef, into writer: inout RawWriter) {
        writer.write(profile.rawValue)
        writer.write(self.project.rawValue)
        writer.write(self.mergedInto)
        writer.write(self.id.high)
        writer.write(self.id.low)
        writer.write(self.revision)
        writer.write(self.lsn)
        writer.write(self.createdAt)
        writer.write(self.updatedAt)
        writer.write(self.lastSeenAt)
        writer.write(self.eventsTruncatedBefore)
        writer.write(self.identityBytes)
        writer.write(self.attributesBytes)
        writer.write(self.consentBytes)
        writer.write(self.ledgerBytes)
        writer.write(UInt32(self.counterCount))
        writer.write(self.eventCount)
        writer.write(UInt32(0))
    }

    /// Reads what `write` wrote; the blocks are the caller's to make.
    init(from reader: inout ByteReader, reference: inout UInt32) {
        reference = reader.read()
        let project = ProjectID(rawValue: reader.read())
        let mergedInto = reader.read(UInt32.self)
        let id = ProfileID(high: reader.read(), low: reader.read())
        let revision = reader.read(UInt64.self)
        self.init(
            id: id, project: project, lsn: reader.read(), receivedAt: 0, identity: 0,
            identityBytes: 0)
        self.mergedInto = mergedInto
        self.revision = revision
        self.createdAt = reader.read()
        self.updatedAt = reader.read()
        self.lastSeenAt = reader.read()
        self.eventsTruncatedBefore = reader.read()
        self.identityBytes = reader.read()
        self.attributesBytes = reader.read()
        self.consentBytes = reader.read()
        self.ledgerBytes = reader.read()
        self.counterCount = UInt16(truncatingIfNeeded: reader.read(UInt32.self))
        self.eventCount = reader.read()
        _ = reader.read(UInt32.self)
    }
}

extension MergeEntry {
    /// Layout:
    /// `loser, survivor: UInt32 | receivedAt: Int64 µs | lsn: UInt64 |
    /// eventCount, attributesBytes, consentBytes: UInt32 | lsns of the events: UInt64 each |
    /// the survivor's attributes | its consent`.
    func write(into buffer: inout ByteBuffer, slab: Slab) {
        buffer.append(self.loser.rawValue)
        buffer.append(self.survivor.rawValue)
        buffer.append(self.receivedAt)
        buffer.append(self.lsn)
        buffer.append(self.eventCount)
        buffer.append(self.survivorAttributes.bytes)
        buffer.append(self.survivorConsent.bytes)
        slab.append(self.events, Int(self.eventCount) * MemoryLayout<UInt64>.stride, to: &buffer)
        slab.append(self.survivorAttributes.block, Int(self.survivorAttributes.bytes), to: &buffer)
        slab.append(self.survivorConsent.block, Int(self.survivorConsent.bytes), to: &buffer)
    }

    /// Reads what `write` wrote into blocks of their own; `nil` if it is no merge.
    init?(from reader: inout ByteReader, slab: Slab) {
        let (loser, survivor) = (reader.read(UInt32.self), reader.read(UInt32.self))
        let receivedAt = reader.read(Int64.self)
        let lsn = reader.read(UInt64.self)
        guard loser != 0, survivor != 0, !reader.overrun else { return nil }
        self.init(
            loser: ProfileRef(rawValue: loser), survivor: ProfileRef(rawValue: survivor),
            call: CallContext(
                firstLSN: lsn, lsn: lsn, receivedAt: receivedAt, rules: .current))
        self.eventCount = reader.read()
        let (attributesBytes, consentBytes) = (reader.read(UInt32.self), reader.read(UInt32.self))
        self.events = slab.allocate(
            copying: reader.read(count: Int(self.eventCount) * MemoryLayout<UInt64>.stride))
        self.survivorAttributes = (
            slab.allocate(copying: reader.read(count: Int(attributesBytes))), attributesBytes
        )
        self.survivorConsent = (
            slab.allocate(copying: reader.read(count: Int(consentBytes))), consentBytes
        )
    }
}

extension BlockList.Block {
    /// Layout: `low, high: UInt64 | erasedAt: Int64 µs`.
    func write(into buffer: inout ByteBuffer) {
        buffer.append(self.identifier.low)
        buffer.append(self.identifier.high)
        buffer.append(self.erasedAt)
    }

    init(from reader: inout ByteReader) {
        self.identifier = IdentifierHash(low: reader.read(), high: reader.read())
        self.erasedAt = reader.read()
    }
}

extension Slab {
    /// Appends a block's content; 0 for none.
    func append(_ block: Handle, _ bytes: Int, to buffer: inout ByteBuffer) {
        guard block != 0, bytes > 0 else { return }
        buffer.append(UnsafeRawBufferPointer(start: self.pointer(block), count: bytes))
    }

    /// A new block with a copy of `bytes`; 0 for none.
    func allocate(copying bytes: UnsafeRawBufferPointer) -> Handle {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return 0 }
        let block = self.allocate(bytes.count)
        self.pointer(block).copyMemory(from: source, byteCount: bytes.count)
        return block
    }
}
