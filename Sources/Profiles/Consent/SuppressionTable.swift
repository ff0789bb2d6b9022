import Bytes

/// 128 keyed bits that stand for a (project, channel, address): the address itself enters neither
/// the log nor the state.
package struct AddressHash: Equatable, Sendable, BitwiseCopyable {
    package var low: UInt64
    package var high: UInt64

    package init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }
}

/// The addresses that are not sent to, with the reasons: 64 open-addressing tables, each with its
/// lock. An address without a reason has no slot.
///
/// Changed by the applier under the shard's lock, read by loops under it.
struct SuppressionTable {
    /// Slots of an empty table, a power of two.
    private static let capacityMin = 16

    private struct Slot: BitwiseCopyable {
        var address = AddressHash(low: 0, high: 0)
        /// Whose it is; in the gap behind the reasons.
        var project = ProjectID(rawValue: 0)
        /// Empty: a free slot.
        var reasons = SuppressionReasons()
    }

    private struct Shard {
        var slots: UnsafeMutablePointer<Slot>
        var mask: Int
        var count = 0
    }

    // SAFETY: made once, never moved; a shard's slots are replaced and freed under its lock.
    private let shards: UnsafeMutablePointer<Shard>
    private let locks = ShardLocks()

    init() {
        self.shards = .allocate(capacity: Shards.count)
        for shard in 0 ..< Shards.count {
            (self.shards + shard).initialize(to: Self.emptyShard(capacity: Self.capacityMin))
        }
    }

    func destroy() {
        for shard in 0 ..< Shards.count { self.shards[shard].slots.deallocate() }
        self.shards.deallocate()
        self.locks.destroy()
    }

    private static func emptyShard(capacity: Int) -> Shard {
        let slots = UnsafeMutablePointer<Slot>.allocate(capacity: capacity)
        slots.initialize(repeating: Slot(), count: capacity)
        return Shard(slots: slots, mask: capacity - 1)
    }

    /// Suppressed addresses; for the applier.
    var count: Int { (0 ..< Shards.count).reduce(0) { $0 + self.shards[$1].count } }
    /// Those of one shard; for the applier.
    func count(in shard: Int) -> Int { self.shards[shard].count }
    /// As `count`. Any thread; one lock after the other.
    var lockedCount: Int {
        (0 ..< Shards.count).reduce(0) { sum, shard in
            sum + self.locks.with(shard) { self.shards[shard].count }
        }
    }
    /// Bytes of the tables; for the applier.
    var bytes: Int {
        (0 ..< Shards.count).reduce(0) {
            $0 + (self.shards[$1].mask + 1) * MemoryLayout<Slot>.stride
        }
    }

    /// The reasons that an address is suppressed for. Any thread.
    func reasons(_ project: ProjectID, _ address: AddressHash) -> SuppressionReasons {
        let shard = Self.shard(address)
        return self.locks.with(shard) {
            self.shards[shard].slots[self.position(project, address, shard)].reasons
        }
    }

    /// The reasons of several addresses, at one moment, in which `body` runs too. Any thread.
    func reasons(
        _ project: ProjectID, _ addresses: [AddressHash], _ body: () -> Void
    ) -> [SuppressionReasons] {
        let shards = addresses.reduce(0 as UInt64) { $0 | 1 << UInt64(Self.shard($1)) }
        return self.locks.with(mask: shards) {
            body()
            return addresses.map { address in
                let shard = Self.shard(address)
                return self.shards[shard].slots[self.position(project, address, shard)].reasons
            }
        }
    }

    /// Replaces the reasons; an empty set removes the address, and so `former` is removed at the
    /// same time. `publish` runs before a reader can see the change.
    ///
    /// - Returns: By how much the number of addresses changed.
    @discardableResult
    func set(
        _ project: ProjectID, _ address: AddressHash, _ reasons: SuppressionReasons,
        replacing former: AddressHash? = nil,
        publish: () -> Void
    ) -> Int {
        var shards: UInt64 = 1 << UInt64(Self.shard(address))
        if let former { shards |= 1 << UInt64(Self.shard(former)) }
        return self.locks.with(mask: shards) {
            var change = 0
            if let former { change += self.put(project, former, []) }
            change += self.put(project, address, reasons)
            publish()
            return change
        }
    }

