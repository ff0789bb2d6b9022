import Bytes

// One part of a chunk of an import. A chunk is cut into parts so that no frame and no apply grows
// with it; each part is a record that carries what the whole chunk is known by
// (docs/decisions/0460-chunks-in-parts.md). Items are those of a batch.

/// Bounds of imports; the cut is the loop's, so none of them can change an outcome.
package enum ImportLimits {
    /// Operations of one chunk, as the contract has it.
    package static let operationsMax = 10_000
    /// lsns of one part, unless it has one operation alone: an apply of some 300 µs, of which two
    /// are what an import adds to the latency of other calls.
    package static let partOperationsMax = 250
    /// Bytes of the items of one part, unless it has one operation alone.
    package static let partBytesMax = 256 << 10
    /// Bytes of ledger entries that one part may make, unless it has one operation alone: each
    /// change of consent keeps a copy of its operation's evidence.
    package static let partLedgerBytesMax = 1 << 20
    /// lsns of one part of a validation, which is rolled back as a whole: all that a record can
    /// have, so that the operations of nearly every chunk see each other.
    package static let validationOperationsMax = 65_535
    /// Rejected operations of a chunk that are listed.
    package static let rejectionsMax = 1_000
    /// Longest chunk id in a record, in bytes; the contract allows 100.
    static let chunkIDBytesMax = RequestDeduplication.idBytesMax
}

/// Flags of a part; raw values stand in the log.
package struct ImportFlags: OptionSet, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Counts only: everything is rolled back, and the chunk is not remembered.
    package static let validateOnly = ImportFlags(rawValue: 1 << 0)
}

/// Everything of a part but its items; borrowed bytes.
///
/// Layout of the payload, little-endian:
/// `project: UInt32 | flags: UInt8 | chunkID: prefixed | content: 2 x UInt64 | chunkItems: UInt16 |
/// firstItem: UInt16 | itemCount: UInt16`, then the items.
package struct ImportPartHeader {
    package var project: ProjectID
    package var flags: ImportFlags
    package var chunkID: UnsafeRawBufferPointer
    /// Of all operations of the chunk: `ImportContent`.
    package var content: Fingerprint
    /// Operations of the whole chunk.
    package var chunkItems: Int
    /// Index of the first operation of this part in the chunk.
    package var firstItem: Int
    package var itemCount: Int

    package init(
        project: ProjectID, flags: ImportFlags, chunkID: UnsafeRawBufferPointer,
        content: Fingerprint, chunkItems: Int, firstItem: Int, itemCount: Int
    ) {
        self.project = project
        self.flags = flags
        self.chunkID = chunkID
        self.content = content
        self.chunkItems = chunkItems
        self.firstItem = firstItem
        self.itemCount = itemCount
    }

    /// Appends the header; the items follow, as `beginBatchItem` and `endBatchItem` write them.
    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.project.rawValue)
        buffer.append(self.flags.rawValue)
        buffer.appendPrefixed(self.chunkID)
        buffer.append(self.content.low)
        buffer.append(self.content.high)
        buffer.append(UInt16(self.chunkItems))
        buffer.append(UInt16(self.firstItem))
        buffer.append(UInt16(self.itemCount))
    }

    /// Reads a header; `nil` if it is not one.
    package init?(from reader: inout ByteReader) {
        self.project = ProjectID(rawValue: reader.read())
        self.flags = ImportFlags(rawValue: reader.read())
        self.chunkID = reader.readPrefixed()
        self.content = Fingerprint(low: reader.read(), high: reader.read())
        self.chunkItems = Int(reader.read(UInt16.self))
        self.firstItem = Int(reader.read(UInt16.self))
        self.itemCount = Int(reader.read(UInt16.self))
        guard !reader.overrun, 1 ... ImportLimits.chunkIDBytesMax ~= self.chunkID.count,
            self.firstItem + self.itemCount <= self.chunkItems
        else { return nil }
    }
}
