import IOCore
import IOSimulation

@testable import Storage

/// The files of the change feed, through a start and a reader, and what is behind their checksums.
enum FeedFuzz {
    private final class NoWaker: Waker {
        func wake() {}
    }

    /// The bytes of one segment, and of the frames of a block.
    static func feed(_ bytes: UnsafeRawBufferPointer) {
        self.frames(bytes)
        let header = FeedSegmentHeader.read(bytes)
        let seed = header?.seed ?? 0
        for offset in stride(from: 0, to: bytes.count, by: 4) {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
            _ = FeedBlockHeader.read(rest, seed: seed)
        }
        // A position that is in the kept segments, and one that no segment reaches.
        let first = header?.firstLSN ?? 1
        let positions: [UInt64] = [first, first &+ 11, first &+ 7, UInt64.max - 1]
        for snapshotLSN in positions {
            self.start(bytes, header, behind: min(max(1, snapshotLSN), .max - 1))
        }
    }

    /// Opens a directory with this one segment, and reads it to its end.
    private static func start(
        _ bytes: UnsafeRawBufferPointer, _ header: FeedSegmentHeader?, behind lsn: UInt64
    ) {
        let path = "d/feed/" + FeedFiles.name(of: header?.firstLSN ?? 1)
        let disk = SimulatedDisk(DiskState(files: [(path, Array(bytes))]))
        let feed = Feed(
            FeedFiles(disk, in: "d"), options: FeedOptions(), logWaker: NoWaker(), waker: NoWaker())
        let writer = FeedWriter(feed, clock: SimulatedClock(), onEvent: { _ in })
        writer.open(directoryID: header?.directoryID ?? DirectoryID(high: 0, low: 0), behind: lsn)
        let cursor = feed.makeCursor(from: feed.earliestLSN)
        var position: UInt64 = 0
        while case .frames(let slice) = cursor.next(maxBytes: 64) {
            precondition(!slice.bytes.isEmpty, "a slice has a frame")
            for frame in slice.frames {
                precondition(frame.firstLSN > position, "frames ascend")
                position = frame.lastLSN
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
}
