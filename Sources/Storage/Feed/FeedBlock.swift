import Bytes

/// Memory for the frames of one part of the feed. Only ever appended to, by one thread; others read
/// below the end that the lock of the feed gave them.
// SAFETY: allocated in `init`, freed in `deinit`, so it lives as long as anyone refers to it. Bytes
// below a published end are never written again, and the end reaches readers through the lock of
// the feed, which orders the writes before it.
final class FeedBlock: @unchecked Sendable {
    private let memory: UnsafeMutableRawBufferPointer
    private let source: FeedMemory?

    /// In bytes.
    var capacity: Int { self.memory.count }

    /// - Parameter source: Where its memory comes from, and where it goes; `nil`: the allocator.
    init(capacity: Int, from source: FeedMemory? = nil) {
        self.source = source
        self.memory =
            source?.take(capacity) ?? .allocate(byteCount: capacity, alignment: 16)
    }

    deinit {
        guard let source = self.source else { return self.memory.deallocate() }
        source.give(self.memory)
    }

    /// Bytes that are published; valid as long as the block.
    func bytes(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: self.memory[range])
    }

    /// Writes a frame behind the published end.
    func append(
        flags: FeedFrameFlags, firstLSN: UInt64, lastLSN: UInt64, records: UnsafeRawBufferPointer,
        at offset: Int
    ) {
        let start = offset + FeedFrame.headerBytes
        FeedFrame.writeHeader(
            recordBytes: records.count, flags: flags, firstLSN: firstLSN, lastLSN: lastLSN,
            into: UnsafeMutableRawBufferPointer(rebasing: self.memory[offset ..< start]))
        UnsafeMutableRawBufferPointer(rebasing: self.memory[start ..< start + records.count])
            .copyMemory(from: records)
    }

    /// Copies whole frames to the beginning.
    func fill(_ frames: UnsafeRawBufferPointer) {
        self.memory.copyMemory(from: frames)
    }
}

/// A block of memory, and how far its frames have come.
struct HeldBlock: Sendable {
    let block: FeedBlock
    /// One more than that of the block before.
    let number: UInt64
    /// The position at which it begins.
    let firstLSN: UInt64
    /// Of its last frame.
    var lastLSN: UInt64
    /// Of frames, in bytes.
    var end = 0
    /// Of frames that are in a file.
    var written = 0
    /// Of frames that no power failure takes.
    var synced = 0
    /// What the clock said at its first frame, in microseconds since 1970.
    let oldestAt: Int64
    /// The same of frames that are in no file, and of those that are not synced.
    var unwrittenOldestAt: Int64?
    var unsyncedOldestAt: Int64?

    var unsyncedBytes: Int { self.end - self.synced }

    /// All its frames are about to be written.
    mutating func didTakeUnwritten() {
        guard let oldest = self.unwrittenOldestAt else { return }
        self.unsyncedOldestAt = min(oldest, self.unsyncedOldestAt ?? oldest)
        self.unwrittenOldestAt = nil
    }

    /// Its unsynced frames are as if they had never been written.
    mutating func revert() {
        self.written = self.synced
        guard let unsynced = self.unsyncedOldestAt else { return }
        self.unwrittenOldestAt = min(unsynced, self.unwrittenOldestAt ?? unsynced)
        self.unsyncedOldestAt = nil
    }
}

/// Frames that are to be written as one block of a file.
struct FeedRange: Sendable {
    /// `nil`: only the position has moved.
    var block: FeedBlock?
    var offsets: Range<Int>
    var firstLSN: UInt64
    var throughLSN: UInt64
    /// What the clock said at the oldest of them; `nil`: there is none.
    var oldestAt: Int64?
    fileprivate(set) var number: UInt64

    init(_ held: HeldBlock, from first: UInt64, through last: UInt64) {
        self.block = held.block
        self.offsets = held.written ..< held.end
        self.firstLSN = first
        self.throughLSN = last
        self.oldestAt = held.unwrittenOldestAt
        self.number = held.number
    }

    /// Of no frames.
    init(from first: UInt64, through last: UInt64) {
        self.block = nil
        self.offsets = 0 ..< 0
        self.firstLSN = first
        self.throughLSN = last
        self.number = 0
    }

    /// Valid as long as the range.
    var bytes: UnsafeRawBufferPointer {
        self.block?.bytes(self.offsets) ?? UnsafeRawBufferPointer(start: nil, count: 0)
    }
}

/// A segment file that readers may use.
struct FeedSegment: Equatable, Sendable {
    /// The position at which it begins, and its name.
    var firstLSN: UInt64
    /// Of its header and whole blocks.
    var bytes: Int
    /// What the clock said at its oldest change, in microseconds since 1970.
    var oldestAt: Int64
    /// When it goes by the monotonic clock, in nanoseconds.
    var expiresAt: UInt64
}
