import Bytes
import IOCore
import IOSimulation

@testable import Storage

/// The files of the change feed, through a start and a reader, and what is behind their checksums.
enum FeedFuzz {
    private final class NoWaker: Waker {
        func wake() {}
    }

    /// What is appended behind whatever was found.
    private static let record: [UInt8] = Array("another".utf8)
    /// Two more are allowed behind it.
    private static let lastLSN = LogNumber.allowed.upperBound - 2
    /// More than the pieces of work of any start.
    private static let stepsMax = 1_000

    /// The bytes of one segment, as they are and with the checksums that they should have, and of
    /// the frames of a block.
    static func feed(_ bytes: UnsafeRawBufferPointer) {
        self.frames(bytes)
        self.segment(Array(bytes))
        self.segment(self.sealed(bytes))
    }

    private static func segment(_ file: [UInt8]) {
        let header = file.withUnsafeBytes { bytes -> FeedSegmentHeader? in
            let header = FeedSegmentHeader.read(bytes)
            for offset in stride(from: 0, to: bytes.count, by: 4) {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
                _ = FeedBlockHeader.read(rest, seed: header?.seed ?? 0)
            }
            return header
        }
        // A position that is in the kept segments, and one that no segment reaches.
        let first = header?.firstLSN ?? 1
        let positions = [first, first + 11, first + 7, self.lastLSN]
        for snapshotLSN in positions {
            self.start(file, header, behind: min(snapshotLSN, self.lastLSN))
        }
    }

    /// Opens a directory with this one segment, reads it to its end, goes on behind it, and opens
    /// it again.
    private static func start(
        _ file: [UInt8], _ header: FeedSegmentHeader?, behind lsn: UInt64
    ) {
        let path = "d/feed/" + FeedFiles.name(of: header?.firstLSN ?? 1)
        let disk = SimulatedDisk(DiskState(files: [(path, file)]))
        let directoryID = header?.directoryID ?? DirectoryID(high: 0, low: 0)
        let clock = SimulatedClock()
        let writer = self.open(disk, directoryID, clock, behind: lsn)
        let verified = self.verifiedFrames(of: file)
        _ = self.read(writer.feed, through: lsn) { frame in
            precondition(verified.contains(frame), "a frame is read that is in no whole block")
        }
        self.append(to: writer, lsn + 1, clock)
        let next = self.open(disk, directoryID, clock, behind: lsn + 1)
        let last = self.read(next.feed, through: lsn + 1) { frame in
            precondition(
                verified.contains(frame) || frame.suffix(self.record.count) == self.record[...],
                "a frame is read that was not written")
        }
        precondition(last == lsn + 1, "what was written is not read")
    }

    private static func open(
        _ disk: SimulatedDisk, _ directoryID: DirectoryID, _ clock: SimulatedClock,
        behind lsn: UInt64
    ) -> FeedWriter {
        let feed = Feed(
            FeedFiles(disk, in: "d"), options: FeedOptions(), logWaker: NoWaker(), waker: NoWaker())
        let writer = FeedWriter(feed, clock: clock, onEvent: { _ in })
        writer.open(directoryID: directoryID, behind: lsn)
        return writer
    }

    /// Appends one frame and makes everything durable.
    private static func append(to writer: FeedWriter, _ lsn: UInt64, _ clock: SimulatedClock) {
        self.record.withUnsafeBytes {
            writer.feed.append(
                firstLSN: lsn, lastLSN: lsn, flags: .identity, clock: clock.wallMicroseconds(),
                records: $0)
        }
        var steps = 0
        while writer.feed.unsyncedBytes > 0 || writer.feed.syncs.wanted != nil {
            if steps == 0 { writer.feed.sync { precondition($0, "the disk has no faults") } }
            _ = writer.step(all: true)
            steps += 1
            precondition(steps < self.stepsMax, "the writer does not come to an end")
        }
    }

