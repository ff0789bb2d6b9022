import Bytes

/// Why one operation of a chunk was rejected, or an event of one that allows partial success; in
/// the form that is remembered with the chunk.
///
/// Layout: `index: UInt16 | kind: UInt8 | rejection: UInt8 | item: UInt8 | detail: UInt64`.
package struct ImportRejection: Equatable, Sendable {
    /// Of the operation in its chunk.
    package var index: Int
    /// `nil`: validation rejected it.
    package var kind: RecordKind?
    package var rejection: Rejection
    /// Of the event or change that decides, below 128.
    package var item: Int
    /// Of an event outside of its window: it is too old, and not too far ahead.
    package var isLate: Bool
    /// As of `ResultHeader.detail`.
    package var detail: UInt64

    static let bytes = 2 + 1 + 1 + 1 + 8
    private static let lateBit: UInt8 = 1 << 7

    package init(
        index: Int, kind: RecordKind?, rejection: Rejection, item: Int = 0, isLate: Bool = false,
        detail: UInt64 = 0
    ) {
        self.index = index
        self.kind = kind
        self.rejection = rejection
        self.item = item
        self.isLate = isLate
        self.detail = detail
    }

    func write(into buffer: inout ByteBuffer) {
        buffer.append(UInt16(self.index))
        buffer.append(self.kind?.rawValue ?? 0)
        buffer.append(self.rejection.rawValue)
        buffer.append(UInt8(self.item & 0x7F) | (self.isLate ? Self.lateBit : 0))
        buffer.append(self.detail)
    }

    /// Reads the next one; `nil` if it is not one.
    package init?(from reader: inout ByteReader) {
        self.index = Int(reader.read(UInt16.self))
        self.kind = RecordKind(rawValue: reader.read())
        guard let rejection = Rejection(rawValue: reader.read()) else { return nil }
        self.rejection = rejection
        let item = reader.read(UInt8.self)
        self.item = Int(item & ~Self.lateBit)
        self.isLate = item & Self.lateBit != 0
        self.detail = reader.read()
        guard !reader.overrun else { return nil }
    }
}

/// What became of operations of a chunk, with the first that were rejected.
///
/// Layout: `applied, unchanged, rejected, found: UInt16 | listed: UInt16 | rejections`. `found`
/// counts the rejections, `listed` those that follow.
package struct ImportCounts: Equatable, Sendable {
    package var applied = 0
    package var unchanged = 0
    package var rejected = 0
    /// Rejections, also those that are not listed: as many as `rejected`, and one for each
    /// operation that stored a part of its events only.
    package var found = 0
    /// Ascending by index.
    package var rejections: [ImportRejection] = []

    package init() {}

    /// Notes a rejection, as far as it is listed.
    mutating func note(_ rejection: @autoclosure () -> ImportRejection, most: Int) {
        self.found += 1
        if self.rejections.count < most { self.rejections.append(rejection()) }
    }

    /// Adds those of the operations that follow.
    package mutating func add(_ next: ImportCounts) {
        self.applied += next.applied
        self.unchanged += next.unchanged
        self.rejected += next.rejected
        self.found += next.found
        let headroom = ImportLimits.rejectionsMax - self.rejections.count
        self.rejections += next.rejections.prefix(headroom)
    }

    func write(into buffer: inout ByteBuffer) {
        for count in [
            self.applied, self.unchanged, self.rejected, self.found, self.rejections.count,
        ] {
            buffer.append(UInt16(count))
        }
        for rejection in self.rejections { rejection.write(into: &buffer) }
    }

    /// Reads them; `nil` if they are not whole.
    package init?(from reader: inout ByteReader) {
        self.applied = Int(reader.read(UInt16.self))
        self.unchanged = Int(reader.read(UInt16.self))
        self.rejected = Int(reader.read(UInt16.self))
        self.found = Int(reader.read(UInt16.self))
        let listed = Int(reader.read(UInt16.self))
        guard !reader.overrun, listed <= reader.remaining / ImportRejection.bytes else {
            return nil
        }
        self.rejections.reserveCapacity(listed)
        for _ in 0 ..< listed {
            guard let rejection = ImportRejection(from: &reader) else { return nil }
            self.rejections.append(rejection)
        }
    }
}

