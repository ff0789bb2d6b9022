import Bytes
import Glibc
import Storage

/// The state of the tests, as a snapshot holds it: how many frames of records there were. All
/// blocks follow from that, so that a load can be checked without keeping them.
struct SnapshotContent: Equatable {
    /// Frames of records that it covers.
    var frames: Int
    /// How many blocks hold it.
    var blocks = 5

    /// The block at a place; sizes differ, and some are no multiple of 8.
    func block(_ index: Int) -> [UInt8] {
        let numbers = (
            UInt64(self.frames).littleEndian, UInt64(self.blocks).littleEndian,
            UInt64(index).littleEndian
        )
        return withUnsafeBytes(of: numbers) { Array($0) }
            + LogFixture.payload((self.frames * 31 + index * 7) % 290)
    }

    /// The content that a block is part of, if it is the one at this place of it.
    init?(_ block: UnsafeRawBufferPointer, at index: Int) {
        guard block.count >= 24 else { return nil }
        var reader = ByteReader(block)
        guard let frames = Int(exactly: reader.read(UInt64.self)),
            let blocks = Int(exactly: reader.read(UInt64.self)),
            frames < 1 << 32, index < blocks
        else { return nil }
        self.init(frames: frames, blocks: blocks)
        let wanted = self.block(index)
        guard wanted.count == block.count,
            wanted.withUnsafeBytes({ memcmp($0.baseAddress!, block.baseAddress!, wanted.count) })
                == 0
        else { return nil }
    }

    init(frames: Int, blocks: Int = 5) {
        self.frames = frames
        self.blocks = blocks
    }
}

/// What recovery in the tests reads into; it refuses everything that was not written.
final class CheckingTarget: RecoveryTarget {
    /// Frames of records, from the snapshot and the log together.
    private(set) var frames = 0
    /// Of these, loaded from a snapshot.
    private(set) var framesLoaded = 0
    private(set) var abandoned = 0
    /// What the seals behind the snapshot carry.
    private(set) var seals: [ResultsMark] = []
    private var position: SnapshotPosition?
    private var content: SnapshotContent?
    private var blocks = 0

    func begin(_ position: SnapshotPosition, bytes: Int) {
        self.forget()
        self.position = position
    }

    private func forget() {
        (self.position, self.content, self.blocks, self.frames, self.framesLoaded) = (
            nil, nil, 0, 0, 0
        )
    }

    func load(_ block: UnsafeRawBufferPointer) -> Bool {
        guard self.position != nil, let content = SnapshotContent(block, at: self.blocks),
            self.content == nil || self.content == content
        else { return false }
        self.content = content
        self.blocks += 1
        return true
    }

    func endOfSnapshot() -> Bool {
        guard let content = self.content, self.blocks == content.blocks else { return false }
        (self.frames, self.framesLoaded) = (content.frames, content.frames)
        return self.position == LogFixture.position(after: self.frames, at: self.position)
    }

    func abandonSnapshot() {
        self.abandoned += 1
        self.forget()
    }

    func replay(_ frame: ReplayedFrame) -> Bool {
        defer { self.frames += 1 }
        return LogFixture.isExpected(frame, at: self.frames)
    }

    func check(_ results: ResultsMark, number: UInt64) -> Bool {
        self.seals.append(results)
        return true
    }
}

/// A target that hands frames on and knows no snapshots.
final class FrameTarget: RecoveryTarget {
    private let body: (ReplayedFrame) -> Bool

    init(_ body: @escaping (ReplayedFrame) -> Bool) {
        self.body = body
    }

    func begin(_ position: SnapshotPosition, bytes: Int) {}
    func load(_ block: UnsafeRawBufferPointer) -> Bool { false }
    func endOfSnapshot() -> Bool { false }
    func abandonSnapshot() {}
    func replay(_ frame: ReplayedFrame) -> Bool { self.body(frame) }
    func check(_ results: ResultsMark, number: UInt64) -> Bool { true }
}

extension LogFixture {
    /// What the position after `frames` frames must say; frame number and chain depend on the
    /// seals, and are taken from `found`.
    static func position(after frames: Int, at found: SnapshotPosition?) -> SnapshotPosition {
        SnapshotPosition(
            lsn: UInt64(frames) * Self.lsnsPerFrame, receivedAt: Int64(frames - 1) + 1_000,
            rulesVersion: 1, resultsDigest: UInt64(frames),
            log: found?.log ?? LogPosition(index: 0, check: 0))
    }

    /// Ends the segment after `frames` frames, for a snapshot of them.
    func cut(after frames: Int) throws(StorageError) -> SnapshotPosition {
        try self.opened.cut(
            receivedAt: Int64(frames - 1) + 1_000, digest: UInt64(frames))
    }

    /// Begins a snapshot of the state after `frames` frames.
    func beginSnapshot(after frames: Int) throws(StorageError) -> SnapshotWriter {
        let position = try self.cut(after: frames)
        return try SnapshotWriter(
            self.environment, directoryID: Self.directoryID, position: position)
    }

    /// Writes the block at a place.
    static func write(block index: Int, of content: SnapshotContent, to writer: SnapshotWriter)
        throws(StorageError)
    {
        let outcome = content.block(index).withUnsafeBytes { bytes -> Result<Void, StorageError> in
            do throws(StorageError) { return .success(try writer.append(bytes)) } catch {
                return .failure(error)
            }
        }
        try outcome.get()
    }

    /// Writes a whole snapshot of the state after `frames` frames, verified.
    @discardableResult
    func writeSnapshot(after frames: Int, blocks: Int = 5) throws(StorageError) -> SnapshotFile {
        let content = SnapshotContent(frames: frames, blocks: blocks)
        let writer = try self.beginSnapshot(after: frames)
        do throws(StorageError) {
            for index in 0 ..< blocks { try Self.write(block: index, of: content, to: writer) }
            return try writer.finish()
        } catch {
            writer.abandon()
            throw error
        }
    }

    /// A log of `frames` frames with a snapshot, and a removal of what may go, after each of
    /// `snapshots`.
    static func written(frames: Int, snapshotsAfter snapshots: [Int], blocks: Int = 5) throws
        -> LogFixture
    {
        let fixture = LogFixture()
        try fixture.open()
        for index in 1 ... frames {
            if snapshots.contains(index) {
                _ = try fixture.prune(
                    after: fixture.writeSnapshot(after: index, blocks: blocks))
            }
            if index < frames { try fixture.write(index) }
        }
        fixture.disk.killProcess()
        return fixture
    }

    /// The index of the newest snapshot, or of one before it, among files.
    static func snapshot(in files: [(path: String, content: [UInt8])], beforeNewest steps: Int = 0)
        -> Int?
    {
        let found = files.indices.filter { files[$0].path.hasSuffix(".snapshot") }
        return found.dropLast(steps).last
    }

    var catalogue: SnapshotCatalogue {
        SnapshotCatalogue(self.environment, directoryID: Self.directoryID)
    }
}
