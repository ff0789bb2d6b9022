import Bytes

// SAFETY: blocks are read and written within the sizes they were allocated with, which
// they state themselves. The bytes behind those in use are written by the applier alone; a reader,
// who learns the bytes in use from the header under the lock of its shard, never looks at them.

/// A profile's ledger in memory: a block of fixed size, which each change replaces, and a block of
/// entries, to which changes append.
///
/// To replace everything would cost a copy of up to 4,096 entries for each change (decision 0550).
/// What a block of entries holds up to `liveBytes` never changes while a header refers to it: a
/// header that comes back when a batch is rolled back finds its entries as they were, and the next
/// change writes over what followed them.
///
/// Layout of the fixed block, little-endian: `foldedCount: UInt64 | foldedHash: 32 bytes |
/// head: 32 bytes | entries: Handle | capacityBytes, startBytes, liveBytes, count: UInt32`. The
/// meaning of the first three, and the layout of the entries, is that of `LedgerPart`.
struct LedgerBlock {
    /// Bytes of the fixed block.
    static let bytes = LedgerPart.fixedBytes + MemoryLayout<Handle>.size + 4 * 4

    /// What a full block of entries gets beyond its need: a quarter, so that each entry is copied
    /// four times on average over the life of a ledger. Below `growthBytesMin` the copy is cheaper
    /// than the memory.
    private static let growthDivisor = 4
    private static let growthBytesMin = 1 << 10

    var foldedCount: UInt64 = 0
    var foldedHash = SHA256Digest.zero
    var head = SHA256Digest.zero
    /// The block of entries; 0: there are none.
    private(set) var entries: Handle = 0
    private(set) var capacityBytes = 0
    /// Bytes of folded entries at the start of it.
    private var startBytes = 0
    /// Bytes of the kept entries, which follow.
    private(set) var liveBytes = 0
    /// Kept entries.
    private(set) var count = 0

    /// An empty ledger.
    init() {}

    /// Reads the fixed block of a header; 0: an empty ledger.
    init(_ handle: Handle, in slab: Slab) {
        guard handle != 0 else { return }
        var reader = ByteReader(
            UnsafeRawBufferPointer(start: slab.pointer(handle), count: Self.bytes))
        self.foldedCount = reader.read()
        self.foldedHash = SHA256Digest(from: &reader)
        self.head = SHA256Digest(from: &reader)
        self.entries = reader.read()
        self.capacityBytes = Int(reader.read(UInt32.self))
        self.startBytes = Int(reader.read(UInt32.self))
        self.liveBytes = Int(reader.read(UInt32.self))
        self.count = Int(reader.read(UInt32.self))
    }

    /// Writes the fixed block into one of `bytes` bytes.
    func write(to handle: Handle, in slab: Slab) {
        var writer = RawWriter(slab.pointer(handle))
        writer.write(self.foldedCount)
        writer.write(self.foldedHash)
        writer.write(self.head)
        writer.write(self.entries)
        writer.write(UInt32(self.capacityBytes))
        writer.write(UInt32(self.startBytes))
        writer.write(UInt32(self.liveBytes))
        writer.write(UInt32(self.count))
    }

    /// Bytes of the ledger as snapshots, digests and copies have it.
    var serializedBytes: Int { LedgerPart.fixedBytes + self.liveBytes }

    /// What it says, borrowed from the block of entries.
    func part(in slab: Slab) -> LedgerPart {
        var part = LedgerPart()
        part.foldedCount = self.foldedCount
        part.foldedHash = self.foldedHash
        part.head = self.head
        guard self.entries != 0 else { return part }
        part.entries = UnsafeRawBufferPointer(
            start: slab.pointer(self.entries) + self.startBytes, count: self.liveBytes)
        return part
    }

    /// The same ledger without entries: all of them are folded, so that their count and the last
    /// hash remain.
    var folded: LedgerBlock {
        var block = LedgerBlock()
        block.foldedCount = self.foldedCount + UInt64(self.count)
        block.foldedHash = self.head
        block.head = self.head
        return block
    }