/// The body of the result of a part that was carried out, or was before.
///
/// Layout: `done: UInt16 | skipped: UInt16 | stored, duplicate, stale: UInt32 | hasCounts: UInt8 |
/// [counts: ImportCounts]`. The counts are those of a whole chunk, with the part that completes it
/// and any that comes later; of a validation those of its part.
package struct ImportResultBody: Equatable {
    /// Operations of the chunk that are done, from its beginning on.
    package var done = 0
    /// Operations of this part that were done before.
    package var skipped = 0
    /// Items of those that were not, for the accounting.
    package var stored = 0
    package var duplicate = 0
    package var stale = 0
    package var counts: ImportCounts?

    package init() {}

    func write(into buffer: inout ByteBuffer) {
        buffer.append(UInt16(self.done))
        buffer.append(UInt16(self.skipped))
        buffer.append(UInt32(self.stored))
        buffer.append(UInt32(self.duplicate))
        buffer.append(UInt32(self.stale))
        buffer.append(self.counts == nil ? UInt8(0) : 1)
        self.counts?.write(into: &buffer)
    }

    /// Reads a body; `nil` if it is not one.
    package init?(from reader: inout ByteReader) {
        self.done = Int(reader.read(UInt16.self))
        self.skipped = Int(reader.read(UInt16.self))
        self.stored = Int(reader.read(UInt32.self))
        self.duplicate = Int(reader.read(UInt32.self))
        self.stale = Int(reader.read(UInt32.self))
        let hasCounts = reader.read(UInt8.self) != 0
        guard !reader.overrun else { return nil }
        guard hasCounts else { return }
        guard let counts = ImportCounts(from: &reader) else { return nil }
        self.counts = counts
    }
}

/// What is remembered of one part of a chunk, in the place of a response.
///
/// Layout: the header of its result, then `firstItem, itemCount: UInt16 | counts: ImportCounts`.
/// It names no profile: an erasure leaves it as it is.
struct ImportEntry {
    var lsn: UInt64
    var firstItem: Int
    var itemCount: Int
    var counts: ImportCounts

    var endItem: Int { self.firstItem + self.itemCount }

    func write(into buffer: inout ByteBuffer) {
        let start = ResultHeader(
            rejection: .none, flags: [], kind: .importPart, lsn: self.lsn
        ).begin(in: &buffer)
        buffer.append(UInt16(self.firstItem))
        buffer.append(UInt16(self.itemCount))
        self.counts.write(into: &buffer)
        ResultHeader.end(at: start, in: &buffer)
    }

    init(lsn: UInt64, firstItem: Int, itemCount: Int, counts: ImportCounts) {
        self.lsn = lsn
        self.firstItem = firstItem
        self.itemCount = itemCount
        self.counts = counts
    }

    /// Reads what was remembered; `nil` if it is not such an entry.
    init?(_ response: UnsafeRawBufferPointer) {
        var reader = ByteReader(response)
        guard let header = ResultHeader(from: &reader), header.kind == .importPart else {
            return nil
        }
        self.lsn = header.lsn
        self.firstItem = Int(reader.read(UInt16.self))
        self.itemCount = Int(reader.read(UInt16.self))
        guard !reader.overrun, let counts = ImportCounts(from: &reader) else { return nil }
        self.counts = counts
        // Sums of several entries have the width of one.
        let isPossible =
            counts.applied + counts.unchanged + counts.rejected == self.itemCount
            && counts.found <= self.itemCount
            && counts.rejections.count <= min(counts.found, ImportLimits.rejectionsMax)
        guard isPossible else { return nil }
    }
}
