/// Blocks by the lsns of their events, which only ever ascend: entries are added at the end and
/// removed anywhere.
///
/// A removed entry stays as a gap until there are more gaps than entries.
///
/// - Complexity: O(log entries) to find one, O(1) amortised to add or remove it.
struct FiringQueue {
    struct Entry {
        var lsn: UInt64
        /// 0: removed.
        var block: Handle
    }

    /// Gaps that are left alone, however few entries there are.
    private static let gapsMin = 32

    private(set) var entries: ContiguousArray<Entry> = []
    private(set) var count = 0
    /// No entry before it is there.
    private var head = 0

    var isEmpty: Bool { self.count == 0 }

    /// Bytes of its storage.
    var bytes: Int { self.entries.capacity * MemoryLayout<Entry>.stride }

    /// The entry of the smallest lsn.
    var first: Entry? { self.count == 0 ? nil : self.entries[self.head] }

    mutating func append(_ lsn: UInt64, _ block: Handle) {
        precondition(lsn > self.entries.last?.lsn ?? 0, "events come in the order of their lsns")
        self.entries.append(Entry(lsn: lsn, block: block))
        self.count += 1
        if self.count == 1 { self.head = self.entries.count - 1 }
    }

    /// The first position whose lsn is above this one.
    func position(after lsn: UInt64) -> Int {
        var (low, high) = (self.head, self.entries.count)
        while low < high {
            let middle = (low + high) / 2
            if self.entries[middle].lsn <= lsn { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The first entry behind an lsn.
    func first(after lsn: UInt64) -> Entry? {
        var position = self.position(after: lsn)
        while position < self.entries.count {
            if self.entries[position].block != 0 { return self.entries[position] }
            position += 1
        }
        return nil
    }

    /// The block of an lsn; 0: none.
    func find(_ lsn: UInt64) -> Handle {
        guard lsn > 0 else { return 0 }
        let position = self.position(after: lsn - 1)
        guard position < self.entries.count, self.entries[position].lsn == lsn else { return 0 }
        return self.entries[position].block
    }

    /// Removes an entry that is there.
    mutating func remove(_ lsn: UInt64) {
        let position = self.position(after: lsn - 1)
        precondition(
            position < self.entries.count && self.entries[position].lsn == lsn
                && self.entries[position].block != 0, "what is removed must be there")
        self.entries[position].block = 0
        self.count -= 1
        while self.head < self.entries.count, self.entries[self.head].block == 0 { self.head += 1 }
        let gaps = self.entries.count - self.count
        guard gaps > Self.gapsMin, gaps > self.count else { return }
        self.entries.removeAll { $0.block == 0 }
        self.head = 0
        // A queue that was long once does not keep its storage for ever.
        if self.entries.capacity > 4 * (self.count + Self.gapsMin) {
            self.entries = ContiguousArray(self.entries)
        }
    }

    func forEach(_ body: (Entry) -> Void) {
        for entry in self.entries where entry.block != 0 { body(entry) }
    }
}
