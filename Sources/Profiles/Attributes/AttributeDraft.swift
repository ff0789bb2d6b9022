import Bytes

// SAFETY: a header's block of attributes is read and replaced by the applier, the only thread that
// changes one; `AttributePart` checks offsets against the block's size. `work` is one element that
// `Store` owns.

/// One attribute being changed; texts and values are borrowed from the block or the record.
struct AttributeEntry {
    /// Its number in the project's `NameTable`.
    var name: Int
    var kind: AttributePart.Kind
    /// Of a value: when it was written. Of a list: when it was last set whole, or `.never`. Of a
    /// deleted one: when, or `.never` if only elements of it were removed.
    var stamp: AttributeStamp
    /// Packed; of a value only.
    var value = UnsafeRawBufferPointer.none
    var elements: [ListElement] = []
    var removed: [ListElement] = []
}

/// A profile's attributes being changed: read from a block, written to a new one.
struct AttributeDraft {
    /// In name order.
    var entries: [AttributeEntry] = []

    init() {}

    init(_ part: AttributePart, totalBytes: Int) {
        var reader = part.entries(totalBytes: totalBytes)
        self.entries.reserveCapacity(part.entryCount + 8)
        for _ in 0 ..< part.entryCount {
            let name = Int(reader.read(UInt16.self))
            guard let kind = AttributePart.Kind(rawValue: reader.read()) else { return }
            if kind == .value {
                let stamp = part.stamp(Int(reader.readVarint()))
                var value = reader
                let start = reader.offset
                _ = PackedValue.skip(&reader, depth: 1)
                self.entries.append(
                    AttributeEntry(
                        name: name, kind: kind, stamp: stamp,
                        value: value.read(count: reader.offset - start)))
                continue
            }
            let base = Int(reader.readVarint())
            var entry = AttributeEntry(
                name: name, kind: kind, stamp: base == 0 ? .never : part.stamp(base - 1))
            if kind == .list { entry.elements = Self.elements(&reader, part) }
            entry.removed = Self.elements(&reader, part)
            self.entries.append(entry)
        }
    }

    private static func elements(_ reader: inout ByteReader, _ part: AttributePart) -> [ListElement]
    {
        var elements: [ListElement] = []
        for _ in 0 ..< reader.readVarint() {
            let stamp = part.stamp(Int(reader.readVarint()))
            elements.append(ListElement(text: reader.readPrefixed(), stamp: stamp))
        }
        return elements
    }

    // MARK: Writing

    /// The block's bytes.
    func write(into target: inout ByteBuffer) {
        var stamps: [AttributeStamp] = []
        self.forEachStamp { stamp in
            if !stamps.contains(where: { $0.lsn == stamp.lsn && $0.time == stamp.time }) {
                stamps.append(stamp)
            }
        }
        var sources = ByteBuffer()
        target.append(UInt16(stamps.count))
        target.append(UInt16(self.entries.count))
        let sourcesBytes = target.count
        target.append(UInt32(0))
        for stamp in stamps {
            target.append(stamp.time)
            target.append(stamp.lsn)
            target.append(stamp.origin)
            target.append(
                UInt32(Self.place(of: stamp.sourceName, in: &sources)) << 8 | UInt32(stamp.platform)
            )
        }
        target.append(sources.bytes)
        target.patch(UInt32(sources.count), at: sourcesBytes)
        for entry in self.entries { Self.write(entry, stamps, into: &target) }
    }

    private static func write(
        _ entry: AttributeEntry, _ stamps: [AttributeStamp], into target: inout ByteBuffer
    ) {
        target.append(UInt16(entry.name))
        target.append(entry.kind.rawValue)
        guard entry.kind != .value else {
            target.appendVarint(Self.index(of: entry.stamp, stamps))
            target.append(entry.value)
            return
        }
        target.appendVarint(entry.stamp.isNever ? 0 : Self.index(of: entry.stamp, stamps) + 1)
        if entry.kind == .list { Self.write(entry.elements, stamps, into: &target) }
        Self.write(entry.removed, stamps, into: &target)
    }

    private static func write(
        _ elements: [ListElement], _ stamps: [AttributeStamp], into target: inout ByteBuffer
    ) {
        target.appendVarint(UInt64(elements.count))
        for element in elements {
            target.appendVarint(Self.index(of: element.stamp, stamps))
            target.appendPrefixed(element.text)
        }
    }

    private static func index(of stamp: AttributeStamp, _ stamps: [AttributeStamp]) -> UInt64 {
        guard let index = stamps.firstIndex(where: { $0.lsn == stamp.lsn && $0.time == stamp.time })
        else {
            preconditionFailure("every stamp was gathered")
        }
        return UInt64(index)
    }

    /// The place of a source name among the sources, plus 1; 0 for none.
    private static func place(of name: UnsafeRawBufferPointer, in sources: inout ByteBuffer) -> Int
    {
        guard name.count > 0 else { return 0 }
        var reader = ByteReader(sources.bytes)
        while reader.remaining > 0 {
            let place = reader.offset
            if reader.readPrefixed().equals(name) { return place + 1 }
        }
        let place = sources.count
        sources.appendPrefixed(name)
        return place + 1
    }

    private func forEachStamp(_ body: (AttributeStamp) -> Void) {
        for entry in self.entries {
            if !entry.stamp.isNever { body(entry.stamp) }
            for element in entry.elements { body(element.stamp) }
            for element in entry.removed { body(element.stamp) }
        }
    }
}

extension Store {
    /// A profile's attributes, to be changed.
    func attributeDraft(_ header: ProfileHeader) -> AttributeDraft {
        guard header.attributes != 0 else { return AttributeDraft() }
        return AttributeDraft(
            AttributePart(self.slab.pointer(header.attributes)),
            totalBytes: Int(header.attributesBytes))
    }

    /// Gives a header a new block of attributes; the old one is freed after the commit.
    func setAttributes(_ draft: AttributeDraft, in header: inout ProfileHeader) {
        self.free(header.attributes, bytes: Int(header.attributesBytes))
        header.attributes = 0
        header.attributesBytes = 0
        guard !draft.entries.isEmpty else { return }
        self.work.pointee.part.removeAll()
        draft.write(into: &self.work.pointee.part)
        header.attributes = self.allocate(copying: self.work.pointee.part.bytes)
        header.attributesBytes = UInt32(self.work.pointee.part.count)
    }
}
