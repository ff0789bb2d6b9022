import Bytes

/// A retained event: one immutable block of the slab.
///
/// Layout:
/// `effectiveTime: Int64 µs | lsn: UInt64 | receivedAt: Int64 µs | holder: UInt32 | totalBytes:
/// UInt32 | flags: UInt8 | platform: UInt8 | identifier, as sent: prefixed | [eventID: prefixed] |
/// sourceName: prefixed | content to the
/// end`, which is as `EventContent` lays it out. An id that the server made is not kept but derived
/// again.
struct EventBlock {
    /// Two bits of identifier kind, then these.
    struct Flags {
        private static let kindMask: UInt8 = 0b11
        private static let historical: UInt8 = 1 << 2
        private static let serverMade: UInt8 = 1 << 3

        let rawValue: UInt8

        @inline(__always)
        init(rawValue: UInt8) { self.rawValue = rawValue }

        @inline(__always)
        init(_ kind: IdentifierKind, isHistorical: Bool, isServerMade: Bool) {
            self.rawValue =
                kind.rawValue | (isHistorical ? Self.historical : 0)
                | (isServerMade ? Self.serverMade : 0)
        }

        /// `nil`: not an event's.
        @inline(__always)
        var identifierKind: IdentifierKind? {
            IdentifierKind(rawValue: self.rawValue & Self.kindMask)
        }
        @inline(__always)
        var isHistorical: Bool { self.rawValue & Self.historical != 0 }
        /// The id is not kept.
        @inline(__always)
        var isServerMade: Bool { self.rawValue & Self.serverMade != 0 }
    }

    private static let fixedBytes = 8 + 8 + 8 + 4 + 4 + 1 + 1
    private static let holderOffset = 8 + 8 + 8
    /// No block has fewer bytes.
    static let bytesMin = Self.fixedBytes

    // SAFETY: written whole by `write` before its handle is published; only `holder`, which the
    // applier alone reads, changes after.
    private let base: UnsafeMutableRawPointer

    init(_ base: UnsafeMutableRawPointer) {
        self.base = base
    }

    var effectiveTime: Int64 { self.base.load(as: Int64.self) }
    var lsn: UInt64 { self.base.load(fromByteOffset: 8, as: UInt64.self) }
    var receivedAt: Int64 { self.base.load(fromByteOffset: 16, as: Int64.self) }
    var holder: ProfileRef {
        ProfileRef(rawValue: self.base.load(fromByteOffset: 24, as: UInt32.self))
    }
    var totalBytes: Int { Int(self.base.load(fromByteOffset: 28, as: UInt32.self)) }

    /// Makes another profile its holder.
    func move(to holder: ProfileRef) {
        self.base.storeBytes(of: holder.rawValue, toByteOffset: 24, as: UInt32.self)
    }

