import Bytes

// SAFETY: a ledger's block is read under the lock of its profile's shard and copied before the lock
// is released; offsets are of the scan's own copies and checked by slices.

/// A pass over the ledgers of one person, in slices: copies of them first, its own and those of the
/// profiles merged into it, then every hash computed again.
///
/// A ledger keeps up to 4,096 entries of up to some 12 KiB, and hashing costs about as much as the
/// rest of a call per kilobyte: the whole would hold a loop for tens of milliseconds. What a scan
/// holds does not change with the store; a ledger that changes while it is copied is copied again,
/// in pieces of twice the size: after ten changes, whole.
package struct LedgerScan: ~Copyable {
    /// One kept entry: its hashes, and where it is among the copies.
    struct ChainedEntry {
        var lsn: UInt64
        var previousHash: SHA256Digest
        var hash: SHA256Digest
        var range: Range<Int>
    }

    private let project: ProjectID
    /// Profile ids whose ledgers are copied, the person's own first.
    private let ids: [ProfileID]
    private var copiedIDs = 0
    private var copies = ByteBuffer(capacity: 4 << 10)
    /// Where the copies end, one for each ledger that was found.
    private var ends: [Int] = []
    /// The head of the ledger that is being copied; its copy is void once another is found.
    fileprivate var head = SHA256Digest.zero
    /// Of a copy under one lock.
    fileprivate var pieceBytes = LedgerScan.pieceBytesMin
    fileprivate static let pieceBytesMin = 64 << 10
    /// More than the largest ledger.
    fileprivate static let pieceBytesMax = pieceBytesMin << 10

    private var hashedLedgers = 0
    /// Offset of the next entry of the ledger that is being hashed; 0: it is not begun.
    private var nextEntry = 0
    private var previousHash = SHA256Digest.zero
    private var chained: [ChainedEntry] = []
    /// Of `chained`, those of the person's own ledger, which come first.
    private var ownCount = 0
    /// Entries of the person's own ledger that are folded away.
    private(set) var ownFoldedCount: UInt64 = 0
    /// The verification so far.
    package private(set) var verified = VerifiedLedger()

    /// - Parameter image: Of the person's profile.
    package init(of image: ProfileImage, project: ProjectID) {
        var ids = [image.profileID]
        image.forEachProfileAlias { ids.append($0) }
        self.project = project
        self.ids = ids
    }

    /// A scan that begins with a copy of the person's own ledger.
    ///
    /// - Parameter own: All of its block; empty: there is none.
    init(of image: ProfileImage, project: ProjectID, own: UnsafeRawBufferPointer) {
        self.init(of: image, project: project)
        self.copies.append(own)
        self.ends.append(own.count)
        self.copiedIDs = 1
    }

    /// A scan whose copies are made already, such as by a test.
    init(copies: [[UInt8]]) {
        self.project = ProjectID(rawValue: 0)
        self.ids = []
        for copy in copies {
            copy.withUnsafeBytes { self.copies.append($0) }
            self.ends.append(self.copies.count)
        }
    }

    /// Bytes that it keeps: copies, and the hashes of their entries.
    package var keptBytes: Int {
        self.copies.count + self.chained.count * MemoryLayout<ChainedEntry>.stride
    }

    /// Continues the pass.
    ///
    /// - Parameter budgetBytes: Bytes to copy and hash; one piece or entry more may be taken.
    /// - Returns: Whether the pass is complete.
    package mutating func advance(in store: Store, budgetBytes: Int) -> Bool {
        var left = budgetBytes
        while self.copiedIDs < self.ids.count {
            guard left > 0 else { return false }
            left -= self.copyPiece(from: store)
        }
        return self.hashEntries(&left)
    }

    /// Copies one piece of the next ledger; returns its bytes.
    private mutating func copyPiece(from store: Store) -> Int {
        let start = self.ends.last ?? 0
        let before = self.copies.count
        let head = self.head
        let isWhole = store.copyLedgerPiece(
            of: self.ids[self.copiedIDs], in: self.project, from: start, head: &self.head,
            bytesMax: self.pieceBytes, into: &self.copies)
        let bytes = self.copies.count - before
        if before > start, self.head != head {
            // Whoever is written all the time would never be read.
            self.pieceBytes = min(2 * self.pieceBytes, Self.pieceBytesMax)
        }
        guard isWhole else { return max(bytes, 1) }
        self.pieceBytes = Self.pieceBytesMin
        // Of the person itself there may be no ledger yet: its chain is the empty one.
        if self.copies.count > start || self.copiedIDs == 0 { self.ends.append(self.copies.count) }
        self.copiedIDs += 1
        self.head = .zero
        return max(bytes, 1)
    }

    /// Hashes entries while `left` lasts; returns whether none is left.
    mutating func hashEntries(_ left: inout Int) -> Bool {
        while self.hashedLedgers < self.ends.count {
            let start = self.hashedLedgers == 0 ? 0 : self.ends[self.hashedLedgers - 1]
            let end = self.ends[self.hashedLedgers]
            let ledger = LedgerPart(
                UnsafeRawBufferPointer(rebasing: self.copies.bytes[start ..< end]))
            if self.nextEntry == 0 {
                self.nextEntry = end - ledger.entries.count
                self.previousHash = ledger.foldedHash
                if self.hashedLedgers == 0 {
                    self.verified.head = ledger.head
                    self.ownFoldedCount = ledger.foldedCount
                }
            }
            while self.nextEntry < end {
                guard left > 0 else { return false }
                var reader = ByteReader(
                    UnsafeRawBufferPointer(rebasing: self.copies.bytes[self.nextEntry ..< end]))
                let entry = reader.readPrefixed()
                let hash = LedgerPart.hash(entry, after: self.previousHash)
                let next = self.nextEntry + reader.offset
                self.chained.append(
                    ChainedEntry(
                        lsn: ConsentEntry.lsn(of: entry), previousHash: self.previousHash,
                        hash: hash, range: next - entry.count ..< next))
                self.previousHash = hash
                self.verified.entryCount += 1
                left -= next - self.nextEntry
                self.nextEntry = next
            }
            if self.previousHash != ledger.head { self.verified.isValid = false }
            self.verified.entryCount += ledger.foldedCount
            if self.hashedLedgers == 0 { self.ownCount = self.chained.count }
            self.hashedLedgers += 1
            self.nextEntry = 0
        }
        return true
    }

    /// Runs `body` with every kept entry of all chains, ascending by lsn; those of one lsn in the
    /// order of their chains.
    ///
    /// - Precondition: The pass is complete.
    /// - Complexity: O(entries · log entries) if there is more than one chain.
    package borrowing func withEntries<Result>(_ body: ([ListedEntry]) -> Result) -> Result {
        body(self.order(through: .max).map { self.entry($0) })
    }

    /// The numbers of the kept entries of all chains up to an lsn, in the order of `withEntries`.
    ///
    /// - Precondition: The pass is complete.
    /// - Complexity: O(entries · log entries) if there is more than one chain.
    borrowing func order(through lsn: UInt64) -> [Int] {
        precondition(self.hashedLedgers == self.ends.count, "the pass is complete")
        var order = self.chained.indices.filter { self.chained[$0].lsn <= lsn }
        if self.ends.count > 1 {
            order.sort { (self.chained[$0].lsn, $0) < (self.chained[$1].lsn, $1) }
        }
        return order
    }

    /// An entry by its number; borrowed from the scan.
    borrowing func entry(_ number: Int) -> ListedEntry {
        let entry = self.chained[number]
        return ListedEntry(
            lsn: entry.lsn, previousHash: entry.previousHash, hash: entry.hash,
            entry: UnsafeRawBufferPointer(rebasing: self.copies.bytes[entry.range]))
    }

    /// Whether a ledger of a profile that was merged away has an entry behind an lsn: it was
    /// written again since.
    borrowing func hasMergedEntries(behind lsn: UInt64) -> Bool {
        self.chained[self.ownCount...].contains { $0.lsn > lsn }
    }
}