    /// Reads a feed to its end.
    ///
    /// - Returns: The last position of the last frame; 0: there is none.
    private static func read(_ feed: Feed, through lsn: UInt64, _ body: ([UInt8]) -> Void)
        -> UInt64
    {
        let cursor = feed.makeCursor(from: feed.earliestLSN)
        var position: UInt64 = 0
        while true {
            let slice: FeedSlice
            switch cursor.next(maxBytes: 64) {
            case .frames(let found): slice = found
            case .atHead: return position
            case .gone(let earliest):
                // Damage is found while it is read, and what is behind it may be good.
                precondition(earliest > cursor.nextLSN, "what is gone is kept")
                return self.read(feed, through: lsn, body)
            case .failed: preconditionFailure("the disk has no faults")
            }
            precondition(!slice.bytes.isEmpty, "a slice has a frame")
            for frame in slice.frames {
                precondition(frame.firstLSN > position, "frames ascend")
                position = frame.lastLSN
                let start = frame.records.baseAddress.map { $0 - FeedFrame.headerBytes }
                body(Array(UnsafeRawBufferPointer(start: start, count: frame.totalBytes)))
            }
            precondition(slice.throughLSN >= position && slice.throughLSN <= lsn, "no more is read")
        }
    }

    private static func frames(_ bytes: UnsafeRawBufferPointer) {
        var frames = FeedFrames(bytes)
        var total = 0
        while let frame = frames.next() {
            precondition(frame.totalBytes >= FeedFrame.headerBytes, "a frame has its header")
            total += frame.totalBytes
        }
        precondition(total == frames.offset && total <= bytes.count, "frames are parts of them")
        _ = FeedFrames.isWhole(bytes, from: 1, through: 1 << 40)
    }

    // MARK: By docs/formats/feed.md alone

    /// Offsets of a block's fields, in bytes.
    private static let (payloadBytesOffset, payloadCRCOffset, headerCRCOffset) = (4, 40, 44)
    private static let segmentCRCOffset = 60

    private static func seed(of file: UnsafeRawBufferPointer) -> UInt32 {
        var named = ByteBuffer()
        named.append(UnsafeRawBufferPointer(rebasing: file[16 ..< 40]))
        return crc32c(named.bytes)
    }

    /// The offsets of the blocks of a segment, as their lengths say.
    private static func blocks(of file: UnsafeRawBufferPointer) -> [Range<Int>] {
        var blocks: [Range<Int>] = []
        var offset = FeedSegmentHeader.bytes
        while offset + FeedBlockHeader.bytes <= file.count {
            let payload = Int(file.uint32(at: offset + self.payloadBytesOffset))
            let end = offset + FeedBlockHeader.bytes + payload
            guard end <= file.count else { break }
            blocks.append(offset ..< end)
            offset = end
        }
        return blocks
    }

    /// The frames of the blocks whose checksums are right, up to the first other one.
    private static func verifiedFrames(of file: [UInt8]) -> Set<[UInt8]> {
        file.withUnsafeBytes { file in
            guard file.count >= FeedSegmentHeader.bytes else { return [] }
            let seed = self.seed(of: file)
            var verified: Set<[UInt8]> = []
            for block in self.blocks(of: file) {
                let start = block.lowerBound
                let payload = UnsafeRawBufferPointer(
                    rebasing: file[(start + FeedBlockHeader.bytes) ..< block.upperBound])
                guard
                    file.uint32(at: start + self.headerCRCOffset)
                        == file.crc(start ..< start + self.headerCRCOffset, continuing: seed)
                else { break }
                // A reader goes on behind damage of a payload alone.
                guard
                    file.uint32(at: start + self.payloadCRCOffset)
                        == crc32c(payload, continuing: seed)
                else { continue }
                var offset = 0
                while offset + FeedFrame.headerBytes <= payload.count {
                    let total = Int(payload.uint32(at: offset))
                    guard total >= FeedFrame.headerBytes, offset + total <= payload.count else {
                        break
                    }
                    verified.insert(Array(payload[offset ..< offset + total]))
                    offset += total
                }
            }
            return verified
        }
    }

    /// The same bytes with right magics and checksums, so that what is behind these is reached.
    private static func sealed(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        guard bytes.count >= FeedSegmentHeader.bytes else { return [] }
        var buffer = bytes.sealed(
            magic: FeedSegmentHeader.magic, version: FeedSegmentHeader.version,
            crcAt: self.segmentCRCOffset)
        let seed = self.seed(of: buffer.bytes)
        for block in self.blocks(of: bytes) {
            let start = block.lowerBound
            buffer.patch(FeedBlockHeader.magic, at: start)
            buffer.patch(
                bytes.crc(start + FeedBlockHeader.bytes ..< block.upperBound, continuing: seed),
                at: start + self.payloadCRCOffset)
            buffer.patch(
                buffer.bytes.crc(start ..< start + self.headerCRCOffset, continuing: seed),
                at: start + self.headerCRCOffset)
        }
        return Array(buffer.bytes)
    }
}
