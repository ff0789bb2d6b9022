import CNGHTTP2

/// The allocator that nghttp2 uses on one loop: free lists by size, so that the steady state never
/// asks the system.
///
/// Blocks for up to 64 KiB are kept when freed, at most `keptBytesMax` in all; larger ones go to
/// the system. Used by one thread. A 16-byte header in front of each block remembers its class and
/// size; it does not count for the class, so that the powers of two that nghttp2 asks for fit one.
final class SessionMemory {
    /// What idle free lists may hold, in bytes: enough for 10,000 calls under way at once.
    fileprivate static let keptBytesMax = 32 << 20

    /// Bytes that blocks of `size` bytes take, with their header; for the tests.
    static func blockBytes(size: Int) -> Int {
        BlockClass.bytes(BlockClass.index(size)).map { $0 + BlockClass.headerBytes }
            ?? size + BlockClass.headerBytes
    }

    /// The lists themselves, behind a plain pointer: the callbacks count no references.
    private let pool: UnsafeMutablePointer<Pool>
    /// To be passed to `nghttp2_session_server_new3`; this object must outlive the sessions.
    let table: UnsafeMutablePointer<nghttp2_mem>

    /// Calls of the system's allocator; constant in the steady state.
    var systemAllocations: Int { self.pool.pointee.systemAllocations }

    init() {
        self.pool = .allocate(capacity: 1)
        self.pool.initialize(to: Pool())
        self.table = .allocate(capacity: 1)
        self.table.initialize(
            to: nghttp2_mem(
                mem_user_data: self.pool,
                malloc: { size, pool in Pool.from(pool).pointee.allocate(size) },
                free: { block, pool in Pool.from(pool).pointee.release(block) },
                calloc: { count, size, pool in
                    let (bytes, overflow) = count.multipliedReportingOverflow(by: size)
                    guard !overflow, let block = Pool.from(pool).pointee.allocate(bytes) else {
                        return nil
                    }
                    block.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
                    return block
                },
                realloc: { block, size, pool in Pool.from(pool).pointee.reallocate(block, size) }))
    }

    deinit {
        self.pool.pointee.releaseAll()
        self.pool.deallocate()
        self.table.deallocate()
    }
}

/// Sizes of blocks, by index.
///
/// Calls take blocks of 32 B to 2 KiB, in powers of two: the class is found in four instructions.
/// What a session keeps for its life is larger, so there are four steps to a doubling up to 64 KiB:
/// of the 26 KiB of an idle session, powers of two would waste 17.
private enum BlockClass {
    static let headerBytes = 16
    static let smallestShift = 5
    /// Classes 0 ..< 7: 32 B to 2 KiB.
    static let smallCount = 7
    /// The largest small class, in bytes.
    static let smallBytesMax = 2 << 10
    /// Classes 7 ..< 27: 2.5 KiB to 64 KiB, five doublings.
    static let count = 27
    /// Above all classes: straight from the system.
    static let system = 27

    /// The class of at most `smallBytesMax` bytes; of no bytes, none: such a block is the system's.
    @inline(__always)
    static func small(_ size: Int) -> Int {
        let shift = Int.bitWidth &- ((size &- 1) | 31).leadingZeroBitCount
        return shift &- Self.smallestShift
    }

    static func index(_ size: Int) -> Int {
        if size <= Self.smallBytesMax { return Self.small(size) }
        let shift = Int.bitWidth - 1 - (size - 1).leadingZeroBitCount
        let step = (size - 1) >> (shift - 2) & 3
        return min(Self.smallCount + (shift - 11) * 4 + step, Self.system)
    }

    /// Bytes of a class without the header; `nil`: as many as asked for.
    static func bytes(_ index: Int) -> Int? {
        if index < Self.smallCount { return 1 << (index + Self.smallestShift) }
        guard index < Self.count else { return nil }
        let (doubling, step) = (index - Self.smallCount).quotientAndRemainder(dividingBy: 4)
        return (5 + step) << (doubling + 9)
    }
}

