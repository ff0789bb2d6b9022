import Bytes

// SAFETY: the entries are borrowed while the table is made of them.

/// How many of everything a snapshot's first item announces, and how many were found.
///
/// Layout: `projects: UInt32 (version 1: names) | suppressions, requests, merges, blocks: UInt64 |
/// keys: UInt64 (not in version 1)`, then per shard `profiles, identifiers, addresses, events:
/// UInt32 | vacant: UInt32 (not in version 1)`, then, with triggers, `triggers, firings, fired:
/// UInt64`.
struct SnapshotTotals: Equatable {
    var projects = 0
    /// In version 1 only.
    var names = 0
    var suppressions = 0
    var requests = 0
    var merges = 0
    var blocks = 0
    var keys = 0
    var profiles = 0
    var triggers = 0
    var firings = 0
    /// Times that caps count.
    var fired = 0

    init() {}

    /// The part that is not per shard; `nil` past the end.
    init?(from reader: inout ByteReader, version: UInt32) {
        let first = Int(reader.read(UInt32.self))
        if version == 1 { self.names = first } else { self.projects = first }
        self.suppressions = Int(clamping: reader.read(UInt64.self))
        self.requests = Int(clamping: reader.read(UInt64.self))
        self.merges = Int(clamping: reader.read(UInt64.self))
        self.blocks = Int(clamping: reader.read(UInt64.self))
        if version > 1 { self.keys = Int(clamping: reader.read(UInt64.self)) }
        guard !reader.overrun else { return nil }
    }

    /// Reads what stands behind the shards if there are triggers.
    mutating func readTriggers(from reader: inout ByteReader) {
        self.triggers = Int(clamping: reader.read(UInt64.self))
        self.firings = Int(clamping: reader.read(UInt64.self))
        self.fired = Int(clamping: reader.read(UInt64.self))
    }

    /// Whether a store of these limits can hold as many; each project's share is checked as it is
    /// loaded.
    func areSupported(_ limits: StoreLimits) -> Bool {
        self.names <= NameTable.namesMax && self.projects <= Int(limits.projectsMax)
    }

    mutating func add(_ counts: ShardCounts) {
        self.profiles += counts.profiles
    }

    /// What one shard has; those of the tables only make headroom ahead.
    struct ShardCounts {
        var profiles: Int
        var identifiers: Int
        var addresses: Int
        var events: Int
        /// The first slot that is free again, as a `ProfileRef`; 0: none.
        var vacant: UInt32 = 0

        init(from reader: inout ByteReader, version: UInt32) {
            self.profiles = Int(reader.read(UInt32.self))
            self.identifiers = Int(reader.read(UInt32.self))
            self.addresses = Int(reader.read(UInt32.self))
            self.events = Int(reader.read(UInt32.self))
            if version > 1 { self.vacant = reader.read() }
        }
    }
}

/// Entries of a sharded table that is not made yet.
struct GatheredEntries {
    private var shards = [[UInt64]](repeating: [], count: Shards.count)

    /// Reserves capacity, up to a bound: a number in a file must not allocate any amount of memory.
    mutating func reserve(_ shard: Int, _ count: Int) {
        self.shards[shard].reserveCapacity(min(count, Self.reservedMax))
    }

    /// Entries that capacity is reserved for, per shard: 64 MiB in total.
    private static let reservedMax = 1 << 17

    mutating func append(_ hash: UInt64, _ value: UInt32) {
        self.shards[Shards.shard(hash)].append(UInt64(value) << 32 | UInt64(Shards.tag(hash)))
    }

    /// Makes the table of a shard, and releases its entries.
    mutating func table(_ shard: Int) -> HashTable {
        defer { self.shards[shard] = [] }
        return self.shards[shard].withUnsafeBufferPointer { HashTable(entries: $0) }
    }
}
