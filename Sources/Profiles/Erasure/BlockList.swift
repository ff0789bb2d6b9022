import Bytes

/// A keyed hash of 128 bits of (project, kind, identifier): all that remains of the identifier of
/// an erased person, and all that the record of an erasure carries of it.
package struct IdentifierHash: Equatable, Sendable, BitwiseCopyable {
    package var low: UInt64
    package var high: UInt64

    package init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }
}

/// The identifiers of erased profiles, which may not be used for a while, oldest first, and found
/// by their hash.
///
/// The applier changes the tables under the lock of a shard, and loops look up under it. An
/// entry is a block of the slab:
/// `next: UInt32 | zero: UInt32 | low, high: UInt64 | erasedAt: Int64 µs`.
struct BlockList {
    /// Entries that one tick drops.
    static let perTick = 4_096
    private static let entryBytes = 4 + 4 + 8 + 8 + 8

    /// One blocked identifier.
    struct Block: Equatable {
        var identifier: IdentifierHash
        /// `received_at` of the erasure, in microseconds.
        var erasedAt: Int64
    }

    private struct Core {
        var head: Handle = 0
        var tail: Handle = 0
        var count: UInt64 = 0
        /// `erasedAt` of the head.
        var oldest: Int64 = 0
    }

    // SAFETY: `core` and the links between entries are the applier's alone. A shard's table is
    // changed under its lock, and an entry that a table names does not change and is not freed
    // before it was taken out of there.
    private let core: UnsafeMutablePointer<Core>
    private let tables: UnsafeMutablePointer<HashTable>
    private let locks = ShardLocks()
    private let slab: Slab
    /// How long an identifier is blocked, in microseconds.
    private let duration: Int64

    init(slab: Slab, limits: StoreLimits) {
        self.slab = slab
        self.duration = Int64(limits.blockSeconds) * 1_000_000
        self.core = .allocate(capacity: 1)
        self.core.initialize(to: Core())
        self.tables = .allocate(capacity: Shards.count)
        for shard in 0 ..< Shards.count { (self.tables + shard).initialize(to: HashTable()) }
    }

    func destroy() {
        for shard in 0 ..< Shards.count { self.tables[shard].destroy() }
        self.tables.deallocate()
        self.core.deallocate()
        self.locks.destroy()
    }

    // MARK: Any thread

    /// Until when an identifier is blocked, in microseconds; `nil`: it is not, or no longer at
    /// `now`.
    func blockedUntil(_ identifier: IdentifierHash, now: Int64) -> Int64? {
        let shard = Shards.shard(identifier.low)
        return self.locks.with(shard) {
            var position = self.tables[shard].start(Shards.tag(identifier.low))
            var until: Int64?
            while true {
                let handle = self.tables[shard].next(Shards.tag(identifier.low), from: &position)
                guard handle != 0 else { return until }
                let block = self.block(handle)
                // The identifier may have been used and erased again before a tick dropped an entry
                // that is past due.
                guard block.identifier == identifier, now < self.end(of: block) else { continue }
                until = max(until ?? .min, self.end(of: block))
            }
        }
    }

    /// When a block ends, in microseconds.
    func end(of block: Block) -> Int64 { block.erasedAt + self.duration }

    // MARK: The applier

    var count: Int { Int(self.core.pointee.count) }
    /// Bytes of the tables; the entries are in the slab.
    var tableBytes: Int { (0 ..< Shards.count).reduce(0) { $0 + self.tables[$1].bytes } }
    /// When the oldest entry is past due, in microseconds; `nil` without one.
    var nextDue: Int64? {
        self.core.pointee.head == 0 ? nil : self.core.pointee.oldest + self.duration
    }

    /// Blocks an identifier, from the time that is not before that of the newest entry.
    func append(_ block: Block) {
        let handle = self.slab.allocate(Self.entryBytes)
        var writer = RawWriter(self.slab.pointer(handle))
        writer.write(Handle(0))
        writer.write(UInt32(0))
        writer.write(block.identifier.low)
        writer.write(block.identifier.high)
        writer.write(block.erasedAt)
        if self.core.pointee.head == 0 {
            self.core.pointee.head = handle
            self.core.pointee.oldest = block.erasedAt
        } else {
            self.slab.pointer(self.core.pointee.tail).storeBytes(of: handle, as: Handle.self)
        }
        self.core.pointee.tail = handle
        self.core.pointee.count += 1
        let shard = Shards.shard(block.identifier.low)
        self.locks.with(shard) {
            self.tables[shard].insertGrowing(Shards.tag(block.identifier.low), handle)
        }
    }

    /// Drops the oldest entry; the list must not be empty.
    func dropOldest() {
        let handle = self.core.pointee.head
        let (block, next) = self.entry(handle)
        let shard = Shards.shard(block.identifier.low)
        self.locks.with(shard) {
            self.tables[shard].remove(Shards.tag(block.identifier.low), handle)
        }
        self.core.pointee.head = next
        self.core.pointee.count -= 1
        self.slab.deallocate(handle, bytes: Self.entryBytes)
        if next == 0 {
            self.core.pointee.tail = 0
        } else {
            self.core.pointee.oldest = self.entry(next).block.erasedAt
        }
    }

    /// An entry and the one behind it; 0: it is the newest.
    func entry(_ handle: Handle) -> (block: Block, next: Handle) {
        (self.block(handle), self.slab.pointer(handle).load(as: Handle.self))
    }

    /// The fields of an entry without the link, which changes without a lock.
    private func block(_ handle: Handle) -> Block {
        let base = self.slab.pointer(handle)
        let identifier = IdentifierHash(
            low: base.load(fromByteOffset: 8, as: UInt64.self),
            high: base.load(fromByteOffset: 16, as: UInt64.self))
        return Block(
            identifier: identifier, erasedAt: base.load(fromByteOffset: 24, as: Int64.self))
    }

    /// All entries, for a snapshot that begins now.
    var snapshotCursor: SnapshotWork.ListCursor {
        SnapshotWork.ListCursor(next: self.core.pointee.head, left: self.core.pointee.count)
    }

    /// Every entry, oldest first: for the digest.
    func forEach(_ body: (Block) -> Void) {
        var handle = self.core.pointee.head
        while handle != 0 {
            let (block, next) = self.entry(handle)
            body(block)
            handle = next
        }
    }
}