/// Free lists by class; the first word of a free block links to the next.
private struct Pool {
    private var free = InlineArray<27, UnsafeMutableRawPointer?>(repeating: nil)
    /// Bytes of the blocks in `free`, without their headers.
    private var keptBytes = 0
    private(set) var systemAllocations = 0

    @inline(__always)
    static func from(_ pool: UnsafeMutableRawPointer?) -> UnsafeMutablePointer<Pool> {
        // SAFETY: `mem_user_data` is the pool of the table that the session was made with, which
        // outlives it.
        pool!.assumingMemoryBound(to: Pool.self)
    }

    @inline(__always)
    mutating func allocate(_ size: Int) -> UnsafeMutableRawPointer? {
        guard size <= BlockClass.smallBytesMax else { return self.allocateLarge(size) }
        let index = BlockClass.small(size)
        let bytes = 1 &<< (index &+ BlockClass.smallestShift)
        return self.take(index, bytes: bytes, size: size)
    }

    private mutating func allocateLarge(_ size: Int) -> UnsafeMutableRawPointer? {
        let index = BlockClass.index(size)
        return self.take(index, bytes: BlockClass.bytes(index) ?? size, size: size)
    }

    @inline(__always)
    private mutating func take(_ index: Int, bytes: Int, size: Int) -> UnsafeMutableRawPointer {
        let block: UnsafeMutableRawPointer
        if index < BlockClass.count, let first = self.free[index] {
            self.free[index] = first.load(as: UnsafeMutableRawPointer?.self)
            self.keptBytes &-= bytes
            block = first
        } else {
            block = self.allocateNew(bytes)
        }
        block.storeBytes(of: index, as: Int.self)
        block.storeBytes(of: size, toByteOffset: 8, as: Int.self)
        return block + BlockClass.headerBytes
    }

    @inline(never)
    private mutating func allocateNew(_ bytes: Int) -> UnsafeMutableRawPointer {
        self.systemAllocations += 1
        return .allocate(byteCount: bytes + BlockClass.headerBytes, alignment: 16)
    }

    @inline(__always)
    mutating func release(_ pointer: UnsafeMutableRawPointer?) {
        guard let pointer else { return }
        let block = pointer - BlockClass.headerBytes
        let index = block.load(as: Int.self)
        guard index < BlockClass.smallCount else { return self.releaseLarge(block, index) }
        self.keep(block, index, bytes: 1 &<< (index &+ BlockClass.smallestShift))
    }

    private mutating func releaseLarge(_ block: UnsafeMutableRawPointer, _ index: Int) {
        guard let bytes = BlockClass.bytes(index) else { return block.deallocate() }
        self.keep(block, index, bytes: bytes)
    }

    @inline(__always)
    private mutating func keep(_ block: UnsafeMutableRawPointer, _ index: Int, bytes: Int) {
        guard self.keptBytes &+ bytes <= SessionMemory.keptBytesMax else {
            return block.deallocate()
        }
        block.storeBytes(of: self.free[index], as: UnsafeMutableRawPointer?.self)
        self.free[index] = block
        self.keptBytes &+= bytes
    }

    mutating func reallocate(_ pointer: UnsafeMutableRawPointer?, _ size: Int)
        -> UnsafeMutableRawPointer?
    {
        guard let pointer else { return self.allocate(size) }
        let block = pointer - BlockClass.headerBytes
        let index = block.load(as: Int.self)
        let oldSize = block.load(fromByteOffset: 8, as: Int.self)
        if size <= BlockClass.bytes(index) ?? 0 {
            block.storeBytes(of: size, toByteOffset: 8, as: Int.self)
            return pointer
        }
        guard let moved = self.allocate(size) else { return nil }
        moved.copyMemory(from: pointer, byteCount: min(size, oldSize))
        self.release(pointer)
        return moved
    }

    mutating func releaseAll() {
        for index in 0 ..< BlockClass.count {
            while let block = self.free[index] {
                self.free[index] = block.load(as: UnsafeMutableRawPointer?.self)
                block.deallocate()
            }
        }
    }
}
