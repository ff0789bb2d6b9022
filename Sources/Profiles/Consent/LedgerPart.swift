import Bytes

// SAFETY: the digest's words are borrowed for one call of `update`. Blocks are read through slices
// whose bounds are checked.

/// The consent ledger of a profile: entries in the order of their lsns, each chained to the one
/// before, as snapshots, digests and copies have it; `LedgerBlock` is its form in memory.
///
/// Layout: `foldedCount: UInt64 | foldedHash: 32 bytes | head: 32 bytes`, then per entry
/// `E: prefixed`. The chain begins with `foldedHash`, which is 32 zero bytes until the first fold;
/// `hash = SHA-256(previous hash || E)`; `head` is the last one's.
struct LedgerPart {
    /// Entries that are kept; older ones are folded into the checkpoint, which keeps their count
    /// and hash.
    static let entriesMax = 4_096
    static let fixedBytes = 8 + 2 * SHA256Digest.bytes

    /// Entries that were folded away.
    var foldedCount: UInt64 = 0
    /// The hash of the last of them.
    var foldedHash = SHA256Digest.zero
    /// The hash of the newest entry.
    var head = SHA256Digest.zero
    /// The kept entries, prefixed each; borrowed.
    var entries = UnsafeRawBufferPointer.none

    init() {}

    /// Reads a block or its copy; all of `bytes`.
    init(_ bytes: UnsafeRawBufferPointer) {
        var reader = ByteReader(bytes)
        self.foldedCount = reader.read()
        self.foldedHash = SHA256Digest(from: &reader)
        self.head = SHA256Digest(from: &reader)
        self.entries = reader.read(count: reader.remaining)
    }

    /// Whether bytes are a ledger of whole entries, of no more than are kept, behind a count that
    /// can be added to.
    static func isWhole(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var reader = ByteReader(bytes)
        guard SnapshotFormat.counts.contains(reader.read()) else { return false }
        _ = reader.read(count: Self.fixedBytes - MemoryLayout<UInt64>.size)
        var count = 0
        while reader.remaining > 0, count <= Self.entriesMax {
            guard ConsentEntry.isWhole(reader.readPrefixed()) else { return false }
            count += 1
        }
        return reader.isAtCleanEnd && count <= Self.entriesMax
    }

    /// `SHA-256(previous || E)`.
    static func hash(_ entry: UnsafeRawBufferPointer, after previous: SHA256Digest) -> SHA256Digest
    {
        var hash = SHA256()
        withUnsafeBytes(
            of: (
                previous.words.0.bigEndian, previous.words.1.bigEndian, previous.words.2.bigEndian,
                previous.words.3.bigEndian
            )
        ) { hash.update($0) }
        hash.update(entry)
        return hash.finish()
    }

    /// Entries that are kept.
    ///
    /// - Complexity: O(entries).
    var keptCount: Int {
        var count = 0
        self.forEach { _ in count += 1 }
        return count
    }

    /// Every kept entry, oldest first.
    func forEach(_ body: (UnsafeRawBufferPointer) -> Void) {
        var reader = ByteReader(self.entries)
        while reader.remaining > 0 { body(reader.readPrefixed()) }
    }

    /// Appends everything but the entries.
    func writeFixed(into buffer: inout ByteBuffer) {
        buffer.append(self.foldedCount)
        self.foldedHash.write(into: &buffer)
        self.head.write(into: &buffer)
    }
}

/// An entry of a history, borrowed from a copy of its ledger.
package struct ListedEntry {
    package var lsn: UInt64
    package var previousHash: SHA256Digest
    package var hash: SHA256Digest
    /// The entry without its hashes, as protobuf.
    package var entry: UnsafeRawBufferPointer
}

/// What a computation of all hashes of a person's ledgers found.
package struct VerifiedLedger {
    /// Every chain ends at the head that was kept beside it.
    package var isValid = true
    /// In all chains, folded ones included.
    package var entryCount: UInt64 = 0
    /// Of the person's own chain.
    package var head = SHA256Digest.zero

    package init() {}
}
