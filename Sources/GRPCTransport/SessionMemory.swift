import CNGHTTP2

/// The allocator that nghttp2 uses on one loop: free lists by size, so that the steady state never asks the system.
///
/// Blocks of 32 B to 64 KiB come in powers of two and are kept when freed, at most `keptBytesMax` in all; larger ones go to the
/// system. Used by one thread. A 16-byte header in front of each block remembers its class.
final class SessionMemory {
    /// What idle free lists may hold: enough for 10,000 calls under way at once.
    private static let keptBytesMax = 32 << 20
    private static let headerBytes = 16
    private static let smallestShift = 5
    private static let classCount = 12
    /// Class number of a block that came from the system alone.
    private static let unpooled = classCount

    private var free: [UnsafeMutableRawPointer?] = Array(repeating: nil, count: classCount)
    private var keptBytes = 0
    /// Calls of the system's allocator; constant in the steady state.
    private(set) var systemAllocations = 0
    /// To be passed to `nghttp2_session_server_new3`; points back to this object, which must outlive its sessions.
    var table = nghttp2_mem()

    init() {
        self.table.mem_user_data = Unmanaged.passUnretained(self).toOpaque()
        self.table.malloc = { size, owner in SessionMemory.from(owner).allocate(size) }
        self.table.free = { block, owner in SessionMemory.from(owner).release(block) }
        self.table.calloc = { count, size, owner in
            let (bytes, overflow) = count.multipliedReportingOverflow(by: size)
            guard !overflow else { return nil }
            let block = SessionMemory.from(owner).allocate(bytes)
            block?.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
            return block
        }
        self.table.realloc = { block, size, owner in SessionMemory.from(owner).reallocate(block, size) }
    }

    deinit {
        for index in 0 ..< Self.classCount {
            while let block = self.free[index] {
                self.free[index] = block.load(as: UnsafeMutableRawPointer?.self)
                block.deallocate()
            }
        }
    }

    private static func from(_ owner: UnsafeMutableRawPointer?) -> SessionMemory {
        // SAFETY: `table` is only given to sessions of the loop that owns this object and outlives them.
        Unmanaged<SessionMemory>.fromOpaque(owner!).takeUnretainedValue()
    }

    private func allocate(_ size: Int) -> UnsafeMutableRawPointer? {
        let needed = size + Self.headerBytes
        let shift = max(Self.smallestShift, Int.bitWidth - (needed - 1).leadingZeroBitCount)
        let index = min(shift - Self.smallestShift, Self.unpooled)
        let block: UnsafeMutableRawPointer
        if index < Self.classCount, let first = self.free[index] {
            self.free[index] = first.load(as: UnsafeMutableRawPointer?.self)
            self.keptBytes -= 1 << shift
            block = first
        } else {
            self.systemAllocations += 1
            block = .allocate(byteCount: index < Self.classCount ? 1 << shift : needed, alignment: 16)
        }
        block.storeBytes(of: index, as: Int.self)
        block.storeBytes(of: size, toByteOffset: 8, as: Int.self)
        return block + Self.headerBytes
    }

    private func release(_ pointer: UnsafeMutableRawPointer?) {
        guard let pointer else { return }
        let block = pointer - Self.headerBytes
        let index = block.load(as: Int.self)
        let bytes = 1 << (index + Self.smallestShift)
        guard index < Self.classCount, self.keptBytes + bytes <= Self.keptBytesMax else {
            block.deallocate()
            return
        }
        block.storeBytes(of: self.free[index], as: UnsafeMutableRawPointer?.self)
        self.free[index] = block
        self.keptBytes += bytes
    }

    private func reallocate(_ pointer: UnsafeMutableRawPointer?, _ size: Int) -> UnsafeMutableRawPointer? {
        guard let pointer else { return self.allocate(size) }
        let block = pointer - Self.headerBytes
        let index = block.load(as: Int.self)
        let oldSize = block.load(fromByteOffset: 8, as: Int.self)
        if index < Self.classCount, size + Self.headerBytes <= 1 << (index + Self.smallestShift) {
            block.storeBytes(of: size, toByteOffset: 8, as: Int.self)
            return pointer
        }
        guard let moved = self.allocate(size) else { return nil }
        moved.copyMemory(from: pointer, byteCount: min(size, oldSize))
        self.release(pointer)
        return moved
    }
}
