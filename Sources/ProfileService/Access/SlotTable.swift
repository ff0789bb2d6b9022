// SAFETY: `base` has `count` elements, all of them initialised, and is freed by deinit. The table
// is used by its owner's thread only, and a pointer to an element only until the table grows.

/// Elements by their slot, in memory that only grows: as much as the greatest slot so far needs.
///
/// An array that is a property of a class costs two atomic operations at each access. What it moves
/// when it grows stays in freed memory; here it is overwritten, as it may be secret.
struct SlotTable<Element: BitwiseCopyable>: ~Copyable {
    private var base: UnsafeMutablePointer<Element>
    private(set) var count = 0
    private let empty: Element

    /// - Parameter empty: What a slot holds at first.
    init(empty: Element) {
        self.empty = empty
        self.base = .allocate(capacity: 0)
    }

    deinit { Self.free(self.base, self.count) }

    /// Makes sure that there is a slot.
    @inline(__always)
    mutating func reach(_ slot: Int) {
        if slot >= self.count { self.grow(to: slot) }
    }

    @inline(never)
    private mutating func grow(to slot: Int) {
        let count = max(slot + 1, self.count * 2)
        let next = UnsafeMutablePointer<Element>.allocate(capacity: count)
        next.initialize(from: self.base, count: self.count)
        (next + self.count).initialize(repeating: self.empty, count: count - self.count)
        Self.free(self.base, self.count)
        (self.base, self.count) = (next, count)
    }

    private static func free(_ base: UnsafeMutablePointer<Element>, _ count: Int) {
        UnsafeMutableRawBufferPointer(
            start: base, count: count * MemoryLayout<Element>.stride
        ).wipe()
        base.deallocate()
    }

    /// - Precondition: The slot is below `count`.
    @inline(__always)
    subscript(slot: Int) -> UnsafeMutablePointer<Element> {
        precondition(slot < self.count, "a slot is reached before it is used")
        return self.base + slot
    }
}
