import Bytes

// The parts of a snapshot's items, each written and read side by side. A block of memory is
// written as it is; the file of its type gives the layout.
//
// SAFETY: a block has at least the bytes that its header or entry states, and `copyMemory` copies
// as many as were allocated. The applier writes, and the loader's thread reads into blocks of its
// own.

extension AppliedState {
    /// Layout:
    /// `lastReceivedAt, profileCount: Int64 | sweep: isRunning: UInt8, shard, slot: UInt32,
    /// startedAt, lastTickAt: Int64 | purge: phase: UInt8, shard, slot: UInt32 | lastEraseLSN:
    /// UInt64 | nextProject: UInt32`. `lastEraseLSN` belongs to `ErasureStore`, `nextProject` to
    /// `ProjectTable`.
    func write(into buffer: inout ByteBuffer, lastEraseLSN: UInt64, nextProject: UInt32) {
        buffer.append(self.lastReceivedAt)
        buffer.append(Int64(self.profileCount))
        buffer.append(self.sweep.isRunning ? UInt8(1) : 0)
        buffer.append(UInt32(self.sweep.shard))
        buffer.append(UInt32(self.sweep.slot))
        buffer.append(self.sweep.startedAt)
        buffer.append(self.sweep.lastTickAt)
        buffer.append(self.purge.phase.rawValue)
        buffer.append(UInt32(self.purge.shard))
        buffer.append(UInt32(self.purge.slot))
        buffer.append(lastEraseLSN)
        buffer.append(nextProject)
    }

    /// Replaces what `write` wrote; false if it is not that.
    mutating func read(
        from reader: inout ByteReader, lastEraseLSN: inout UInt64, nextProject: inout UInt32
    ) -> Bool {
        self.lastReceivedAt = reader.read()
        self.profileCount = Int(reader.read(Int64.self))
        self.sweep.isRunning = reader.read(UInt8.self) != 0
        self.sweep.shard = Int(reader.read(UInt32.self))
        self.sweep.slot = Int(reader.read(UInt32.self))
        self.sweep.startedAt = reader.read()
        self.sweep.lastTickAt = reader.read()
        guard let phase = ProjectPurge.Phase(rawValue: reader.read()) else { return false }
        self.purge.phase = phase
        self.purge.shard = Int(reader.read(UInt32.self))
        self.purge.slot = Int(reader.read(UInt32.self))
        lastEraseLSN = reader.read()
        nextProject = reader.read()
        return !reader.overrun && nextProject > 0 && self.purge.shard <= Shards.count
            && self.isStored
    }

    /// Whether its times are times, and no more profiles are counted than have references.
    private var isStored: Bool {
        0 ... Int(UInt32.max) ~= self.profileCount
            && [self.lastReceivedAt, self.sweep.startedAt, self.sweep.lastTickAt].allSatisfy {
                SnapshotFormat.times.contains($0)
            }
    }

    /// As `read`, of version 1, where the one project stands in between:
    /// `lastReceivedAt, profileCount, oldestEvent: Int64 | sweep: isRunning: UInt8, shard, slot:
    /// UInt32, startedAt, lastTickAt, oldestBehind: Int64 | lastEraseLSN: UInt64 |
    /// ProjectOptions`.
    mutating func readVersion1(
        from reader: inout ByteReader, lastEraseLSN: inout UInt64, _ counts: inout ProjectCounts
    ) -> ProjectOptions? {
        self.lastReceivedAt = reader.read()
        self.profileCount = Int(reader.read(Int64.self))
        counts.oldestEvent = reader.read()
        self.sweep.isRunning = reader.read(UInt8.self) != 0
        self.sweep.shard = Int(reader.read(UInt32.self))
        self.sweep.slot = Int(reader.read(UInt32.self))
        self.sweep.startedAt = reader.read()
        self.sweep.lastTickAt = reader.read()
        counts.oldestBehind = reader.read()
        lastEraseLSN = reader.read()
        return self.isStored ? ProjectOptions(from: &reader) : nil
    }
}

extension Project {
    private static let isPurgingFlag: UInt8 = 1

