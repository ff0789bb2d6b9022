// One open-addressing table for everything that is found by a keyed hash. It keeps 32 bits of the
// hash and a 32-bit value, 8 bytes an entry; a lookup compares the keys themselves, so a
// shared tag costs time only.
//
// SAFETY: `slots` has `mask + 1` elements, a power of two, and every position is masked with it;
// allocated by `init`, replaced when the table grows, freed by `destroy`. The owner provides the
// lock.

/// Linear probing over entries `value << 32 | tag`; value 0 is an empty slot. Several entries may
/// have one tag.
///
/// - Complexity: O(1) expected at a load of at most 3/4; growing is O(entries).
struct HashTable {
    /// Slots of an empty table, a power of two.
    static let capacityMin = 16

    private var slots: UnsafeMutablePointer<UInt64>
    private var mask: Int
    private(set) var count: Int

    init(capacity: Int = Self.capacityMin) {
        self.slots = .allocate(capacity: capacity)
        self.slots.initialize(repeating: 0, count: capacity)
        self.mask = capacity - 1
        self.count = 0
    }

    /// Frees the slots; the table may not be used again.
    func destroy() {
        self.slots.deallocate()
    }

    /// A table of entries in the layout of its slots, `value << 32 | tag`.
    init(entries: UnsafeBufferPointer<UInt64>) {
        var capacity = Self.capacityMin
        while (entries.count + 1) * 4 > capacity * 3 { capacity *= 2 }
        self.init(capacity: capacity)
        for entry in entries { self.insert(UInt32(truncatingIfNeeded: entry), UInt32(entry >> 32)) }
    }

    var capacity: Int { self.mask + 1 }
    /// Bytes of its slots.
    var bytes: Int { self.capacity * MemoryLayout<UInt64>.stride }
    /// Whether one more entry needs `grown()` first.
    var isFull: Bool { (self.count + 1) * 4 > self.capacity * 3 }

    /// Whether `additional` more entries fit without `grown()`.
    func hasCapacity(for additional: Int) -> Bool {
        (self.count + additional) * 4 <= self.capacity * 3
    }

    /// Where a search for `tag` begins.
    @inline(__always)
    func start(_ tag: UInt32) -> Int { Int(tag) & self.mask }

    /// The next value under `tag` from `position` on, which moves past it; 0 when there is none.
    @inline(__always)
    func next(_ tag: UInt32, from position: inout Int) -> UInt32 {
        while true {
            let entry = self.slots[position]
            guard entry != 0 else { return 0 }
            position = (position + 1) & self.mask
            if UInt32(truncatingIfNeeded: entry) == tag { return UInt32(entry >> 32) }
        }
    }

    /// The slot at which a search for `tag` begins; read to have it in the cache.
    @inline(__always)
    func firstSlot(_ tag: UInt32) -> UInt64 { self.slots[self.start(tag)] }

    /// Adds an entry; there must be a free slot.
    mutating func insert(_ tag: UInt32, _ value: UInt32) {
        precondition(!self.isFull && value != 0, "grow before inserting, and insert something")
        var position = self.start(tag)
        while self.slots[position] != 0 { position = (position + 1) & self.mask }
        self.slots[position] = UInt64(value) << 32 | UInt64(tag)
        self.count += 1
    }

    /// Adds an entry, growing first if needed; for tables that only the applier reads.
    mutating func insertGrowing(_ tag: UInt32, _ value: UInt32) {
        if self.isFull {
            let larger = self.grown()
            self.destroy()
            self = larger
        }
        self.insert(tag, value)
    }

    /// Removes an entry that is there, and closes the gap: no tombstones, so a search never slows
    /// down with age.
    mutating func remove(_ tag: UInt32, _ value: UInt32) {
        var hole = self.start(tag)
        let wanted = UInt64(value) << 32 | UInt64(tag)
        while self.slots[hole] != wanted {
            precondition(self.slots[hole] != 0, "an entry that is removed must be there")
            hole = (hole + 1) & self.mask
        }
        var probe = (hole + 1) & self.mask
        while self.slots[probe] != 0 {
            let home = self.start(UInt32(truncatingIfNeeded: self.slots[probe]))
            if (probe - home) & self.mask >= (probe - hole) & self.mask {
                self.slots[hole] = self.slots[probe]
                hole = probe
            }
            probe = (probe + 1) & self.mask
        }
        self.slots[hole] = 0
        self.count -= 1
    }

    /// A table of twice the slots with the same entries; this one stays as it is.
    func grown() -> HashTable {
        var larger = HashTable(capacity: self.capacity * 2)
        self.forEach { larger.insert($0, $1) }
        return larger
    }

    /// Every entry, in no order that means anything.
    func forEach(_ body: (_ tag: UInt32, _ value: UInt32) -> Void) {
        for position in 0 ... self.mask where self.slots[position] != 0 {
            body(
                UInt32(truncatingIfNeeded: self.slots[position]), UInt32(self.slots[position] >> 32)
            )
        }
    }
}