extension Store {
    /// Runs `body` with the entries of a person's ledgers (`LedgerScan.withEntries`). Any thread.
    ///
    /// - Complexity: O(bytes of the ledgers), with a hash of each entry: for callers that
    ///   serve no other call meanwhile.
    package func withHistory<Result>(
        of image: ProfileImage, project: ProjectID, _ body: ([ListedEntry]) -> Result
    ) -> Result {
        var scan = LedgerScan(of: image, project: project)
        while !scan.advance(in: self, budgetBytes: .max) {}
        return scan.withEntries(body)
    }

    /// Appends the next piece of the ledger that was written for a profile id, also for one that
    /// was merged away. Any thread.
    ///
    /// - Parameters:
    ///   - start: Where the copy of this ledger begins in `buffer`.
    ///   - head: Of the ledger whose copy was begun; `.zero`: none was.
    ///   - bytesMax: Bytes copied under the lock.
    /// - Returns: Whether the copy is whole; also true if there is no such ledger.
    fileprivate func copyLedgerPiece(
        of id: ProfileID, in project: ProjectID, from start: Int, head: inout SHA256Digest,
        bytesMax: Int, into buffer: inout ByteBuffer
    ) -> Bool {
        withUnsafeBytes(of: (id.high.bigEndian, id.low.bigEndian)) { bytes in
            let identifier = IdentifierView(kind: .profileID, bytes: bytes)
            return self.firstCandidate(project, identifier) {
                self.copyLedgerPiece(
                    of: $0, project, identifier, from: start, head: &head, bytesMax: bytesMax,
                    into: &buffer)
            } ?? true
        }
    }

    /// `nil`: this profile does not have the id.
    private func copyLedgerPiece(
        of profile: ProfileRef, _ project: ProjectID, _ identifier: IdentifierView,
        from start: Int, head: inout SHA256Digest, bytesMax: Int, into buffer: inout ByteBuffer
    ) -> Bool? {
        self.profileLocks.with(profile.shard) { () -> Bool? in
            let header = self.pool.header(profile).pointee
            guard self.identities.holds(header, project, identifier) else { return nil }
            guard header.ledger != 0 else {
                buffer.truncate(to: start)
                return true
            }
            // What was copied is never changed, but the ledger may have grown since the piece
            // before: then it has another head.
            let present = self.ledgerPart(header).head
            if present != head { buffer.truncate(to: start) }
            head = present
            self.slab.appendLedger(
                header.ledger, from: buffer.count - start, bytesMax: bytesMax, to: &buffer)
            return buffer.count - start == Int(header.ledgerBytes)
        }
    }
}
