import IOCore

/// Whole frames of the feed, in order; borrowed from a cursor until its next call.
package struct FeedSlice {
    /// At least one frame; the first may begin before the wanted position.
    package var bytes: UnsafeRawBufferPointer
    /// Everything up to here is in this slice or in earlier ones: operations without changes are in
    /// none.
    package var throughLSN: UInt64

    /// The frames.
    package var frames: FeedFrames { FeedFrames(self.bytes) }
}

/// Reads the feed from a position on: from memory where that has it, else from files, a block at a
/// time. Used by one thread at a time.
///
/// It holds no descriptor, and at most one block: of memory while its bytes are borrowed, of a file
/// until it has left the files.
package final class FeedCursor {
    /// What a call finds.
    package enum Reading {
        case frames(FeedSlice)
        /// Nothing is behind `nextLSN` yet.
        case atHead
        /// The position is no longer kept, or what is there is damaged.
        case gone(earliestLSN: UInt64)
        /// The process has no descriptor for a file now; a later call may succeed.
        case failed(IOError)
    }

    /// Where the next frame stands in a file.
    private struct Place {
        var segment: UInt64
        var offset = FeedSegmentHeader.bytes
        /// The position of the block at `offset`.
        var expected: UInt64
        /// In the block's payload.
        var frameOffset = 0
        /// `reads` of the reader when the block was verified.
        var verified: Int?

        init(segment: UInt64) {
            self.segment = segment
            self.expected = segment
        }

        mutating func pass(_ header: FeedBlockHeader) {
            self.offset += header.totalBytes
            self.expected = header.throughLSN + 1
            self.frameOffset = 0
            self.verified = nil
        }
    }

    /// The next position to be read; one more than what everything is read through.
    package private(set) var nextLSN: UInt64
    private let feed: Feed
    private var reader: FeedFileReader
    private var place: Place?
    /// The block of memory that was read last, and where its next frame stands.
    private var memory = Feed.MemoryHint(number: 0, offset: 0)
    /// Keeps the bytes that were returned last.
    private var held: FeedBlock?

    /// - Parameter lsn: The first position to be read; a frame that has it in its middle is read as
    ///   a whole.
    init(_ feed: Feed, from lsn: UInt64) {
        self.feed = feed
        self.reader = FeedFileReader(feed.files)
        self.nextLSN = lsn
    }

    /// Reads on.
    ///
    /// - Parameters:
    ///   - maxBytes: Of the slice; a larger frame is a slice of its own.
    ///   - last: Frames that end behind it are not read, as if they had not come yet.
    /// - Complexity: O(maxBytes), and once per segment entered in its middle O(blocks before it).
    package func next(maxBytes: Int, through last: UInt64 = .max) -> Reading {
        self.held = nil
        while true {
            guard self.nextLSN <= last else {
                self.leaveFiles()
                return .atHead
            }
            switch self.feed.locate(self.nextLSN, self.memory) {
            case .gone(let earliest):
                self.leaveFiles()
                return .gone(earliestLSN: earliest)
            case .atHead(let head):
                self.leaveFiles()
                self.nextLSN = max(self.nextLSN, min(head, last) + 1)
                return .atHead
            case .memory(let part):
                self.leaveFiles()
                if let slice = self.read(part, maxBytes, last) { return .frames(slice) }
            case .file(let segment, let limit):
                if let reading = self.read(segment, limit: limit, maxBytes, last) {
                    return reading
                }
            }
        }
    }

    private func leaveFiles() {
        guard self.place != nil else { return }
        self.place = nil
        self.reader.release()
    }

    private func read(_ part: Feed.MemoryPart, _ maxBytes: Int, _ last: UInt64) -> FeedSlice? {
        let found = FoundFrames(part.bytes, from: self.nextLSN, through: last, maxBytes: maxBytes)
        self.memory = Feed.MemoryHint(number: part.number, offset: part.offset + found.end)
        let through = found.through(part.throughLSN, last)
        self.nextLSN = through + 1
        guard !found.bytes.isEmpty else { return nil }
        self.held = part.block
        return FeedSlice(bytes: found.bytes, throughLSN: through)
    }

    /// - Returns: `nil`: the segment has nothing more, or not what it should have.
    private func read(
        _ segment: FeedSegment, limit: UInt64, _ maxBytes: Int, _ last: UInt64
    ) -> Reading? {
        let seed = FeedSegmentHeader(
            directoryID: self.feed.directoryID, firstLSN: segment.firstLSN, oldestAt: 0
        ).seed
        var place = Place(segment: segment.firstLSN)
        if let last = self.place, last.segment == place.segment { place = last }
        defer { self.place = place }
        while place.expected < limit {
            let finding: FeedFileReader.Finding
            do throws(IOError) {
                finding = try self.reader.block(
                    of: segment.firstLSN, at: place.offset, seed: seed, expecting: place.expected,
                    from: self.nextLSN, limit: segment.bytes, verified: place.verified)
            } catch {
                if error.kind == .tooManyOpenFiles { return .failed(error) }
                self.feed.lose(segment, behind: limit, error.explanation)
                return nil
            }
            switch finding {
            case .passed(let header): place.pass(header)
            case .block(let header, let payload):
                place.verified = self.reader.reads
                let rest = UnsafeRawBufferPointer(rebasing: payload[place.frameOffset...])
                let found = FoundFrames(
                    rest, from: self.nextLSN, through: last, maxBytes: maxBytes)
                self.nextLSN = found.through(header.throughLSN, last) + 1
                if found.isEnd { place.pass(header) } else { place.frameOffset += found.end }
                guard found.bytes.isEmpty else {
                    return .frames(
                        FeedSlice(bytes: found.bytes, throughLSN: self.nextLSN - 1))
                }
                if found.isCut { return nil }
            case .end, .damaged:
                var behind = limit
                if case .damaged(let next?) = finding { behind = next }
                self.feed.lose(
                    segment, behind: behind,
                    "\(FeedFiles.name(of: segment.firstLSN)) is damaged at byte \(place.offset)")
                return nil
            }
        }
        self.nextLSN = max(self.nextLSN, limit)
        return nil
    }
}

/// The frames of `bytes` from a position on, as many as fit.
private struct FoundFrames {
    /// Empty: there is none.
    var bytes: UnsafeRawBufferPointer
    /// Behind them.
    var end: Int
    var lastLSN: UInt64 = 0
    /// Whether they are the last ones.
    var isEnd: Bool
    /// Whether the next one is not wanted.
    var isCut = false

    init(_ bytes: UnsafeRawBufferPointer, from lsn: UInt64, through last: UInt64, maxBytes: Int) {
        var frames = FeedFrames(bytes)
        var start: Int?
        self.end = 0
        while let frame = frames.next() {
            guard frame.lastLSN <= last else {
                self.isCut = true
                break
            }
            if frame.lastLSN >= lsn {
                let first = start ?? self.end
                guard start == nil || frames.offset - first <= maxBytes else { break }
                start = first
                self.lastLSN = frame.lastLSN
            }
            self.end = frames.offset
        }
        self.bytes = UnsafeRawBufferPointer(rebasing: bytes[(start ?? self.end) ..< self.end])
        self.isEnd = self.end == bytes.count
    }

    /// What is read through with them.
    ///
    /// - Parameters:
    ///   - end: What is read through with all of the bytes.
    ///   - last: What is wanted.
    func through(_ end: UInt64, _ last: UInt64) -> UInt64 {
        if self.isEnd { return min(end, last) }
        return self.isCut && self.bytes.isEmpty ? last : self.lastLSN
    }
}
