// SAFETY: `tables` has `Shards.count` elements, allocated by `init` and freed by `destroy`; a shard
// is a 6-bit number. Only the applier touches them.

/// 64 hash tables that only the applier uses, chosen by the upper bits of a hash.
///
/// Many small tables rather than one, because a table stops the applier while it grows.
struct ShardedTable {
    private let tables: UnsafeMutablePointer<HashTable>

    init() {
        self.tables = .allocate(capacity: Shards.count)
        for shard in 0 ..< Shards.count { (self.tables + shard).initialize(to: HashTable()) }
    }

    func destroy() {
        for shard in 0 ..< Shards.count { self.tables[shard].destroy() }
        self.tables.deallocate()
    }

    /// The table of a hash, to search in.
    @inline(__always)
    func table(_ hash: UInt64) -> HashTable { self.tables[Shards.shard(hash)] }

    func insert(_ hash: UInt64, _ value: UInt32) {
        self.tables[Shards.shard(hash)].insertGrowing(Shards.tag(hash), value)
    }

    func remove(_ hash: UInt64, _ value: UInt32) {
        self.tables[Shards.shard(hash)].remove(Shards.tag(hash), value)
    }

    /// Entries of a shard.
    func count(_ shard: Int) -> Int { self.tables[shard].count }

    /// Gives a shard of an empty table its entries.
    func load(_ shard: Int, _ table: HashTable) {
        self.tables[shard].destroy()
        self.tables[shard] = table
    }

    /// Bytes of all slots.
    var bytes: Int { (0 ..< Shards.count).reduce(0) { $0 + self.tables[$1].bytes } }
    /// Entries in all.
    var count: Int { (0 ..< Shards.count).reduce(0) { $0 + self.tables[$1].count } }

    func forEach(_ body: (_ shard: Int, _ tag: UInt32, _ value: UInt32) -> Void) {
        for shard in 0 ..< Shards.count {
            self.tables[shard].forEach { body(shard, $0, $1) }
        }
    }
}

/// How a 64-bit hash is spent: the upper 6 bits choose the shard, the lower 32 are the tag.
enum Shards {
    static let bits = 6
    /// More than any machine has cores to read with, and few enough to take all of them for a
    /// batch.
    static let count = 1 << bits

    @inline(__always)
    static func shard(_ hash: UInt64) -> Int { Int(hash >> (64 - UInt64(bits))) }

    @inline(__always)
    static func tag(_ hash: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: hash) }
}
