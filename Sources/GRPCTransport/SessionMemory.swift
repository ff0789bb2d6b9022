import CNGHTTP2

/// The allocator that nghttp2 uses on one loop: free lists by size, so that the steady state never
/// asks the system.
///
/// Blocks of 32 B to 64 KiB come in powers of two and are kept when freed, at most `keptBytesMax`
/// in all; larger ones go to the system. Used by one thread. A 16-byte header in front of each
/// block remembers its class and size.
final class SessionMemory {
    /// What idle free lists may hold, in bytes: enough for 10,000 calls under way at once.
    fileprivate static let keptBytesMax = 32 << 20
    fileprivate static let headerBytes = 16
    fileprivate static let smallestShift = 5
    fileprivate static let classCount = 12

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

/// Free lists by class; the first word of a free block links to the next.
private struct Pool {
    private var free = InlineArray<12, UnsafeMutableRawPointer?>(repeating: nil)
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
        let needed = size &+ SessionMemory.headerBytes
        let shift = max(
            SessionMemory.smallestShift, Int.bitWidth &- (needed &- 1).leadingZeroBitCount)
        let index = shift &- SessionMemory.smallestShift
        let block: UnsafeMutableRawPointer
        if index < SessionMemory.classCount, let first = self.free[index] {
            self.free[index] = first.load(as: UnsafeMutableRawPointer?.self)
            self.keptBytes &-= 1 &<< shift
            block = first
        } else {
            block = self.allocateNew(index < SessionMemory.classCount ? 1 &<< shift : needed)
        }
        block.storeBytes(of: index, as: Int.self)
        block.storeBytes(of: size, toByteOffset: 8, as: Int.self)
        return block + SessionMemory.headerBytes
    }

    private mutating func allocateNew(_ bytes: Int) -> UnsafeMutableRawPointer {
        self.systemAllocations += 1
        return .allocate(byteCount: bytes, alignment: 16)
    }

    @inline(__always)
    mutating func release(_ pointer: UnsafeMutableRawPointer?) {
        guard let pointer else { return }
        let block = pointer - SessionMemory.headerBytes
        let index = block.load(as: Int.self)
        guard index < SessionMemory.classCount else { return block.deallocate() }
        let bytes = 1 &<< (index &+ SessionMemory.smallestShift)
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
        let block = pointer - SessionMemory.headerBytes
        let index = block.load(as: Int.self)
        let oldSize = block.load(fromByteOffset: 8, as: Int.self)
        let blockBytes = 1 << (min(index, SessionMemory.classCount) + SessionMemory.smallestShift)
        if index < SessionMemory.classCount, size + SessionMemory.headerBytes <= blockBytes {
            block.storeBytes(of: size, toByteOffset: 8, as: Int.self)
            return pointer
        }
        guard let moved = self.allocate(size) else { return nil }
        moved.copyMemory(from: pointer, byteCount: min(size, oldSize))
        self.release(pointer)
        return moved
    }

    mutating func releaseAll() {
        for index in 0 ..< SessionMemory.classCount {
            while let block = self.free[index] {
                self.free[index] = block.load(as: UnsafeMutableRawPointer?.self)
                block.deallocate()
            }
        }
    }
}
