import Bytes
import IOCore

/// Reads blocks of segments through a window. Opens a file for each read and closes it again:
/// however many readers there are, none keeps a descriptor, and a file may be removed meanwhile.
struct FeedFileReader: ~Copyable {
    /// Read at once, in bytes: a block of the usual size, or many small ones.
    private static let windowBytes = FeedBlockHeader.bytes + 256 << 10
    /// Storage that is kept behind a larger block, in bytes.
    private static let bytesKept = 1 << 20

    private let files: FeedFiles
    private var window = ByteBuffer()
    private var segment: UInt64 = 0
    private var start = 0
    /// Grows with every read: what was verified before is to be verified again.
    private(set) var reads = 0

    init(_ files: FeedFiles) {
        self.files = files
    }

    /// Gives the memory of the window back.
    mutating func release() {
        self.window.removeAll()
        self.window.shrink(toCapacity: 64)
        self.segment = 0
    }

    /// `count` bytes at `offset` of a segment, fewer if it ends before `limit`; valid until the
    /// next call.
    mutating func bytes(
        of segment: UInt64, at offset: Int, count: Int, limit: Int
    ) throws(IOError) -> UnsafeRawBufferPointer {
        let wanted = min(count, limit - offset)
        guard wanted > 0 else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        if segment != self.segment || offset < self.start
            || offset + wanted > self.start + self.window.count
        {
            try self.read(
                segment, at: offset, count: min(max(wanted, Self.windowBytes), limit - offset))
        }
        let first = offset - self.start
        return UnsafeRawBufferPointer(
            rebasing: self.window.bytes[first ..< min(first + wanted, self.window.count)])
    }

    private mutating func read(_ segment: UInt64, at offset: Int, count: Int) throws(IOError) {
        self.reads += 1
        self.segment = 0
        self.window.removeAll()
        self.window.shrink(toCapacity: max(count, Self.bytesKept))
        let file = try self.files.fileSystem.open(
            self.files.path(FeedFiles.name(of: segment)), .read)
        defer { file.close() }
        // SAFETY: the window owns the memory; what the file did not fill is cut off before anything
        // reads it.
        let target = self.window.appendUninitialized(count)
        self.window.truncate(to: try file.read(into: target, at: offset))
        self.segment = segment
        self.start = offset
    }

    /// What stands at an offset.
    enum Finding {
        /// A block, header and payload, whose checksums are right and which continues the one
        /// before; valid until the next call.
        case block(FeedBlockHeader, payload: UnsafeRawBufferPointer)
        /// The same of a block that ends before the wanted position: its payload was not read.
        case passed(FeedBlockHeader)
        /// The end of the segment.
        case end
        /// Anything else.
        ///
        /// - Parameter behind: Where the next good block begins; `nil`: that is not known.
        case damaged(behind: UInt64?)
    }

    /// Reads the block at `offset`.
    ///
    /// - Parameters:
    ///   - seed: Of the segment.
    ///   - expected: The position at which it begins.
    ///   - wanted: Payloads that end before this position are passed over.
    ///   - limit: Of the segment, in bytes.
    ///   - verified: `reads` when this very block was verified before; `nil`: it was not.
    mutating func block(
        of segment: UInt64, at offset: Int, seed: UInt32, expecting expected: UInt64,
        from wanted: UInt64, limit: Int, verified: Int? = nil
    ) throws(IOError) -> Finding {
        guard offset < limit else { return .end }
        let head = try self.bytes(
            of: segment, at: offset, count: FeedBlockHeader.bytes, limit: limit)
        guard let header = FeedBlockHeader.read(head, seed: seed), header.firstLSN == expected,
            offset + header.totalBytes <= limit
        else { return .damaged(behind: nil) }
        guard header.throughLSN >= wanted else { return .passed(header) }
        let whole = try self.bytes(
            of: segment, at: offset, count: header.totalBytes, limit: limit)
        guard whole.count == header.totalBytes else { return .damaged(behind: nil) }
        let payload = UnsafeRawBufferPointer(rebasing: whole[FeedBlockHeader.bytes...])
        guard verified == self.reads || header.verifies(payload, seed: seed) else {
            return .damaged(behind: header.throughLSN + 1)
        }
        return .block(header, payload: payload)
    }
}
