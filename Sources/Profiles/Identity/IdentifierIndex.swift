/// Which profile an identifier names: 64 tables of (tag of its hash, `ProfileRef`), each with its
/// lock.
///
/// A table keeps no identifier; a lookup compares with the identifiers of the profile,
/// under its lock.
struct IdentifierIndex {
    private struct Shard {
        var table = HashTable()
        /// Raised by every change, so that a reader that looked twice knows whether it looked at
        /// the same table.
        var version: UInt64 = 0
    }

    // SAFETY: changed by the applier under the shard's lock; read by the applier without, by others
    // under it.
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

    /// Entries of a shard; for the applier.
    func count(_ shard: Int) -> Int { self.shards[shard].table.count }

    /// Gives a shard of an empty index its entries, while there are no readers.
    func load(_ shard: Int, _ table: HashTable) {
        self.shards[shard].table.destroy()
        self.shards[shard].table = table
    }

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

    /// One entry that a change adds or takes away.
    struct Change {
        var hash: UInt64
        var profile: ProfileRef
        var isRemoval: Bool
    }

    /// Carries changes out at once; `body` runs under the locks of their shards, before any of them
    /// can be seen.
    func apply(_ changes: [Change], _ body: () -> Void) {
        var mask: UInt64 = 0
        for change in changes {
            mask |= 1 << UInt64(Shards.shard(change.hash))
            // Larger tables are filled before the locks: readers wait for a swap, never for a
            // rehash.
            if !change.isRemoval {
                self.makeHeadroom(Shards.shard(change.hash), for: changes.count)
            }
        }
        self.locks.holding(mask: mask) {
            body()
            for change in changes { self.change(change) }
        }
    }

    /// Everything that is under a hash or was spread from it, at most `max` entries; takes and
    /// releases the shard's lock. `appliedLSN` is read inside.
    func candidates(_ hash: UInt64, max: Int, isSpread: Bool = true, appliedLSN: () -> UInt64) -> (
        profiles: [ProfileRef], appliedLSN: UInt64
    ) {
        let shard = Shards.shard(hash)
        var profiles: [ProfileRef] = []
        let applied = self.locks.with(shard) { () -> UInt64 in
            for probe in 0 ..< (isSpread ? Self.probesMax : 1) {
                let tag = Shards.tag(hash) &+ probe &* Self.probeStep
                var position = self.shards[shard].table.start(tag)
                while profiles.count < max {
                    let value = self.shards[shard].table.next(tag, from: &position)
                    if value == 0 { break }
                    profiles.append(ProfileRef(rawValue: value))
                }
            }
            return appliedLSN()
        }
        return (profiles, applied)
    }

    // MARK: Hashes of many

    /// Tags over which the profiles of one hash are spread: a table passes all entries of one tag
    /// whenever it adds another, and a million profiles may have one address.
    private static let probesMax: UInt32 = 256
    /// Odd, and its multiples are far apart.
    private static let probeStep: UInt32 = 0x9E37_79B1

    /// What is added to the tag of a profile's entry.
    private static func offset(of profile: ProfileRef) -> UInt32 {
        ((profile.rawValue &* Self.probeStep) >> 24) &* Self.probeStep
    }

    /// The hash to enter a profile under, of one that many may have: of the same shard.
    static func spread(_ hash: UInt64, for profile: ProfileRef) -> UInt64 {
        hash & ~UInt64(UInt32.max) | UInt64(Shards.tag(hash) &+ Self.offset(of: profile))
    }

    /// The tag of the hash that an entry was spread from.
    static func gathered(_ tag: UInt32, of profile: ProfileRef) -> UInt32 {
        tag &- Self.offset(of: profile)
    }

    /// Runs `body` while nothing can be changed; for readers, who take the profiles' locks after
    /// these.
    func readingAll<Result>(_ body: () -> Result) -> Result {
        self.locks.with(mask: .max, body)
    }

    /// Runs `body` while no reader can look anything up.
    func holdingAll<Result>(_ body: () -> Result) -> Result {
        self.locks.holding(mask: .max, body)
    }

    private func change(_ change: Change) {
        let shard = Shards.shard(change.hash)
        let tag = Shards.tag(change.hash)
        if change.isRemoval {
            self.shards[shard].table.remove(tag, change.profile.rawValue)
        } else {
            self.shards[shard].table.insert(tag, change.profile.rawValue)
        }
        self.shards[shard].version &+= 1
    }

    func forEach(_ body: (_ shard: Int, _ tag: UInt32, _ profile: ProfileRef) -> Void) {
        for shard in 0 ..< Shards.count {
            self.shards[shard].table.forEach { body(shard, $0, ProfileRef(rawValue: $1)) }
        }
    }

    /// Makes headroom for the entries that one change may add to a shard.
    private func makeHeadroom(_ shard: Int, for additional: Int) {
        while !self.shards[shard].table.hasCapacity(for: additional) {
            let larger = self.shards[shard].table.grown()
            let old = self.shards[shard].table
            self.locks.applying(shard) {
                self.shards[shard].table = larger
                self.shards[shard].version &+= 1
            }
            old.destroy()
        }
    }
}
