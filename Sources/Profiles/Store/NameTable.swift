import Bytes

// SAFETY: `core` is allocated by `init` and freed by `destroy`; its storage is allocated for the
// first name. A reader follows it only with a number that it learnt under a lock, which the applier
// took after it had written the name.

/// The names of one project's attributes and events, each kept once and numbered from 0 in the
/// order of their arrival.
///
/// The applier adds; a reader may resolve a number that it learnt under a shard lock, without one:
/// names never move, and a number is published only after its name. A table without names takes 32
/// bytes: most projects have few profiles.
struct NameTable {
    /// Longest name in bytes: a slot is a length byte and the name. The contract allows 30.
    static let nameBytesMax = 31
    private static let slotBytes = Self.nameBytesMax + 1
    /// Names in the first piece of memory; the second has as many, each further one twice those of
    /// the one before.
    private static let firstChunkNames = 16
    private static let firstChunkBits = 4
    /// Pieces for the names that 16 bits can number.
    private static let chunksMax = 16 - Self.firstChunkBits + 1
    /// Names that 16 bits can number.
    static let namesMax = 65_535

    /// Names found last, by some of their bytes: most calls name what others named just before, and
    /// need no keyed hash.
    private static let recentCount = 64

    private struct Storage {
        var recent = InlineArray<64, UInt16>(repeating: 0)
        var table = HashTable()
        var chunks = InlineArray<13, UnsafeMutableRawPointer?>(repeating: nil)
        /// The same as `chunks[0]`.
        var firstChunk: UnsafeMutableRawPointer?
    }

    private struct Core {
        var count = 0
        var chunkCount = 0
        /// `nil`: there was never a name.
        var storage: UnsafeMutablePointer<Storage>?
    }

    private let core: UnsafeMutablePointer<Core>
    /// Bytes of all tables of a store.
    private let totalBytes: UnsafeMutablePointer<Int>
    private let hash: KeyedHash

    /// - Parameter totalBytes: Counts the bytes of all tables that share it.
    init(hash: KeyedHash, totalBytes: UnsafeMutablePointer<Int>) {
        self.hash = hash
        self.totalBytes = totalBytes
        self.core = .allocate(capacity: 1)
        self.core.initialize(to: Core())
    }

    func destroy() {
        self.removeAll()
        self.core.deallocate()
    }

    /// Removes every name and frees the memory; no reader may be left.
    func removeAll() {
        guard let storage = self.core.pointee.storage else { return }
        self.totalBytes.pointee -= self.bytes
        storage.pointee.table.destroy()
        for chunk in 0 ..< self.core.pointee.chunkCount {
            let bytes = Self.names(inChunk: chunk) * Self.slotBytes
            storage.pointee.chunks[chunk]?.initializeMemory(
                as: UInt8.self, repeating: 0, count: bytes)
            storage.pointee.chunks[chunk]?.deallocate()
        }
        storage.deallocate()
        self.core.pointee = Core()
    }

    /// Names so far; for the applier.
    @inline(__always)
    var count: Int { self.core.pointee.count }

    /// Bytes of the table and the names.
    var bytes: Int {
        guard let storage = self.core.pointee.storage else { return 0 }
        let names = (0 ..< self.core.pointee.chunkCount).reduce(0) {
            $0 + Self.names(inChunk: $1)
        }
        return MemoryLayout<Storage>.stride + storage.pointee.table.bytes + names * Self.slotBytes
    }

    private static func names(inChunk chunk: Int) -> Int {
        Self.firstChunkNames << max(chunk - 1, 0)
    }

    /// The name with a number; empty for one that was never given, as of a project that is gone.
    @inline(__always)
    func name(_ number: Int) -> UnsafeRawBufferPointer {
        guard let slot = self.slot(number) else { return .none }
        return Self.text(slot)
    }

