import Bytes

/// The names of one project's attributes and events, each kept once and numbered from 0 in the
/// order of their arrival.
///
/// The applier adds; a reader may resolve a number that it learnt under a shard lock, without one:
/// names never move, and a number is published only after its name.
struct NameTable {
    /// Longest name in bytes: a slot is a length byte and the name. The contract allows 30.
    static let nameBytesMax = 31
    /// Names in one piece of memory.
    private static let chunkNames = 1_024
    /// Names that 16 bits can number.
    static let namesMax = 65_535

    /// Names found last, by some of their bytes: most calls name what others named just before, and
    /// need no keyed hash.
    private static let recentCount = 64

    private struct Core {
        var recent = InlineArray<64, UInt16>(repeating: 0)
        var table = HashTable()
        var count = 0
        var chunkCount = 0
    }

    private let core: UnsafeMutablePointer<Core>
    private let chunks: UnsafeMutablePointer<UnsafeMutableRawPointer?>
    private let hash: KeyedHash

    init(hash: KeyedHash) {
        self.hash = hash
        self.core = .allocate(capacity: 1)
        self.core.initialize(to: Core())
        let capacity = (Self.namesMax + Self.chunkNames) / Self.chunkNames
        self.chunks = .allocate(capacity: capacity)
        self.chunks.initialize(repeating: nil, count: capacity)
    }

    func destroy() {
        self.core.pointee.table.destroy()
        for chunk in 0 ..< self.core.pointee.chunkCount { self.chunks[chunk]?.deallocate() }
        self.chunks.deallocate()
        self.core.deallocate()
    }

    /// Names so far; for the applier.
    var count: Int { self.core.pointee.count }

    /// Bytes of the table and the names.
    var bytes: Int {
        self.core.pointee.table.bytes
            + self.core.pointee.chunkCount * Self.chunkNames * (Self.nameBytesMax + 1)
    }

    /// The name with a number.
    func name(_ number: Int) -> UnsafeRawBufferPointer {
        let slot = self.slot(number)
        return UnsafeRawBufferPointer(start: slot + 1, count: Int(slot.load(as: UInt8.self)))
    }

    /// The number of a name; `nil` if it was never added.
    func find(_ name: UnsafeRawBufferPointer) -> Int? {
        let bucket = Self.bucket(name)
        let recent = Int(self.core.pointee.recent[bucket])
        // What was found before may have been rolled back since, or name another text.
        if recent < self.core.pointee.count, self.name(recent).equals(name) { return recent }
        guard let found = self.search(name) else { return nil }
        self.core.pointee.recent[bucket] = UInt16(found)
        return found
    }

    /// The position of a name among the recent ones. Unkeyed: clients that choose names for one
    /// place only make them be searched.
    @inline(__always)
    private static func bucket(_ name: UnsafeRawBufferPointer) -> Int {
        guard let last = name.last, let first = name.first else { return 0 }
        let mixed =
            Int(first) &* 5 &+ Int(last) &* 11 &+ Int(name[name.count / 2]) &* 23 &+ name.count
        return mixed % Self.recentCount
    }

    private func search(_ name: UnsafeRawBufferPointer) -> Int? {
        let tag = Shards.tag(self.hash.name(name))
        var position = self.core.pointee.table.start(tag)
        while true {
            let value = self.core.pointee.table.next(tag, from: &position)
            guard value != 0 else { return nil }
            if self.name(Int(value) - 1).equals(name) { return Int(value) - 1 }
        }
    }

    /// Adds a name that is not there yet; there must be capacity for it.
    func add(_ name: UnsafeRawBufferPointer) -> Int {
        let number = self.core.pointee.count
        precondition(
            number < Self.namesMax && name.count <= Self.nameBytesMax, "checked by the caller")
        if number == self.core.pointee.chunkCount * Self.chunkNames {
            self.chunks[number / Self.chunkNames] = .allocate(
                byteCount: Self.chunkNames * (Self.nameBytesMax + 1), alignment: 16)
            self.core.pointee.chunkCount += 1
        }
        var writer = RawWriter(self.slot(number))
        writer.write(UInt8(name.count))
        writer.write(name)
        self.core.pointee.table.insertGrowing(Shards.tag(self.hash.name(name)), UInt32(number) + 1)
        self.core.pointee.count = number + 1
        return number
    }

    /// Rolls back the names from number `count` on: those of a call that was rejected, which no
    /// reader has seen.
    func truncate(to count: Int) {
        while self.core.pointee.count > count {
            let number = self.core.pointee.count - 1
            let tag = Shards.tag(self.hash.name(self.name(number)))
            self.core.pointee.table.remove(tag, UInt32(number) + 1)
            self.core.pointee.count = number
        }
    }

    private func slot(_ number: Int) -> UnsafeMutableRawPointer {
        // SAFETY: `number` was returned by `add`, so its chunk exists.
        self.chunks[number / Self.chunkNames].unsafelyUnwrapped
            + number % Self.chunkNames * (Self.nameBytesMax + 1)
    }
}
