// Where everything of variable size in the store lives. Blocks are named by 32-bit handles, half a
// pointer, because a retained event is named three times (its profile's index, the duplicate table,
// the free lists). SAFETY (whole file): chunks are never moved or freed while the slab lives,
// except regions of one large block. Only the applier allocates and frees; a reader may resolve a
// handle that it learnt under a shard lock, since the directory entry was written before that lock
// was released.

/// Names a block of a slab: its offset in units of 16 bytes; 0 is no block.
typealias Handle = UInt32

/// A size-class allocator over chunks of 1 MiB, of which the system gives two at a time; used by
/// one thread.
///
/// - Complexity: allocating and freeing are O(1) but for a new chunk.
struct Slab {
    /// Every block begins on this boundary and is a multiple of it, in bytes.
    static let unitBytes = 16
    /// Bytes of a chunk; 65,536 units, so that a handle's upper half is the chunk.
    static let chunkBytes = 1 << 20
    /// Bytes that the system is asked for, and that they are aligned to: a huge page of x86-64 and
    /// ARM. A scan passes blocks that are far from each other, and is a fifth faster with huge
    /// pages (decision 0552).
    static let regionBytes = 2 << 20
    /// Chunks that a handle can name: 64 GiB in all.
    static let chunksMax = 1 << 16
    /// Largest block that shares a chunk, in units (256 KiB); larger ones get chunks of their own.
    static let classUnitsMax = 1 << 14
    /// 16 exact classes, then 8 in each doubling up to 2^14 units: at most an eighth is lost.
    static let classCount = 16 + 10 * 8

    private struct Core {
        var chunkCount = 0
        /// The second chunk of a region whose first one is in use; 0: there is none.
        var spareChunk = 0
        /// The next unit never used in the chunk being cut up, and how many it has left.
        var nextUnit: UInt32 = 0
        var unitsLeft: UInt32 = 0
        var bytesInUse = 0
        var bytesReserved = 0
        /// Chunk numbers of freed large regions, for reuse at the same length.
        var freeRegions: [(first: Int, count: Int)] = []
    }

    private let core: UnsafeMutablePointer<Core>
    private let directory: UnsafeMutablePointer<UnsafeMutableRawPointer?>
    private let free: UnsafeMutablePointer<Handle>

    init() {
        self.core = .allocate(capacity: 1)
        self.core.initialize(to: Core())
        self.directory = .allocate(capacity: Self.chunksMax)
        self.directory.initialize(repeating: nil, count: Self.chunksMax)
        self.free = .allocate(capacity: Self.classCount)
        self.free.initialize(repeating: 0, count: Self.classCount)
    }

    /// Ends the slab and every block of it.
    func destroy() {
        for chunk in 0 ..< self.core.pointee.chunkCount {
            guard let memory = self.directory[chunk], Self.beginsRegion(memory) else { continue }
            memory.deallocate()
        }
        self.core.deinitialize(count: 1)
        self.core.deallocate()
        self.directory.deallocate()
        self.free.deallocate()
    }

    /// Bytes of blocks in use, rounded up to their classes.
    var bytesInUse: Int { self.core.pointee.bytesInUse }
    /// Bytes taken from the system.
    var bytesReserved: Int { self.core.pointee.bytesReserved }

    /// The memory of a block.
    @inline(__always)
    func pointer(_ handle: Handle) -> UnsafeMutableRawPointer {
        // SAFETY: a handle other than 0 was made by `allocate`, so its chunk is in the directory.
        self.directory[Int(handle >> 16)].unsafelyUnwrapped + Int(handle & 0xFFFF) * Self.unitBytes
    }

    /// A block of at least `bytes` bytes, uninitialised.
    func allocate(_ bytes: Int) -> Handle {
        let units = (bytes + Self.unitBytes - 1) / Self.unitBytes
        guard units <= Self.classUnitsMax else { return self.allocateRegion(bytes) }
        let (index, rounded) = Self.sizeClass(units: units)
        self.core.pointee.bytesInUse += rounded * Self.unitBytes
        let first = self.free[index]
        guard first == 0 else {
            self.free[index] = self.pointer(first).load(as: Handle.self)
            return first
        }
        if self.core.pointee.unitsLeft < rounded { self.startChunk() }
        let handle = self.core.pointee.nextUnit
        self.core.pointee.nextUnit &+= UInt32(rounded)
        self.core.pointee.unitsLeft -= UInt32(rounded)
        return handle
    }

    /// Frees a block that was allocated with the same `bytes`, and zeroes it: erased data must not
    /// remain in free memory, and it is not known which free blocks held data of an erased person.
    /// It costs 10 to 40 ns for blocks of up to 1 KiB (decision 0230).
    func deallocate(_ handle: Handle, bytes: Int) {
        let units = (bytes + Self.unitBytes - 1) / Self.unitBytes
        guard units <= Self.classUnitsMax else {
            return self.deallocateRegion(handle, bytes: bytes)
        }
        let (index, rounded) = Self.sizeClass(units: units)
        self.core.pointee.bytesInUse -= rounded * Self.unitBytes
        self.pointer(handle).initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        self.pointer(handle).storeBytes(of: self.free[index], as: Handle.self)
        self.free[index] = handle
    }

