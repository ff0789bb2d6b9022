/// Which profile an identifier names: 64 tables of (tag of its hash, `ProfileRef`), each with its lock.
///
/// A table keeps no identifier; whoever follows an entry compares with what the profile holds, under its lock.
struct IdentifierIndex {
    private struct Shard {
        var table = HashTable()
        /// Raised by every change, so that a reader that looked twice knows whether it looked at the same table.
        var version: UInt64 = 0
    }

    // SAFETY: changed by the applier under the shard's lock; read by the applier without, by others under it.
    private let shards: UnsafeMutablePointer<Shard>
    private let locks = ShardLocks()

    init() {
        self.shards = .allocate(capacity: Shards.count)
        for shard in 0 ..< Shards.count { (self.shards + shard).initialize(to: Shard()) }
    }

    func destroy() {
        for shard in 0 ..< Shards.count { self.shards[shard].table.destroy() }
        self.shards.deallocate()
        self.locks.destroy()
    }

    var bytes: Int { (0 ..< Shards.count).reduce(0) { $0 + self.shards[$1].table.bytes } }

    /// The table of a hash; for the applier.
    func table(_ hash: UInt64) -> HashTable { self.shards[Shards.shard(hash)].table }

    /// What a reader saw of one shard.
    struct Candidate {
        /// The entry asked for; `nil` when there are not as many.
        var profile: ProfileRef?
        var version: UInt64
        var appliedLSN: UInt64
    }

    /// The `number`th entry (from 0) under a hash; takes and releases the shard's lock.
    func candidate(_ hash: UInt64, _ number: Int, appliedLSN: () -> UInt64) -> Candidate {
        let shard = Shards.shard(hash)
        let tag = Shards.tag(hash)
        return self.locks.with(shard) {
            var position = self.shards[shard].table.start(tag)
            var value: UInt32 = 0
            for _ in 0 ... number {
                value = self.shards[shard].table.next(tag, from: &position)
                if value == 0 { break }
            }
            return Candidate(
                profile: value == 0 ? nil : ProfileRef(rawValue: value),
                version: self.shards[shard].version, appliedLSN: appliedLSN())
        }
    }

    /// Adds a profile under two hashes at once; `publish` runs before either can be seen.
    func insert(_ one: UInt64, _ other: UInt64, _ profile: ProfileRef, publish: () -> Void) {
        // Larger tables are filled before the lock: readers wait for a swap, never for a rehash.
        self.makeRoom(Shards.shard(one))
        self.makeRoom(Shards.shard(other))
        self.locks.with(Shards.shard(one), Shards.shard(other)) {
            self.insertLocked(one, profile)
            self.insertLocked(other, profile)
            publish()
        }
    }

    private func insertLocked(_ hash: UInt64, _ profile: ProfileRef) {
        let shard = Shards.shard(hash)
        self.shards[shard].table.insert(Shards.tag(hash), profile.rawValue)
        self.shards[shard].version &+= 1
    }

    func forEach(_ body: (_ shard: Int, _ tag: UInt32, _ profile: ProfileRef) -> Void) {
        for shard in 0 ..< Shards.count {
            self.shards[shard].table.forEach { body(shard, $0, ProfileRef(rawValue: $1)) }
        }
    }

    /// Makes room for the two entries that one call may add to a shard.
    private func makeRoom(_ shard: Int) {
        guard self.shards[shard].table.hasNoRoomForTwo else { return }
        let larger = self.shards[shard].table.grown()
        let old = self.shards[shard].table
        self.locks.with(shard) {
            self.shards[shard].table = larger
            self.shards[shard].version &+= 1
        }
        old.destroy()
    }
}