    /// The block as it lies in memory.
    var wholeBytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: self.base, count: self.totalBytes)
    }

    /// All of it but `holder`, which is a matter of memory: for the digest.
    var bytesAfterHolder: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: self.base + 28, count: self.totalBytes - 28)
    }

    /// Appends a copy without `holder`, which is the applier's, and with zeros up to a multiple of
    /// 8.
    func appendCopy(to buffer: inout ByteBuffer) {
        buffer.append(UnsafeRawBufferPointer(start: self.base, count: 24))
        buffer.append(UInt32(0))
        buffer.append(self.bytesAfterHolder)
        buffer.pad(to: 8)
    }

    /// Appends a copy without `holder`, for a change record.
    func appendWithEmptyHolder(to buffer: inout ByteBuffer) {
        // SAFETY: the buffer gives as many bytes as the block has.
        guard let target = buffer.appendUninitialized(self.totalBytes).baseAddress else { return }
        self.copyWithoutHolder(to: target)
    }

    /// Copies the block, with 0 for `holder`, to memory that has its bytes.
    @inline(__always)
    func copyWithoutHolder(to target: UnsafeMutableRawPointer) {
        target.copyMemory(from: self.base, byteCount: self.totalBytes)
        target.storeBytes(of: 0, toByteOffset: Self.holderOffset, as: UInt32.self)
    }

    /// Appends a copy without `holder`, for a snapshot: the holder is the profile that lists it.
    func appendWithoutHolder(to buffer: inout ByteBuffer) {
        buffer.append(
            UnsafeRawBufferPointer(start: self.base, count: SnapshotFormat.eventBytesBeforeHolder))
        buffer.append(self.bytesAfterHolder)
    }

    /// A new block of what `appendWithoutHolder` wrote; `nil` if it is malformed.
    static func load(from reader: inout ByteReader, holder: ProfileRef, slab: Slab) -> Handle? {
        let before = reader.read(count: SnapshotFormat.eventBytesBeforeHolder)
        var ahead = reader
        let totalBytes = Int(ahead.read(UInt32.self))
        let after = reader.read(
            count: totalBytes - SnapshotFormat.eventBytesBeforeHolder - SnapshotFormat.holderBytes)
        guard totalBytes >= Self.fixedBytes, !reader.overrun, let first = before.baseAddress,
            let rest = after.baseAddress
        else { return nil }
        let block = slab.allocate(totalBytes)
        let target = slab.pointer(block)
        target.copyMemory(from: first, byteCount: before.count)
        target.storeBytes(of: holder.rawValue, toByteOffset: before.count, as: UInt32.self)
        (target + before.count + SnapshotFormat.holderBytes).copyMemory(
            from: rest, byteCount: after.count)
        return EventBlock(target).isWhole ? block : nil
    }

    /// Whether the block has the times and parts that its readers rely on.
    ///
    /// - Complexity: O(bytes); a start asks for every event.
    var isWhole: Bool {
        SnapshotFormat.times.contains(self.effectiveTime)
            && SnapshotFormat.times.contains(self.receivedAt)
            && ChangedEvent(self.wholeBytes) != nil
    }

    /// The parts of variable length, borrowed.
    struct Parts {
        var identifier: IdentifierView
        /// `nil`: made by the server, to be derived from `receivedAt` and `lsn`.
        var eventID: UnsafeRawBufferPointer?
        var isHistorical: Bool
        var platform: UInt8
        var sourceName: UnsafeRawBufferPointer
        var content: UnsafeRawBufferPointer
    }

    var parts: Parts {
        let flags = Flags(rawValue: self.base.load(fromByteOffset: 32, as: UInt8.self))
        var reader = ByteReader(UnsafeRawBufferPointer(start: self.base, count: self.totalBytes))
        reader.offset = Self.fixedBytes
        let identifier = IdentifierView(
            kind: flags.identifierKind ?? .profileID, bytes: reader.readPrefixed())
        let eventID = flags.isServerMade ? nil : reader.readPrefixed()
        let source = reader.readPrefixed()
        return Parts(
            identifier: identifier, eventID: eventID,
            isHistorical: flags.isHistorical,
            platform: self.base.load(fromByteOffset: 33, as: UInt8.self), sourceName: source,
            content: reader.read(count: reader.remaining))
    }

    /// What a block is made of.
    struct Source {
        var effectiveTime: Int64
        var lsn: UInt64
        var receivedAt: Int64
        var holder: ProfileRef
        var header: TrackHeader
        /// `nil`: made by the server.
        var eventID: UnsafeRawBufferPointer?
        var content: UnsafeRawBufferPointer

        var totalBytes: Int {
            EventBlock.fixedBytes + RawWriter.prefixedBytes(self.header.identifier.bytes.count)
                + (self.eventID.map { RawWriter.prefixedBytes($0.count) } ?? 0)
                + RawWriter.prefixedBytes(self.header.sourceName.count) + self.content.count
        }
    }

    static func write(_ source: Source, to target: UnsafeMutableRawPointer) {
        var writer = RawWriter(target)
        writer.write(source.effectiveTime)
        writer.write(source.lsn)
        writer.write(source.receivedAt)
        writer.write(source.holder.rawValue)
        writer.write(UInt32(source.totalBytes))
        writer.write(
            Flags(
                source.header.identifier.kind,
                isHistorical: source.header.flags.contains(.historical),
                isServerMade: source.eventID == nil
            ).rawValue)
        writer.write(source.header.platform)
        writer.writePrefixed(source.header.identifier.bytes)
        if let eventID = source.eventID { writer.writePrefixed(eventID) }
        writer.writePrefixed(source.header.sourceName)
        writer.write(source.content)
    }
}
