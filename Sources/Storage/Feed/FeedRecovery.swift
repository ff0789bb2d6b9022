import Bytes
import IOCore

/// Reads the directory of the feed at a start, and tells which files go on to be used; changes
/// nothing, so that a rejected start leaves them as they were.
///
/// The feed is cut behind the snapshot that the start has loaded, and the replay of the log makes
/// the rest again. What does not reach the snapshot cannot be continued, and is made anew from
/// there on: nothing here ever rejects a start.
struct FeedRecovery: ~Copyable {
    /// In ascending order; the last one is cut.
    private(set) var segments: [FeedSegment] = []
    /// Frames up to the snapshot of a block that goes on behind it: to be written again.
    private(set) var frames = ByteBuffer()
    /// The header of that block.
    private(set) var block: FeedBlockHeader?
    /// Names that are to be removed.
    private(set) var leftovers: [String] = []
    /// Why something that was there is not used; `nil`: it is, or nothing was there.
    private(set) var lossReason: String?

    private let files: FeedFiles
    private let directoryID: DirectoryID
    private let snapshotLSN: UInt64

    /// - Parameters:
    ///   - snapshotLSN: Where the replay of the log begins behind; 0: there is no snapshot.
    ///   - wall: Microseconds since 1970.
    ///   - now: Monotonic, in nanoseconds.
    init(
        _ files: FeedFiles, of directoryID: DirectoryID, behind snapshotLSN: UInt64, wall: Int64,
        now: UInt64, options: FeedOptions
    ) throws(IOError) {
        self.files = files
        self.directoryID = directoryID
        self.snapshotLSN = snapshotLSN
        let names = try files.list()
        self.leftovers = names.filter(FeedFiles.isTemporary)
        for lsn in names.compactMap(FeedFiles.lsn(of:)) {
            // What is behind the snapshot is made again.
            guard lsn <= snapshotLSN, let header = try self.header(of: lsn),
                header.oldestAt <= wall + FeedOptions.aheadMicrosecondsMax
            else {
                if lsn <= snapshotLSN { self.discard("\(FeedFiles.name(of: lsn)) is unusable") }
                self.leftovers.append(FeedFiles.name(of: lsn))
                continue
            }
            self.segments.append(
                FeedSegment(
                    firstLSN: lsn, bytes: 0, oldestAt: header.oldestAt,
                    expiresAt: options.expiry(of: header.oldestAt, wall: wall, now: now)))
        }
        for index in self.segments.indices {
            self.segments[index].bytes = try self.size(of: self.segments[index].firstLSN)
        }
        try self.cut()
    }

    /// Everything found so far cannot be used.
    private mutating func discard(_ reason: String) {
        self.leftovers += self.segments.map { FeedFiles.name(of: $0.firstLSN) }
        self.segments = []
        self.lossReason = reason
    }

    private func header(of lsn: UInt64) throws(IOError) -> FeedSegmentHeader? {
        var reader = FeedFileReader(self.files)
        let bytes: UnsafeRawBufferPointer
        do throws(IOError) {
            bytes = try reader.bytes(
                of: lsn, at: 0, count: FeedSegmentHeader.bytes, limit: FeedSegmentHeader.bytes)
        } catch {
            if error.kind == .tooManyOpenFiles { throw error }
            return nil
        }
        guard let header = FeedSegmentHeader.read(bytes), header.directoryID == self.directoryID,
            header.firstLSN == lsn
        else { return nil }
        return header
    }

    private func size(of lsn: UInt64) throws(IOError) -> Int {
        let file = try self.files.fileSystem.open(
            self.files.path(FeedFiles.name(of: lsn)), .read)
        defer { file.close() }
        return try file.size()
    }

    /// Finds where the last segment has come to the snapshot.
    private mutating func cut() throws(IOError) {
        guard let last = self.segments.last else { return }
        let seed = FeedSegmentHeader(
            directoryID: self.directoryID, firstLSN: last.firstLSN, oldestAt: 0
        ).seed
        var reader = FeedFileReader(self.files)
        var offset = FeedSegmentHeader.bytes
        var expected = last.firstLSN
        while expected <= self.snapshotLSN {
            switch try reader.block(
                of: last.firstLSN, at: offset, seed: seed, expecting: expected,
                from: self.snapshotLSN, limit: last.bytes)
            {
            case .passed(let header):
                offset += header.totalBytes
                expected = header.throughLSN + 1
            case .block(let header, _) where header.throughLSN == self.snapshotLSN:
                offset += header.totalBytes
                expected = header.throughLSN + 1
            case .block(let header, let payload):
                self.segments[self.segments.count - 1].bytes = offset
                self.keep(header, payload)
                return
            case .end, .damaged:
                return self.discard("it ends at lsn \(expected - 1), before the snapshot")
            }
        }
        self.segments[self.segments.count - 1].bytes = offset
    }

    private mutating func keep(_ header: FeedBlockHeader, _ payload: UnsafeRawBufferPointer) {
        self.block = header
        var frames = FeedFrames(payload)
        var end = 0
        while let frame = frames.next(), frame.lastLSN <= self.snapshotLSN { end = frames.offset }
        self.frames.append(UnsafeRawBufferPointer(rebasing: payload[..<end]))
    }
}

extension FeedOptions {
    /// The monotonic time at which something has reached the greatest age, in nanoseconds.
    func expiry(of oldestAt: Int64, wall: Int64, now: UInt64) -> UInt64 {
        let age = max(0, wall.subtractingReportingOverflow(oldestAt).partialValue)
        return now + UInt64(max(0, self.ageMicrosecondsMax - age)) * 1_000
    }
}

extension FeedState {
    /// The feed as a recovery has found it; the head is at the snapshot.
    init(_ recovery: borrowing FeedRecovery, behind snapshotLSN: UInt64) {
        self.segments = recovery.segments
        self.earliest = recovery.segments.first?.firstLSN ?? snapshotLSN + 1
        self.head = snapshotLSN
        self.lossReason = recovery.lossReason
        let through = recovery.block.map { $0.firstLSN - 1 } ?? snapshotLSN
        self.writtenThrough = through
        self.syncedThrough = through
        self.lastChange = through
        guard let header = recovery.block, recovery.frames.count > 0 else { return }
        let block = FeedBlock(capacity: recovery.frames.count)
        block.fill(recovery.frames.bytes)
        self.add(block, from: header.firstLSN, at: header.oldestAt)
        self.publish(
            bytes: recovery.frames.count, lastLSN: snapshotLSN, at: header.oldestAt)
    }
}
