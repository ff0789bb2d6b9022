import Bytes

/// A profile's attributes in memory: one block, replaced whole.
///
/// Layout: `stampCount: UInt16 | entryCount: UInt16 | sourcesBytes: UInt32`, then the stamps, 28
/// bytes each, `time: Int64 µs | lsn: UInt64 | origin: UInt64 | source << 8 | platform: UInt32`
/// (source 0: none, else its place among the sources, plus 1), then the sources, `sourcesBytes` of
/// prefixed texts, then the entries in name order, `name: UInt16 | kind: UInt8` and
/// - value: `stamp: varint | packed value`;
/// - list:
///   `base: varint (0: never set whole, else stamp + 1) | count: varint | (stamp: varint, text:
///   prefixed) each`, then the removed elements likewise;
/// - deleted: `base: varint`, then the removed elements.
/// All values of one write share a stamp: about one byte per attribute.
struct AttributePart {
    static let fixedBytes = 2 + 2 + 4
    static let stampBytes = 8 + 8 + 8 + 4
    /// Longest source name with its prefix, in bytes: 100 scalars.
    private static let sourceBytesMax = 402

    /// What an entry is.
    enum Kind: UInt8 {
        case value = 0
        case list = 1
        case deleted = 2
    }

    // SAFETY: the bytes hold what their own counts say: they were written by
    // `AttributeDraft.write`, or read from a snapshot and found whole.
    private let base: UnsafeRawPointer

    init(_ base: UnsafeRawPointer) {
        self.base = base
    }

    var stampCount: Int { Int(self.base.loadUnaligned(as: UInt16.self)) }
    var entryCount: Int { Int(self.base.loadUnaligned(fromByteOffset: 2, as: UInt16.self)) }
    private var sourcesBytes: Int {
        Int(self.base.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    }
    private var sourcesOffset: Int { Self.fixedBytes + self.stampCount * Self.stampBytes }

    /// Bytes beyond three times its own that its image may take: names, times and sources are spelt
    /// out.
    var imageBytesMax: Int { self.entryCount * (64 + min(self.sourcesBytes, Self.sourceBytesMax)) }

    func stamp(_ index: Int) -> AttributeStamp {
        let offset = Self.fixedBytes + index * Self.stampBytes
        let word = self.base.loadUnaligned(fromByteOffset: offset + 24, as: UInt32.self)
        let source = Int(word >> 8)
        var name = UnsafeRawBufferPointer.none
        if source > 0 {
            var reader = ByteReader(
                UnsafeRawBufferPointer(
                    start: self.base + self.sourcesOffset + source - 1,
                    count: self.sourcesBytes - source + 1))
            name = reader.readPrefixed()
        }
        return AttributeStamp(
            time: self.base.loadUnaligned(fromByteOffset: offset, as: Int64.self),
            lsn: self.base.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self),
            origin: self.base.loadUnaligned(fromByteOffset: offset + 16, as: UInt64.self),
            platform: UInt8(truncatingIfNeeded: word), sourceName: name)
    }

    /// Whether bytes are a part whose counts are those of what it has.
    static func isWhole(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var reader = ByteReader(bytes)
        let (stamps, entries) = (UInt64(reader.read(UInt16.self)), reader.read(UInt16.self))
        let sourcesBytes = reader.read(UInt32.self)
        for _ in 0 ..< stamps {
            _ = reader.read(count: Self.stampBytes - 4)
            guard reader.read(UInt32.self) >> 8 <= sourcesBytes, !reader.overrun else {
                return false
            }
        }
        _ = reader.read(count: Int(sourcesBytes))
        guard !reader.overrun, let base = bytes.baseAddress else { return false }
        for index in 0 ..< Int(stamps) {
            let name = Self(base).stamp(index).sourceName
            guard RawWriter.prefixedBytes(name.count) <= Self.sourceBytesMax else { return false }
        }
        for _ in 0 ..< entries {
            // A start does this for every profile.
            if let entry = Self(base).shortEntryBytes(at: reader.offset, totalBytes: bytes.count),
                bytes[reader.offset + 3] < stamps
            {
                reader.offset += entry
                continue
            }
            _ = reader.read(UInt16.self)
            guard let kind = Kind(rawValue: reader.read()),
                // 0 is no stamp but in a value, which has one.
                reader.readVarint() <= (kind == .value ? stamps &- 1 : stamps)
            else { return false }
            if kind == .value {
                guard stamps > 0, PackedValue.skip(&reader, depth: 1) else { return false }
                continue
            }
            for _ in 0 ..< (kind == .list ? 2 : 1) {
                for _ in 0 ..< reader.readVarint() {
                    guard reader.readVarint() < stamps, !reader.overrun else { return false }
                    _ = reader.readPrefixed()
                }
            }
        }
        return reader.isAtCleanEnd
    }

