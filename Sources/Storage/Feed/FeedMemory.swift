import IOCore

/// Memory of blocks that are not used any more, for the next ones: memory from the allocator is new
/// to the kernel each time, at a page fault for each 4 KiB of changes. Any thread.
final class FeedMemory: Sendable {
    // SAFETY: one side has it at a time; it changes hands under the lock.
    private struct Piece: @unchecked Sendable {
        let bytes: UnsafeMutableRawBufferPointer
    }

    private let blockBytes: Int
    private let piecesMax: Int
    private let unused = Guarded<[Piece]>([])

    /// - Parameters:
    ///   - blockBytes: Of a block; larger ones are not kept.
    ///   - bytesMax: Of all that is kept: what one sync lets go at once is enough.
    init(blockBytes: Int, bytesMax: Int) {
        self.blockBytes = blockBytes
        self.piecesMax = bytesMax / blockBytes
    }

    deinit {
        for piece in self.unused.withLock({ $0 }) { piece.bytes.deallocate() }
    }

    /// Blocks whose memory is kept.
    var unusedCount: Int { self.unused.withLock { $0.count } }

    /// Memory of some bytes, with anything in it.
    func take(_ count: Int) -> UnsafeMutableRawBufferPointer {
        let kept = count == self.blockBytes ? self.unused.withLock { $0.popLast() } : nil
        return kept?.bytes ?? .allocate(byteCount: count, alignment: 16)
    }

    /// Keeps what `take` gave, or frees it.
    func give(_ memory: UnsafeMutableRawBufferPointer) {
        let piece = Piece(bytes: memory)
        let isKept =
            memory.count == self.blockBytes
            && self.unused.withLock { unused in
                guard unused.count < self.piecesMax else { return false }
                unused.append(piece)
                return true
            }
        if !isKept { memory.deallocate() }
    }
}
