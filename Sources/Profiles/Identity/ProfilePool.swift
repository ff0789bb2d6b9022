/// The headers of all profiles, in 64 shards; a header never moves, and its memory is never
/// anything else.
struct ProfilePool {
    /// Headers that are made capacity for at once.
    static let chunkSlots = 256

    private struct Shard {
        var chunks: UnsafeMutablePointer<UnsafeMutablePointer<ProfileHeader>>
        var chunkCapacity = 4
        var chunkCount = 0
        var count = 0
        /// The slot that became vacant last, as a `ProfileRef`; 0: every slot is in use. Each
        /// vacant header names the next one.
        var vacant: UInt32 = 0
    }

    // SAFETY: readers look at `chunks` under the shard's lock only; the applier replaces it under
    // that lock.
    private let shards: UnsafeMutablePointer<Shard>

    init() {
        self.shards = .allocate(capacity: Shards.count)
        for shard in 0 ..< Shards.count {
            (self.shards + shard).initialize(to: Shard(chunks: .allocate(capacity: 4)))
        }
    }

    func destroy() {
        for shard in 0 ..< Shards.count {
            for chunk in 0 ..< self.chunkCount(shard) {
                self.shards[shard].chunks[chunk].deallocate()
            }
            self.shards[shard].chunks.deallocate()
        }
        self.shards.deallocate()
    }

    /// The header of a profile: for the applier at any time, for a reader under the shard's lock.
    @inline(__always)
    func header(_ profile: ProfileRef) -> UnsafeMutablePointer<ProfileHeader> {
        let slot = profile.slot
        return self.shards[profile.shard].chunks[slot / Self.chunkSlots] + slot % Self.chunkSlots
    }

    /// Profiles in a shard: slots `0 ..< count`.
    func count(_ shard: Int) -> Int { self.shards[shard].count }

    /// The slot of a shard that is used next, as a `ProfileRef`: of a profile whose project is
    /// gone; 0: a new one.
    func vacant(_ shard: Int) -> UInt32 { self.shards[shard].vacant }

    /// Notes that a slot is the next to be used, or with another profile's `nextVacant` that it is
    /// no more; for the applier.
    func setVacant(_ shard: Int, _ profile: UInt32) {
        self.shards[shard].vacant = profile
    }

    /// Takes the newest profile of a shard back: nothing refers to it any more.
    func removeLast(shard: Int, locks: ShardLocks) {
        locks.applying(shard) { self.shards[shard].count -= 1 }
    }

    /// Adds a profile under its shard's lock.
    func add(_ header: ProfileHeader, shard: Int, locks: ShardLocks) -> ProfileRef {
        let slot = self.shards[shard].count
        precondition(
            slot < ProfileRef.slotsMax, "a shard is full: admission must refuse long before")
        if slot == self.chunkCount(shard) * Self.chunkSlots { self.addChunk(shard, locks: locks) }
        let profile = ProfileRef(shard: shard, slot: slot)
        locks.applying(shard) {
            self.header(profile).initialize(to: header)
            self.shards[shard].count = slot + 1
        }
        return profile
    }

    /// Makes a shard of an empty pool as large as in a snapshot, while there are no readers; the
    /// headers are the caller's to initialise.
    func load(_ shard: Int, count: Int, vacant: UInt32, locks: ShardLocks) {
        precondition(
            self.shards[shard].count == 0 && count <= ProfileRef.slotsMax, "checked by the caller")
        while self.chunkCount(shard) * Self.chunkSlots < count {
            self.addChunk(shard, locks: locks)
        }
        self.shards[shard].count = count
        self.shards[shard].vacant = vacant
    }

    /// Bytes of headers reserved.
    var bytes: Int {
        let chunks = (0 ..< Shards.count).reduce(0) { $0 + self.chunkCount($1) }
        return chunks * Self.chunkSlots * MemoryLayout<ProfileHeader>.stride
    }

    private func chunkCount(_ shard: Int) -> Int {
        self.shards[shard].chunkCount
    }

    private func addChunk(_ shard: Int, locks: ShardLocks) {
        let used = self.chunkCount(shard)
        let chunk = UnsafeMutablePointer<ProfileHeader>.allocate(capacity: Self.chunkSlots)
        let old = self.shards[shard].chunks
        defer { self.shards[shard].chunkCount = used + 1 }
        guard used == self.shards[shard].chunkCapacity else {
            return locks.applying(shard) { old[used] = chunk }
        }
        let larger = UnsafeMutablePointer<UnsafeMutablePointer<ProfileHeader>>.allocate(
            capacity: used * 2)
        larger.initialize(from: old, count: used)
        (larger + used).initialize(to: chunk)
        locks.applying(shard) {
            self.shards[shard].chunks = larger
            self.shards[shard].chunkCapacity = used * 2
        }
        old.deallocate()
    }
}