    /// Layout:
    /// `id: UInt32 | flags: UInt8 (1 is being purged) | name: prefixed | ProjectOptions |
    /// createdAt, deleteDue, purgedAt: Int64 µs | revision: UInt64 | oldestEvent, oldestBehind:
    /// Int64 µs | names: UInt32 | names: prefixed each`.
    func write(into buffer: inout ByteBuffer) {
        self.writeHead(into: &buffer)
        buffer.append(UInt32(self.names.count))
        for number in 0 ..< self.names.count { buffer.appendPrefixed(self.names.name(number)) }
    }

    /// Everything but the names.
    func writeHead(into buffer: inout ByteBuffer) {
        let details = self.record.pointee.details
        buffer.append(self.id.rawValue)
        buffer.append(self.record.pointee.isPurging ? Self.isPurgingFlag : 0)
        buffer.appendPrefixed(UnsafeRawBufferPointer(self.record.pointee.name))
        details.options.write(into: &buffer)
        buffer.append(details.createdAt)
        buffer.append(details.deleteDue)
        buffer.append(details.purgedAt)
        buffer.append(details.revision)
        buffer.append(self.counts.oldestEvent)
        buffer.append(self.counts.oldestBehind)
    }

    /// Makes the project of an item, behind those of smaller numbers; `nil` if it is not one.
    static func load(
        _ body: UnsafeRawBufferPointer, into projects: ProjectTable, limits: StoreLimits
    ) -> Project? {
        var reader = ByteReader(body)
        let id = ProjectID(rawValue: reader.read())
        let flags = reader.read(UInt8.self)
        let name = reader.readPrefixed()
        var details = ProjectDetails()
        guard let options = ProjectOptions(from: &reader), limits.allow(options) else { return nil }
        details.options = options
        details.createdAt = reader.read()
        details.deleteDue = reader.read()
        details.purgedAt = reader.read()
        details.revision = reader.read()
        var counts = ProjectCounts()
        counts.oldestEvent = reader.read()
        counts.oldestBehind = reader.read()
        guard !reader.overrun, flags & ~Self.isPurgingFlag == 0, id.rawValue > 0,
            id.rawValue > projects.all.last?.id.rawValue ?? 0,
            details.isStored, counts.hasStoredTimes,
            id.rawValue < ProjectTable.idsMax, CreateProjectCommand.isName(name),
            projects.find(name) == nil
        else { return nil }
        let project = projects.insert(name, details, id: id)
        project.record.pointee.isPurging = flags & Self.isPurgingFlag != 0
        project.counts = counts
        let nameCount = Int(reader.read(UInt32.self))
        return project.loadNames(nameCount, from: &reader) ? project : nil
    }

    /// Reads that many names, up to the end.
    func loadNames(_ count: Int, from reader: inout ByteReader) -> Bool {
        guard count <= NameTable.namesMax else { return false }
        for _ in 0 ..< count {
            let name = reader.readPrefixed()
            guard 1 ... NameTable.nameBytesMax ~= name.count, self.names.find(name) == nil else {
                return false
            }
            _ = self.names.add(name)
        }
        return reader.isAtCleanEnd
    }
}

extension ProjectDetails {
    /// Whether its revision is one, each time is one, and nothing is gone of what is not being
    /// deleted.
    fileprivate var isStored: Bool {
        SnapshotFormat.counts.contains(self.revision)
            && [self.createdAt, self.deleteDue, self.purgedAt].allSatisfy {
                SnapshotFormat.times.contains($0)
            } && (self.purgedAt == 0 || self.deleteDue != 0)
    }
}

extension ProjectCounts {
    /// Whether both bounds are times, or say that there is no event.
    var hasStoredTimes: Bool {
        [self.oldestEvent, self.oldestBehind].allSatisfy {
            $0 == .max || SnapshotFormat.times.contains($0)
        }
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

    /// Whether its revision is one, and each time is one.
    var isStored: Bool {
        SnapshotFormat.counts.contains(self.revision)
            && [self.createdAt, self.updatedAt, self.lastSeenAt].allSatisfy {
                SnapshotFormat.times.contains($0)
            } && 0 ... SnapshotFormat.times.upperBound + 1 ~= self.eventsTruncatedBefore
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
