import Bytes

// SAFETY: a handle in a table is that of an entry that its project's list has; only the applier
// changes the tables and the entries in them, under the lock that others read them under.

/// Finds the merges that can be undone: by their id, by the profile that was merged away, and the
/// newest of those that a profile absorbed.
struct MergeTables {
    private let byID = ShardedTable()
    private let byLoser = ShardedTable()
    private let bySurvivor = ShardedTable()
    /// The first of them guards everything here: merges are rare beside other writes, and only
    /// people who look at the profile page read them.
    private let locks = ShardLocks()
    let slab: Slab
    private let ids: DerivedIDs

    init(slab: Slab, ids: DerivedIDs) {
        self.slab = slab
        self.ids = ids
    }

    func destroy() {
        self.byID.destroy()
        self.byLoser.destroy()
        self.bySurvivor.destroy()
        self.locks.destroy()
    }

    /// Bytes of the tables; the entries are in the slab.
    var bytes: Int { self.byID.bytes + self.byLoser.bytes + self.bySurvivor.bytes }

    @inline(__always)
    func entry(_ block: Handle) -> MergeEntry { MergeEntry(self.slab.pointer(block)) }

    /// Changes an entry in place.
    func change(_ block: Handle, _ body: (inout MergeEntry) -> Void) {
        self.changing {
            var entry = self.entry(block)
            body(&entry)
            entry.write(to: self.slab.pointer(block))
        }
    }

    /// Runs a change of tables or entries while nobody else reads them.
    private func changing(_ body: () -> Void) {
        self.locks.holding(mask: 1, body)
    }

    /// Copies the merges into a profile that can be undone, the newest first. Any thread.
    ///
    /// - Parameter most: How many of them.
    func copies(survivor: ProfileRef, most: Int) -> [MergeEntry] {
        self.locks.with(0) {
            var copies: [MergeEntry] = []
            var next = self.newest(survivor: survivor)
            while next != 0, copies.count < most {
                let entry = self.entry(next)
                copies.append(entry)
                next = entry.older
            }
            return copies
        }
    }

    /// The id that a merge was given.
    func id(of entry: MergeEntry, _ project: ProjectID) -> ProfileID {
        entry.isUndoable
            ? self.ids.merge(of: project, receivedAt: entry.receivedAt, lsn: entry.lsn)
            : self.ids.merge(receivedAt: entry.receivedAt, lsn: entry.lsn)
    }

    // MARK: Finding

    /// The merge with an id; 0: there is none, or no longer.
    func find(_ id: ProfileID, of project: ProjectID) -> Handle {
        self.search(self.byID, Self.hash(id.high)) {
            self.id(of: $0, project) == id
        }
    }

    /// The merge that took a profile away; 0: there is none that can be undone.
    func find(loser: ProfileRef) -> Handle {
        self.search(self.byLoser, Self.hash(UInt64(loser.rawValue))) { $0.loser == loser }
    }

    /// The newest merge into a profile; 0: there is none that can be undone.
    func newest(survivor: ProfileRef) -> Handle {
        self.search(self.bySurvivor, Self.hash(UInt64(survivor.rawValue))) {
            $0.survivor == survivor
        }
    }

    private func search(
        _ sharded: ShardedTable, _ hash: UInt64, _ isWanted: (MergeEntry) -> Bool
    ) -> Handle {
        let table = sharded.table(hash)
        var position = table.start(Shards.tag(hash))
        while true {
            let block = table.next(Shards.tag(hash), from: &position)
            if block == 0 || isWanted(self.entry(block)) { return block }
        }
    }

    /// Neither times, lsns nor references are what clients choose: spread, without a key.
    private static func hash(_ word: UInt64) -> UInt64 {
        let product = (word ^ (word >> 32)) &* 0x9E37_79B9_7F4A_7C15
        return (product ^ (product >> 29)) &* 0xD6E8_FEB8_6659_FD93
    }

    private func idHash(_ entry: MergeEntry) -> UInt64 {
        Self.hash(DerivedIDs.mergeIDHigh(receivedAt: entry.receivedAt, lsn: entry.lsn))
    }

    // MARK: Entries

    /// Adds an entry, the newest of its survivor.
    func insert(_ block: Handle) {
        self.changing { self.insertUnlocked(block) }
    }

    private func insertUnlocked(_ block: Handle) {
        let entry = self.entry(block)
        self.byID.insert(self.idHash(entry), block)
        self.byLoser.insert(Self.hash(UInt64(entry.loser.rawValue)), block)
        let hash = Self.hash(UInt64(entry.survivor.rawValue))
        let newest = self.newest(survivor: entry.survivor)
        if newest != 0 {
            self.bySurvivor.remove(hash, newest)
            self.change(newest) { $0.newer = block }
        }
        self.change(block) { ($0.older, $0.newer) = (newest, 0) }
        self.bySurvivor.insert(hash, block)
    }

    /// Removes an entry, whose own links stay as they are.
    func remove(_ block: Handle) {
        self.changing { self.removeUnlocked(block) }
    }

    private func removeUnlocked(_ block: Handle) {
        let entry = self.entry(block)
        self.byID.remove(self.idHash(entry), block)
        self.byLoser.remove(Self.hash(UInt64(entry.loser.rawValue)), block)
        if entry.older != 0 { self.change(entry.older) { $0.newer = entry.newer } }
        if entry.newer != 0 {
            self.change(entry.newer) { $0.older = entry.older }
        } else {
            let hash = Self.hash(UInt64(entry.survivor.rawValue))
            self.bySurvivor.remove(hash, block)
            if entry.older != 0 { self.bySurvivor.insert(hash, entry.older) }
        }
    }

    /// Brings back the entry that was removed last, between the neighbours that its links name.
    func restore(_ block: Handle) {
        self.changing { self.restoreUnlocked(block) }
    }

    private func restoreUnlocked(_ block: Handle) {
        let entry = self.entry(block)
        self.byID.insert(self.idHash(entry), block)
        self.byLoser.insert(Self.hash(UInt64(entry.loser.rawValue)), block)
        if entry.older != 0 { self.change(entry.older) { $0.newer = block } }
        if entry.newer != 0 {
            self.change(entry.newer) { $0.older = block }
        } else {
            let hash = Self.hash(UInt64(entry.survivor.rawValue))
            if entry.older != 0 { self.bySurvivor.remove(hash, entry.older) }
            self.bySurvivor.insert(hash, block)
        }
    }
}