    /// A reader at the first entry; `totalBytes` bounds it.
    func entries(totalBytes: Int) -> ByteReader {
        var reader = ByteReader(UnsafeRawBufferPointer(start: self.base, count: totalBytes))
        reader.offset = self.sourcesOffset + self.sourcesBytes
        return reader
    }

    /// A reader at the kind of the entry of an attribute; `nil`: there is none.
    ///
    /// - Complexity: O(entries). Scans call it for every profile: some 15 instructions an entry.
    func entry(_ wanted: Int, totalBytes: Int) -> ByteReader? {
        var reader = self.entries(totalBytes: totalBytes)
        for _ in 0 ..< self.entryCount {
            let head = reader.offset
            if Int(reader.read(UInt16.self)) == wanted { return reader.overrun ? nil : reader }
            if let bytes = self.shortEntryBytes(at: head, totalBytes: totalBytes) {
                reader.offset = head + bytes
            } else {
                Self.skipEntry(&reader)
            }
        }
        return nil
    }

    /// The bytes of an entry that is a scalar with a short stamp and a short length; `nil` for any
    /// other, and for one that is too near to the end to be looked at in one step.
    @inline(__always)
    private func shortEntryBytes(at offset: Int, totalBytes: Int) -> Int? {
        // Number, kind, stamp and tag, and the eight bytes of a value.
        let fixed = 2 + 1 + 1 + 1
        guard offset + fixed + 8 <= totalBytes else { return nil }
        // Kind 0, a value, and no second byte of the stamp.
        guard self.base.loadUnaligned(fromByteOffset: offset, as: UInt32.self) & 0x80FF_0000 == 0
        else { return nil }
        let tag = self.base.load(fromByteOffset: offset + 4, as: UInt8.self)
        let value = self.base.loadUnaligned(fromByteOffset: offset + fixed, as: UInt64.self)
        switch PackedTag(rawValue: tag) {
        case .integer:
            let ends = ~value & 0x8080_8080_8080_8080
            return ends == 0 ? nil : fixed + ends.trailingZeroBitCount / 8 + 1
        case .string, .url: return value & 0x80 == 0 ? fixed + 1 + Int(value & 0x7F) : nil
        case .number, .time: return fixed + 8
        case .no, .yes: return fixed
        case .list, .object, .objects, nil: return nil
        }
    }

    /// Passes what follows the number of an entry; returns its kind.
    @discardableResult
    private static func skipEntry(_ reader: inout ByteReader) -> Kind? {
        let kind = Kind(rawValue: reader.read())
        guard kind == .value else {
            self.skipElements(&reader, kind)
            return kind
        }
        _ = reader.readVarint()
        _ = PackedValue.skip(&reader, depth: 1)
        return kind
    }

    /// Every packed value that is no list.
    func forEachValue(
        totalBytes: Int, _ body: (_ name: Int, _ value: UnsafeRawBufferPointer) -> Void
    ) {
        var reader = self.entries(totalBytes: totalBytes)
        for _ in 0 ..< self.entryCount {
            let number = Int(reader.read(UInt16.self))
            let kind = Kind(rawValue: reader.read())
            guard kind == .value else {
                Self.skipElements(&reader, kind)
                continue
            }
            body(number, self.packedValue(&reader))
        }
    }

    /// The number of each attribute that a reader sees, in name order.
    func forEachName(totalBytes: Int, _ body: (_ name: Int) -> Void) {
        var reader = self.entries(totalBytes: totalBytes)
        for _ in 0 ..< self.entryCount {
            let number = Int(reader.read(UInt16.self))
            if Self.skipEntry(&reader) != .deleted { body(number) }
        }
    }

