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

/// The identifiers of erased profiles, which may not be used for a while, oldest first for each
/// project, and found by their hash.
///
/// The applier changes the tables under the lock of a shard, and loops look up under it. An
/// entry is a block of the slab:
/// `next: UInt32 | project: UInt32 | low, high: UInt64 | erasedAt: Int64 µs`.
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

    // SAFETY: the lists and the links between entries are the applier's alone. A shard's table is
    // changed under its lock, and an entry that a table names does not change and is not freed
    // before it was taken out of there.
    private let tables: UnsafeMutablePointer<HashTable>
    private let locks = ShardLocks()
    private let slab: Slab
    /// How long an identifier is blocked, in microseconds.
    private let duration: Int64

    init(slab: Slab, limits: StoreLimits) {
        self.slab = slab
        self.duration = Int64(limits.blockSeconds) * 1_000_000
        self.tables = .allocate(capacity: Shards.count)
        for shard in 0 ..< Shards.count { (self.tables + shard).initialize(to: HashTable()) }
    }

    func destroy() {
        for shard in 0 ..< Shards.count { self.tables[shard].destroy() }
        self.tables.deallocate()
        self.locks.destroy()
    }

    // MARK: Any thread

    /// Until when an identifier is blocked, in microseconds; `nil`: it is not, or no longer at
    /// `now`.
    func blockedUntil(_ project: ProjectID, _ identifier: IdentifierHash, now: Int64) -> Int64? {
        let shard = Shards.shard(identifier.low)
        return self.locks.with(shard) {
            var position = self.tables[shard].start(Shards.tag(identifier.low))
            var until: Int64?
            while true {
                let handle = self.tables[shard].next(Shards.tag(identifier.low), from: &position)
                guard handle != 0 else { return until }
                let block = self.block(handle)
                guard self.project(handle) == project else { continue }
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

    /// Bytes of the tables; the entries are in the slab.
    var tableBytes: Int { (0 ..< Shards.count).reduce(0) { $0 + self.tables[$1].bytes } }
    /// When an entry of this time is past due, in microseconds.
    func due(_ erasedAt: Int64) -> Int64 { erasedAt == .max ? .max : erasedAt + self.duration }

    /// Blocks an identifier, from the time that is not before that of the newest entry.
    func append(_ block: Block, to project: Project) {
        let handle = self.slab.allocate(Self.entryBytes)
        var writer = RawWriter(self.slab.pointer(handle))
        writer.write(Handle(0))
        writer.write(project.id.rawValue)
        writer.write(block.identifier.low)
        writer.write(block.identifier.high)
        writer.write(block.erasedAt)
        var list = project.blocks
        if list.head == 0 {
            list.head = handle
            list.oldest = block.erasedAt
        } else {
            self.slab.pointer(list.tail).storeBytes(of: handle, as: Handle.self)
        }
        list.tail = handle
        list.count += 1
        project.blocks = list
        let shard = Shards.shard(block.identifier.low)
        self.locks.with(shard) {
            self.tables[shard].insertGrowing(Shards.tag(block.identifier.low), handle)
        }
    }

    /// Drops the oldest entry of a project; its list must not be empty.
    func dropOldest(of project: Project) {
        var list = project.blocks
        let handle = list.head
        let (block, next) = self.entry(handle)
        let shard = Shards.shard(block.identifier.low)
        self.locks.with(shard) {
            self.tables[shard].remove(Shards.tag(block.identifier.low), handle)
        }
        list.head = next
        list.count -= 1
        self.slab.deallocate(handle, bytes: Self.entryBytes)
        if next == 0 {
            list.tail = 0
        } else {
            list.oldest = self.entry(next).block.erasedAt
        }
        project.blocks = list
    }

    /// An entry and the one behind it; 0: it is the newest.
    func entry(_ handle: Handle) -> (block: Block, next: Handle) {
        (self.block(handle), self.slab.pointer(handle).load(as: Handle.self))
    }

    private func project(_ handle: Handle) -> ProjectID {
        ProjectID(rawValue: self.slab.pointer(handle).load(fromByteOffset: 4, as: UInt32.self))
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

    /// Every entry of a project, oldest first: for the digest.
    func forEach(of project: Project, _ body: (Block) -> Void) {
        var handle = project.blocks.head
        while handle != 0 {
            let (block, next) = self.entry(handle)
            body(block)
            handle = next
        }
    }
}