    @inline(__always)
    private static func text(_ slot: UnsafeMutableRawPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: slot + 1, count: Int(slot.load(as: UInt8.self)))
    }

    /// The number of a name; `nil` if it was never added.
    func find(_ name: UnsafeRawBufferPointer) -> Int? {
        guard let storage = self.core.pointee.storage else { return nil }
        let bucket = Self.bucket(name)
        let recent = Int(storage.pointee.recent[bucket])
        // What was found before may have been rolled back since, or name another text.
        if recent < self.core.pointee.count {
            // SAFETY: a number below `count` has a slot.
            let slot = Self.slot(recent, storage).unsafelyUnwrapped
            if Self.text(slot).equals(name) { return recent }
        }
        guard let found = self.search(name, storage) else { return nil }
        storage.pointee.recent[bucket] = UInt16(found)
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

    private func search(
        _ name: UnsafeRawBufferPointer, _ storage: UnsafeMutablePointer<Storage>
    ) -> Int? {
        let tag = Shards.tag(self.hash.name(name))
        var position = storage.pointee.table.start(tag)
        while true {
            let value = storage.pointee.table.next(tag, from: &position)
            guard value != 0 else { return nil }
            if self.name(Int(value) - 1).equals(name) { return Int(value) - 1 }
        }
    }

    /// Adds a name that is not there yet; there must be capacity for it.
    func add(_ name: UnsafeRawBufferPointer) -> Int {
        let number = self.core.pointee.count
        precondition(
            number < Self.namesMax && name.count <= Self.nameBytesMax, "checked by the caller")
        self.totalBytes.pointee -= self.bytes
        let storage = self.preparedStorage(for: number)
        guard let slot = self.slot(number) else { preconditionFailure("it was just prepared") }
        var writer = RawWriter(slot)
        writer.write(UInt8(name.count))
        writer.write(name)
        storage.pointee.table.insertGrowing(Shards.tag(self.hash.name(name)), UInt32(number) + 1)
        self.core.pointee.count = number + 1
        self.totalBytes.pointee += self.bytes
        return number
    }

    private func preparedStorage(for number: Int) -> UnsafeMutablePointer<Storage> {
        let storage: UnsafeMutablePointer<Storage>
        if let present = self.core.pointee.storage {
            storage = present
        } else {
            storage = .allocate(capacity: 1)
            storage.initialize(to: Storage())
            self.core.pointee.storage = storage
        }
        let chunk = Self.position(number).chunk
        if chunk == self.core.pointee.chunkCount {
            let bytes = Self.names(inChunk: chunk) * Self.slotBytes
            let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 16)
            // A number that was never given names an empty text, and not what memory had before.
            memory.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
            storage.pointee.chunks[chunk] = memory
            if chunk == 0 { storage.pointee.firstChunk = storage.pointee.chunks[0] }
            self.core.pointee.chunkCount += 1
        }
        return storage
    }

    /// Rolls back the names from number `count` on: those of a call that was rejected, which no
    /// reader has seen.
    @inline(__always)
    func truncate(to count: Int) {
        if self.core.pointee.count > count { self.removeLast(to: count) }
    }

    private func removeLast(to count: Int) {
        guard let storage = self.core.pointee.storage else { return }
        while self.core.pointee.count > count {
            let number = self.core.pointee.count - 1
            let tag = Shards.tag(self.hash.name(self.name(number)))
            storage.pointee.table.remove(tag, UInt32(number) + 1)
            self.core.pointee.count = number
        }
    }

    /// The piece of a number, and its index in there.
    @inline(__always)
    private static func position(_ number: Int) -> (chunk: Int, index: Int) {
        let bits = Int.bitWidth - (number | (Self.firstChunkNames - 1)).leadingZeroBitCount
        let chunk = bits - Self.firstChunkBits
        return (chunk, chunk == 0 ? number : number - (1 << (bits - 1)))
    }

    @inline(__always)
    private func slot(_ number: Int) -> UnsafeMutableRawPointer? {
        guard let storage = self.core.pointee.storage else { return nil }
        return Self.slot(number, storage)
    }

    @inline(__always)
    private static func slot(
        _ number: Int, _ storage: UnsafeMutablePointer<Storage>
    ) -> UnsafeMutableRawPointer? {
        // Most calls name what came first, and need no position.
        if number < Self.firstChunkNames {
            return storage.pointee.firstChunk.map { $0 + number * Self.slotBytes }
        }
        let (chunk, index) = Self.position(number)
        return storage.pointee.chunks[chunk].map { $0 + index * Self.slotBytes }
    }
}
