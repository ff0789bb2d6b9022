import Bytes
import Glibc
import Storage

/// The state of the tests, as a snapshot holds it: how many frames of records there were. All blocks follow from that, so that a load can
/// be checked without keeping them.
enum SnapshotContent {
    static let blocks = 5

    /// The block at a place of the snapshot after `frames` frames.
    static func block(_ index: Int, frames: Int) -> [UInt8] {
        let head = withUnsafeBytes(of: (UInt64(frames).littleEndian, UInt64(index).littleEndian)) { Array($0) }
        // Sizes differ; some are no multiple of 8.
        return head + LogFixture.payload((frames * 31 + index * 7) % 290)
    }

    /// The frames that a block speaks of, if it is the one at its place.
    static func frames(of block: UnsafeRawBufferPointer, at index: Int) -> Int? {
        guard block.count >= 16 else { return nil }
        var reader = ByteReader(block)
        let frames = Int(truncatingIfNeeded: reader.read(UInt64.self))
        guard frames >= 0, frames < 1 << 32, reader.read(UInt64.self) == UInt64(index) else { return nil }
        let wanted = Self.block(index, frames: frames)
        guard wanted.count == block.count else { return nil }
        let isSame = wanted.withUnsafeBytes { memcmp($0.baseAddress!, block.baseAddress!, wanted.count) } == 0
        return isSame ? frames : nil
    }
}

/// What recovery in the tests reads into; it refuses everything that was not written.
final class CheckingTarget: RecoveryTarget {
    /// Frames of records, from the snapshot and the log together.
    private(set) var frames = 0
    /// Of these, loaded from a snapshot.
    private(set) var framesLoaded = 0
    private(set) var abandoned = 0
    private var position: SnapshotPosition?
    private var blocks = 0

    func begin(_ position: SnapshotPosition) {
        self.position = position
        self.blocks = 0
        (self.frames, self.framesLoaded) = (0, 0)
    }

    func load(_ block: UnsafeRawBufferPointer) -> Bool {
        guard self.position != nil, let frames = SnapshotContent.frames(of: block, at: self.blocks),
            self.blocks == 0 || frames == self.framesLoaded
        else { return false }
        self.framesLoaded = frames
        self.blocks += 1
        return true
    }

    func endOfSnapshot() -> Bool {
        self.frames = self.framesLoaded
        return self.blocks == SnapshotContent.blocks && self.position == LogFixture.position(
            after: self.frames, at: self.position)
    }

    func abandonSnapshot() {
        self.abandoned += 1
        self.position = nil
        (self.frames, self.framesLoaded) = (0, 0)
    }

    func replay(_ frame: ReplayedFrame) -> Bool {
        defer { self.frames += 1 }
        return LogFixture.isExpected(frame, at: self.frames)
    }
}

/// A target that hands frames on and knows no snapshots.
final class FrameTarget: RecoveryTarget {
    private let body: (ReplayedFrame) -> Bool

    init(_ body: @escaping (ReplayedFrame) -> Bool) {
        self.body = body
    }

    func begin(_ position: SnapshotPosition) {}
    func load(_ block: UnsafeRawBufferPointer) -> Bool { false }
    func endOfSnapshot() -> Bool { false }
    func abandonSnapshot() {}
    func replay(_ frame: ReplayedFrame) -> Bool { self.body(frame) }
}

extension LogFixture {
    /// What the position after `frames` frames must say; frame number and chain depend on the seals, and are taken from `found`.
    static func position(after frames: Int, at found: SnapshotPosition?) -> SnapshotPosition {
        SnapshotPosition(
            nextFrame: found?.nextFrame ?? 0, nextLSN: 1 + UInt64(frames) * Self.lsnsPerFrame,
            previousHeaderCRC: found?.previousHeaderCRC ?? 0, receivedAt: Int64(frames - 1) + 1_000, rulesVersion: 1,
            resultsDigest: UInt64(frames))
    }

    /// Ends the segment after `frames` frames, for a snapshot of them.
    func cut(after frames: Int) throws(StorageError) -> SnapshotPosition {
        try self.opened.cut(
            receivedAt: Int64(frames - 1) + 1_000, previousResultsDigest: UInt64(frames), rulesVersion: 1)
    }

    /// Begins a snapshot of the state after `frames` frames.
    func beginSnapshot(after frames: Int) throws(StorageError) -> SnapshotWriter {
        let position = try self.cut(after: frames)
        return try SnapshotWriter(self.environment, directoryID: Self.directoryID, position: position)
    }

    /// Writes the block at a place.
    static func write(block index: Int, frames: Int, to writer: SnapshotWriter) throws(StorageError) {
        let outcome = SnapshotContent.block(index, frames: frames).withUnsafeBytes { bytes -> Result<Void, StorageError> in
            do throws(StorageError) { return .success(try writer.append(bytes)) } catch { return .failure(error) }
        }
        try outcome.get()
    }

    /// Writes a whole snapshot of the state after `frames` frames, verified.
    @discardableResult
    func writeSnapshot(after frames: Int) throws(StorageError) -> SnapshotFile {
        let writer = try self.beginSnapshot(after: frames)
        for index in 0 ..< SnapshotContent.blocks { try Self.write(block: index, frames: frames, to: writer) }
        return try writer.finish()
    }

    var catalogue: SnapshotCatalogue { SnapshotCatalogue(self.environment, directoryID: Self.directoryID) }
}