    /// The class of a number of units, and that number rounded up to it.
    @inline(__always)
    static func sizeClass(units: Int) -> (index: Int, units: Int) {
        let wanted = max(units, 1)
        guard wanted > 16 else { return (wanted - 1, wanted) }
        let top = Int.bitWidth - 1 - (wanted - 1).leadingZeroBitCount
        let shift = top - 3
        let eighths = ((wanted - 1) >> shift) + 1
        return (16 + (top - 4) * 8 + (eighths - 9), eighths << shift)
    }

    /// The bytes that a block for `bytes` bytes has.
    static func roundedBytes(_ bytes: Int) -> Int {
        let units = (bytes + Self.unitBytes - 1) / Self.unitBytes
        guard units <= Self.classUnitsMax else {
            return (bytes + Self.chunkBytes - 1) / Self.chunkBytes * Self.chunkBytes
        }
        return Self.sizeClass(units: units).units * Self.unitBytes
    }

    /// The bytes of every chunk, for tests that erased data is gone; memory that was never used has
    /// any content.
    func forEachChunk(_ body: (UnsafeRawBufferPointer) -> Void) {
        for chunk in 0 ..< self.core.pointee.chunkCount {
            guard let memory = self.directory[chunk] else { continue }
            body(UnsafeRawBufferPointer(start: memory, count: Self.chunkBytes))
        }
    }

    /// Cuts what is left of the present chunk into free blocks and starts a new one.
    private func startChunk() {
        var left = Int(self.core.pointee.unitsLeft)
        var unit = self.core.pointee.nextUnit
        while left > 0 {
            // The largest class that fits; within the exact classes this always ends.
            var fitting = min(left, Self.classUnitsMax)
            if fitting > 16, Self.sizeClass(units: fitting).units != fitting {
                let top = Int.bitWidth - 1 - fitting.leadingZeroBitCount
                fitting = (fitting >> (top - 3)) << (top - 3)
            }
            let index = Self.sizeClass(units: fitting).index
            self.pointer(unit).storeBytes(of: self.free[index], as: Handle.self)
            self.free[index] = unit
            unit &+= UInt32(fitting)
            left -= fitting
        }
        let chunk = self.takeChunk()
        // Unit 0 of chunk 0 stays unused, so that no block has the handle 0.
        let skipped: UInt32 = chunk == 0 ? 1 : 0
        self.core.pointee.nextUnit = UInt32(chunk) << 16 + skipped
        self.core.pointee.unitsLeft = UInt32(Self.chunkBytes / Self.unitBytes) - skipped
    }

    /// The next chunk to cut up.
    private func takeChunk() -> Int {
        let spare = self.core.pointee.spareChunk
        self.core.pointee.spareChunk = 0
        guard spare == 0 else { return spare }
        let chunk = self.addChunks(Self.regionBytes / Self.chunkBytes)
        self.directory[chunk + 1] = self.directory[chunk].map { $0 + Self.chunkBytes }
        self.core.pointee.spareChunk = chunk + 1
        return chunk
    }

    /// Whether memory was taken from the system as it is: it is not the second chunk of a region.
    private static func beginsRegion(_ memory: UnsafeMutableRawPointer) -> Bool {
        UInt(bitPattern: memory).isMultiple(of: UInt(self.regionBytes))
    }

    private func addChunks(_ count: Int) -> Int {
        let chunk = self.core.pointee.chunkCount
        precondition(
            chunk + count <= Self.chunksMax, "the slab is full: admission must refuse long before")
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: count * Self.chunkBytes, alignment: Self.regionBytes)
        self.directory[chunk] = memory
        self.core.pointee.chunkCount += count
        self.core.pointee.bytesReserved += count * Self.chunkBytes
        return chunk
    }

    private func allocateRegion(_ bytes: Int) -> Handle {
        let count = (bytes + Self.chunkBytes - 1) / Self.chunkBytes
        self.core.pointee.bytesInUse += count * Self.chunkBytes
        // Chunk 0 begins with the unused unit, so a region may not be the first.
        if self.core.pointee.chunkCount == 0 { self.startChunk() }
        if let index = self.core.pointee.freeRegions.firstIndex(where: { $0.count == count }) {
            let region = self.core.pointee.freeRegions.remove(at: index)
            self.directory[region.first] = .allocate(
                byteCount: count * Self.chunkBytes, alignment: Self.regionBytes)
            self.core.pointee.bytesReserved += count * Self.chunkBytes
            return UInt32(region.first) << 16
        }
        return UInt32(self.addChunks(count)) << 16
    }

    private func deallocateRegion(_ handle: Handle, bytes: Int) {
        let count = (bytes + Self.chunkBytes - 1) / Self.chunkBytes
        let first = Int(handle >> 16)
        self.directory[first]?.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        self.directory[first]?.deallocate()
        self.directory[first] = nil
        self.core.pointee.bytesInUse -= count * Self.chunkBytes
        self.core.pointee.bytesReserved -= count * Self.chunkBytes
        self.core.pointee.freeRegions.append((first, count))
    }
}