    /// The packed value of one attribute; `nil` if it has none or is a list.
    func value(_ name: Int, totalBytes: Int) -> UnsafeRawBufferPointer? {
        guard var reader = self.entry(name, totalBytes: totalBytes),
            Kind(rawValue: reader.read()) == .value
        else { return nil }
        return self.packedValue(&reader)
    }

    /// Takes what follows the kind of a value.
    private func packedValue(_ reader: inout ByteReader) -> UnsafeRawBufferPointer {
        _ = reader.readVarint()
        let start = reader.offset
        _ = PackedValue.skip(&reader, depth: 1)
        return UnsafeRawBufferPointer(start: self.base + start, count: reader.offset - start)
    }

    static func skipElements(_ reader: inout ByteReader, _ kind: Kind?) {
        _ = reader.readVarint()
        for _ in 0 ..< (kind == .list ? 2 : 1) {
            for _ in 0 ..< reader.readVarint() {
                _ = reader.readVarint()
                _ = reader.readPrefixed()
            }
        }
    }

    /// Appends the attributes as `ProfileImage` lays them out; `target` must not move, as this part
    /// may be in it.
    func appendImage(_ names: NameTable, totalBytes: Int, to target: inout ByteBuffer) {
        var shown: UInt64 = 0
        var reader = self.entries(totalBytes: totalBytes)
        for _ in 0 ..< self.entryCount {
            _ = reader.read(UInt16.self)
            if Self.skipEntry(&reader) != .deleted { shown += 1 }
        }
        target.appendVarint(shown)
        reader = self.entries(totalBytes: totalBytes)
        for _ in 0 ..< self.entryCount {
            let name = Int(reader.read(UInt16.self))
            switch Kind(rawValue: reader.read()) {
            case .value:
                let stamp = self.stamp(Int(reader.readVarint()))
                let start = reader.offset
                _ = PackedValue.skip(&reader, depth: 1)
                target.appendPrefixed(names.name(name))
                target.append(
                    UnsafeRawBufferPointer(start: self.base + start, count: reader.offset - start))
                Self.append(stamp, to: &target)
            case .list: self.appendList(&reader, names.name(name), to: &target)
            case .deleted, nil: Self.skipElements(&reader, .deleted)
            }
        }
    }

    /// Appends the attributes that a reader sees, in name order, as a change record has them: each
    /// `name: UInt16 | packed value`.
    func appendNumbered(totalBytes: Int, to target: inout ByteBuffer) {
        var reader = self.entries(totalBytes: totalBytes)
        for _ in 0 ..< self.entryCount {
            let name = reader.read(UInt16.self)
            switch Kind(rawValue: reader.read()) {
            case .value:
                target.append(name)
                target.append(self.packedValue(&reader))
            case .list:
                _ = reader.readVarint()
                let count = reader.readVarint()
                target.append(name)
                target.append(PackedTag.list.rawValue)
                target.appendVarint(count)
                for _ in 0 ..< count {
                    _ = reader.readVarint()
                    target.appendPrefixed(reader.readPrefixed())
                }
                for _ in 0 ..< reader.readVarint() {
                    _ = reader.readVarint()
                    _ = reader.readPrefixed()
                }
            case .deleted, nil: Self.skipElements(&reader, .deleted)
            }
        }
    }

    private func appendList(
        _ reader: inout ByteReader, _ name: UnsafeRawBufferPointer, to target: inout ByteBuffer
    ) {
        let base = Int(reader.readVarint())
        var newest = base == 0 ? AttributeStamp.never : self.stamp(base - 1)
        let count = reader.readVarint()
        target.appendPrefixed(name)
        target.append(PackedTag.list.rawValue)
        target.appendVarint(count)
        for _ in 0 ..< count {
            let stamp = self.stamp(Int(reader.readVarint()))
            if stamp.isNewer(than: newest) { newest = stamp }
            target.appendPrefixed(reader.readPrefixed())
        }
        for _ in 0 ..< reader.readVarint() {
            let stamp = self.stamp(Int(reader.readVarint()))
            if stamp.isNewer(than: newest) { newest = stamp }
            _ = reader.readPrefixed()
        }
        Self.append(newest, to: &target)
    }

    private static func append(_ stamp: AttributeStamp, to target: inout ByteBuffer) {
        target.append(stamp.shownTime)
        target.append(stamp.lsn)
        target.append(stamp.platform)
        target.appendPrefixed(stamp.sourceName)
    }
}