    /// Appends new entries, and folds the oldest ones that are too many.
    ///
    /// - Parameters:
    ///   - added: The new entries, prefixed each.
    ///   - head: The hash of the last of them.
    ///   - allocate: Makes a block of so many bytes.
    /// - Returns: The block of entries that is no longer used, with its bytes; `nil`: the same one
    ///   is used.
    /// - Complexity: O(bytes added), amortised, and a hash of each entry that is folded.
    mutating func append(
        _ added: UnsafeRawBufferPointer, count addedCount: Int, head: SHA256Digest, in slab: Slab,
        allocate: (Int) -> Handle
    ) -> (block: Handle, bytes: Int)? {
        self.fold(self.count + addedCount - LedgerPart.entriesMax, in: slab)
        self.head = head
        guard !added.isEmpty else { return nil }
        let old = self
        self.liveBytes += added.count
        self.count += addedCount
        if old.startBytes + self.liveBytes > old.capacityBytes {
            let isSmall = self.liveBytes < Self.growthBytesMin
            self.capacityBytes = Slab.roundedBytes(
                self.liveBytes + (isSmall ? 0 : self.liveBytes / Self.growthDivisor))
            self.entries = allocate(self.capacityBytes)
            self.startBytes = 0
            slab.pointer(self.entries).copy(old.part(in: slab).entries)
        }
        (slab.pointer(self.entries) + self.startBytes + old.liveBytes).copy(added)
        guard old.entries != 0, old.entries != self.entries else { return nil }
        return (old.entries, old.capacityBytes)
    }

    /// Folds the oldest `excess` entries into the checkpoint.
    private mutating func fold(_ excess: Int, in slab: Slab) {
        guard excess > 0 else { return }
        var reader = ByteReader(self.part(in: slab).entries)
        for _ in 0 ..< min(excess, self.count) {
            self.foldedHash = LedgerPart.hash(reader.readPrefixed(), after: self.foldedHash)
            self.foldedCount += 1
            self.count -= 1
        }
        self.startBytes += reader.offset
        self.liveBytes -= reader.offset
    }
}

extension UnsafeMutableRawPointer {
    /// Copies all of `bytes` to here.
    fileprivate func copy(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress else { return }
        self.copyMemory(from: source, byteCount: bytes.count)
    }
}

extension Slab {
    /// Appends a part of a header's ledger as snapshots have it; nothing if it has none.
    ///
    /// - Parameters:
    ///   - offset: Where the part begins, at most the ledger's bytes.
    ///   - bytesMax: The longest part; one that begins before the entries has all of the fixed
    ///     bytes.
    func appendLedger(
        _ ledger: Handle, from offset: Int = 0, bytesMax: Int = .max, to buffer: inout ByteBuffer
    ) {
        guard ledger != 0 else { return }
        let part = LedgerBlock(ledger, in: self).part(in: self)
        var first = offset - LedgerPart.fixedBytes
        if first < 0 {
            precondition(offset == 0, "the fixed bytes are copied together")
            part.writeFixed(into: &buffer)
            first = 0
        }
        let last = min(part.entries.count, bytesMax == .max ? .max : first + bytesMax)
        buffer.append(UnsafeRawBufferPointer(rebasing: part.entries[first ..< last]))
    }

    /// A ledger's blocks, from its bytes in a snapshot; 0 for none.
    ///
    /// - Complexity: O(bytes).
    func allocateLedger(_ bytes: UnsafeRawBufferPointer) -> Handle {
        guard !bytes.isEmpty else { return 0 }
        let part = LedgerPart(bytes)
        var block = LedgerBlock()
        block.foldedCount = part.foldedCount
        block.foldedHash = part.foldedHash
        let replaced = block.append(
            part.entries, count: part.keptCount, head: part.head, in: self
        ) { self.allocate($0) }
        assert(replaced == nil, "an empty ledger has no block of entries")
        let handle = self.allocate(LedgerBlock.bytes)
        block.write(to: handle, in: self)
        return handle
    }
}

extension Store {
    /// A header's ledger; borrowed.
    func ledgerPart(_ header: ProfileHeader) -> LedgerPart {
        LedgerBlock(header.ledger, in: self.slab).part(in: self.slab)
    }

    /// Appends new entries to a header's ledger. What it replaces is freed with the staged change.
    func setLedger(_ chain: borrowing LedgerAppend, in header: inout ProfileHeader) {
        var block = LedgerBlock(header.ledger, in: self.slab)
        let replaced = block.append(
            chain.added, count: chain.addedCount, head: chain.head, in: self.slab
        ) { self.allocate($0) }
        if let replaced { self.free(replaced.block, bytes: replaced.bytes) }
        self.setLedger(block, in: &header)
    }

    /// Gives a header a ledger's fixed block, and frees the one it had with the staged change.
    func setLedger(_ block: LedgerBlock, in header: inout ProfileHeader) {
        self.free(header.ledger, bytes: LedgerBlock.bytes)
        header.ledger = self.allocate(LedgerBlock.bytes)
        header.ledgerBytes = UInt32(block.serializedBytes)
        block.write(to: header.ledger, in: self.slab)
    }

    /// Frees a header's ledger with the staged change.
    func freeLedger(of header: ProfileHeader) {
        let block = LedgerBlock(header.ledger, in: self.slab)
        self.free(block.entries, bytes: block.capacityBytes)
        self.free(header.ledger, bytes: LedgerBlock.bytes)
    }
}