    /// Replaces the reasons under the lock of the shard.
    private func put(
        _ project: ProjectID, _ address: AddressHash, _ reasons: SuppressionReasons
    ) -> Int {
        let shard = Self.shard(address)
        if !reasons.isEmpty,
            (self.shards[shard].count + 1) * 4 > (self.shards[shard].mask + 1) * 3
        {
            self.grow(shard)
        }
        let position = self.position(project, address, shard)
        let wasThere = !self.shards[shard].slots[position].reasons.isEmpty
        switch (wasThere, reasons.isEmpty) {
        case (_, false):
            self.shards[shard].slots[position] = Slot(
                address: address, project: project, reasons: reasons)
            if !wasThere { self.shards[shard].count += 1 }
            return wasThere ? 0 : 1
        case (true, true):
            self.remove(at: position, shard)
            return -1
        case (false, true): return 0
        }
    }

    /// The slot of an address, or the free one that it would take.
    private func position(
        _ project: ProjectID, _ address: AddressHash, _ shard: Int
    ) -> Int {
        let mask = self.shards[shard].mask
        var position = Int(truncatingIfNeeded: address.low) & mask
        while !self.shards[shard].slots[position].reasons.isEmpty,
            self.shards[shard].slots[position].address != address
                || self.shards[shard].slots[position].project != project
        {
            position = (position + 1) & mask
        }
        return position
    }

    private func grow(_ shard: Int) {
        self.resize(shard, capacity: (self.shards[shard].mask + 1) * 2)
    }

    /// Frees the memory of a table that has few addresses left, so that looking through it costs
    /// what they do.
    func shrink(_ shard: Int) {
        let count = self.shards[shard].count
        var capacity = Self.capacityMin
        while capacity < count * 2 { capacity *= 2 }
        guard capacity * 4 <= self.shards[shard].mask + 1 else { return }
        self.locks.with(shard) { self.resize(shard, capacity: capacity) }
    }

    /// Makes a table of other size with the same addresses; under the lock of the shard.
    private func resize(_ shard: Int, capacity: Int) {
        let old = self.shards[shard]
        self.shards[shard] = Self.emptyShard(capacity: capacity)
        self.shards[shard].count = old.count
        for index in 0 ... old.mask where !old.slots[index].reasons.isEmpty {
            let slot = old.slots[index]
            self.shards[shard].slots[self.position(slot.project, slot.address, shard)] = slot
        }
        old.slots.deallocate()
    }

    /// Frees a slot and closes the gap: no marks of removal, so a search never slows down with age.
    private func remove(at position: Int, _ shard: Int) {
        let slots = self.shards[shard].slots
        let mask = self.shards[shard].mask
        var hole = position
        var probe = (hole + 1) & mask
        while !slots[probe].reasons.isEmpty {
            let home = Int(truncatingIfNeeded: slots[probe].address.low) & mask
            if (probe - home) & mask >= (probe - hole) & mask {
                slots[hole] = slots[probe]
                hole = probe
            }
            probe = (probe + 1) & mask
        }
        slots[hole] = Slot()
        self.shards[shard].count -= 1
    }

    /// The shard of an address.
    static func shard(_ address: AddressHash) -> Int { Shards.shard(address.high) }

    /// Every address, in no defined order: for the digest.
    func forEach(_ body: (ProjectID, AddressHash, SuppressionReasons) -> Void) {
        for shard in 0 ..< Shards.count { self.forEach(in: shard, body) }
    }

    /// Every address of one shard.
    func forEach(in shard: Int, _ body: (ProjectID, AddressHash, SuppressionReasons) -> Void) {
        for index in 0 ... self.shards[shard].mask
        where !self.shards[shard].slots[index].reasons.isEmpty {
            let slot = self.shards[shard].slots[index]
            body(slot.project, slot.address, slot.reasons)
        }
    }
}
