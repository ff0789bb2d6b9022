import Bytes
import IOCore

/// Reads the segments in order, frame by frame, and decides what the end of the last one is.
///
/// Reading changes nothing: a rejected directory keeps every byte. Source: docs/formats/log.md,
/// "Recovery".
struct Recovery {
    /// Where reading stands.
    struct Position {
        var segment: UInt64 = 0
        var offset = 0
        var chain = SegmentedLog.Chain(nextFrame: 1, nextLSN: 1, previousHeaderCRC: 0)
    }

    let files: SegmentFiles
    let directoryID: DirectoryID
    /// Of the segments at the end of the log whose numbers have no gap.
    let headers: [SegmentHeader]
    private let seed: UInt32
    /// Frames before this are in the snapshot that was loaded; without one, the beginning of all.
    private(set) var base = Position().chain
    /// The name of that snapshot.
    private(set) var snapshotPath: String?
    var report = RecoveryReport()
    /// Behind the last good frame.
    var end = Position()
    /// Behind the last seal of the last segment, or at that segment's beginning: what follows may
    /// exist in the page cache only.
    ///
    /// A segment is made only when every frame before it is synced, so that its mere presence seals
    /// them. That bounds the tail, and what a start copies, by one segment.
    var sealed = Position()
    /// Whether the last frame is a seal.
    private(set) var endsWithSeal = false
    /// Behind the last byte that is not zero, in the last segment.
    var endOfData = 0

    init(files: SegmentFiles, directoryID: DirectoryID, headers: [SegmentHeader]) {
        self.files = files
        self.directoryID = directoryID
        self.headers = headers
        self.seed = directoryID.seed
    }

    /// From here on frames before the position of a loaded snapshot are read and not handed over.
    mutating func goOn(behind snapshot: SnapshotFile) {
        self.base = snapshot.position.chain
        self.snapshotPath = self.files.path(snapshot.name)
        self.report.snapshot = snapshot
    }

    /// Reads the log from the segment that holds the base, and hands over every frame from the base
    /// on.
    mutating func replay(into target: any RecoveryTarget) throws(StorageError) {
        guard let first = self.headers.lastIndex(where: { $0.firstFrame <= self.base.nextFrame })
        else {
            throw self.missingLog("it begins at frame \(self.headers[0].firstFrame)")
        }
        self.report.segments = self.headers.count - first
        self.end.chain =
            self.headers[first].firstFrame == self.base.nextFrame
            ? self.base : self.headers[first].chain
        for (index, header) in self.headers.enumerated().dropFirst(first) {
            // A later segment replaces every frame from its first on, in all segments before it.
            let limit = self.headers[(index + 1)...].map(\.firstFrame).min()
            if let limit, header.firstFrame >= limit { continue }
            try self.replaySegment(header, upTo: limit, target)
        }
        guard self.end.chain.nextFrame >= self.base.nextFrame else {
            throw self.missingLog("it ends before frame \(self.end.chain.nextFrame)")
        }
    }

    private func missingLog(_ found: String) -> StorageError {
        .missingLog(
            after: self.snapshotPath ?? self.files.directory, lsn: self.base.nextLSN - 1,
            found: found)
    }

    /// - Parameter limit: The first frame that a later segment has; `nil` in the last segment.
    private mutating func replaySegment(
        _ header: SegmentHeader, upTo limit: UInt64?, _ target: any RecoveryTarget
    ) throws(StorageError) {
        let number = header.number
        let name = SegmentFiles.name(of: number)
        guard header.firstFrame == self.end.chain.nextFrame,
            header.firstLSN == self.end.chain.nextLSN,
            header.previousHeaderCRC == self.end.chain.previousHeaderCRC
        else {
            throw self.corruption(name, 0, "a segment that does not continue what is before it")
        }
        let file = try Self.storage { () throws(IOError) in
            try self.files.fileSystem.open(self.files.path(name), .read)
        }
        defer { file.close() }
        var reader = try Self.reader(file)
        self.end.segment = number
        self.end.offset = SegmentHeader.bytes
        self.sealed = self.end
        self.endsWithSeal = false
        while self.end.chain.nextFrame != limit {
            guard
                case .frame(let frame, let crc, let payload) = try Self.frame(
                    &reader, self.end.offset, number, self.seed)
            else { break }
            guard frame.continues(self.end.chain) else {
                throw self.corruption(
                    name, self.end.offset, "frame \(frame.number) does not continue the one before")
            }
            if frame.number >= self.base.nextFrame {
                guard Self.hand(frame, payload, to: target) else {
                    throw .replayRejected(lsn: frame.firstLSN)
                }
            }
            self.advance(past: frame, crc: crc)
            guard self.end.chain.nextFrame != self.base.nextFrame || self.end.chain == self.base
            else {
                throw self.corruption(
                    name, self.end.offset, "the snapshot was made from another log")
            }
        }
        if let limit {
            guard self.end.chain.nextFrame == limit else {
                throw self.corruption(
                    name, self.end.offset,
                    "frame \(self.end.chain.nextFrame) is incomplete, "
                        + "and a later segment continues the log"
                )
            }
            return
        }
        try self.examineTail(&reader, name)
    }

    /// Gives a frame to the target: records to be applied, or the digest that a seal carries.
    private static func hand(
        _ frame: FrameHeader, _ payload: UnsafeRawBufferPointer, to target: any RecoveryTarget
    ) -> Bool {
        switch frame.kind {
        case .records: target.replay(ReplayedFrame(frame, payload: payload))
        case .seal: target.check(frame.results, number: frame.number)
        }
    }

    private mutating func advance(past frame: FrameHeader, crc: UInt32) {
        self.end.offset += frame.totalBytes
        self.end.chain = frame.chain(crc: crc)
        self.report.bytes += frame.totalBytes
        switch frame.kind {
        case .seal:
            self.sealed = self.end
            self.endsWithSeal = true
        case .records:
            self.endsWithSeal = false
            guard frame.number >= self.base.nextFrame else { return }
            self.report.frames += 1
            self.report.operations += UInt64(frame.operationCount)
        }
    }

    /// Decides between a clean end, a torn tail, and corruption (L4): a good frame of this
    /// directory and segment behind a bad place means that the bad place was once good.
    private mutating func examineTail(_ reader: inout SegmentReader, _ name: String)
        throws(StorageError)
    {
        self.endOfData = try Self.endOfData(&reader, self.end.offset)
        var offset = self.end.offset + FrameHeader.alignmentBytes
        // Up to where a header can begin, not where it must end: a checksum's last bytes may be
        // zero.
        while offset < self.endOfData {
            let found = try Self.headerBytes(&reader, offset)
            if let (frame, _) = FrameHeader.read(found, seed: self.seed),
                frame.segment == self.end.segment,
                frame.number > self.end.chain.nextFrame
            {
                throw self.corruption(
                    name, self.end.offset,
                    "frame \(self.end.chain.nextFrame) is not whole, and frame "
                        + "\(frame.number) follows at byte \(offset)"
                )
            }
            offset += FrameHeader.alignmentBytes
        }
        guard self.endOfData > self.end.offset else { return }
        self.report.tornTail = RecoveryReport.TornTail(
            segment: self.end.segment, offsetBytes: self.end.offset,
            bytes: self.endOfData - self.end.offset)
    }

    /// Whether the end of the log is a seal with nothing behind it: then every frame is durable as
    /// it is.
    var isSealed: Bool { self.endsWithSeal && self.endOfData <= self.end.offset }

    private func corruption(_ name: String, _ offset: Int, _ found: String) -> StorageError {
        .corruption(
            file: self.files.path(name), offsetBytes: offset, lsn: self.end.chain.nextLSN,
            found: found)
    }

    // MARK: Typed bridges

    static func header(
        of number: UInt64, in files: SegmentFiles, expecting directoryID: DirectoryID?
    ) throws(StorageError) -> SegmentHeader {
        let path = files.path(SegmentFiles.name(of: number))
        var bytes = ByteBuffer(capacity: SegmentHeader.bytes)
        do throws(IOError) {
            let file = try files.fileSystem.open(path, .read)
            defer { file.close() }
            bytes.truncate(
                to: try file.read(into: bytes.appendUninitialized(SegmentHeader.bytes), at: 0))
        } catch {
            throw .io(error)
        }
        switch SegmentHeader.read(bytes.bytes) {
        case .newer(let version): throw .newerFormat(file: path, version: version)
        case .damaged:
            throw .corruption(file: path, offsetBytes: 0, lsn: 0, found: "not a segment header")
        case .header(let header):
            guard directoryID == nil || header.directoryID == directoryID else {
                throw .foreign(file: path)
            }
            guard header.number == number else {
                throw .corruption(
                    file: path, offsetBytes: 0, lsn: 0,
                    found: "the header of segment \(header.number)")
            }
            return header
        }
    }

    /// Runs file-system calls; their errors become `.io`.
    static func storage<Result>(_ body: () throws(IOError) -> Result) throws(StorageError) -> Result
    {
        do throws(IOError) {
            return try body()
        } catch {
            if error.kind == .locked { throw .locked(path: error.subject) }
            throw .io(error)
        }
    }

    static func reader(_ file: any File) throws(StorageError) -> SegmentReader {
        do throws(IOError) { return try SegmentReader(file) } catch { throw .io(error) }
    }

    static func frame(
        _ reader: inout SegmentReader, _ offset: Int, _ segment: UInt64, _ seed: UInt32
    ) throws(StorageError) -> SegmentReader.Finding {
        do throws(IOError) {
            return try reader.frame(at: offset, segment: segment, seed: seed)
        } catch { throw .io(error) }
    }

    private static func endOfData(_ reader: inout SegmentReader, _ offset: Int) throws(StorageError)
        -> Int
    {
        do throws(IOError) { return try reader.endOfData(after: offset) } catch { throw .io(error) }
    }

    private static func headerBytes(_ reader: inout SegmentReader, _ offset: Int)
        throws(StorageError) -> UnsafeRawBufferPointer
    {
        do throws(IOError) { return try reader.bytes(at: offset, count: FrameHeader.bytes) } catch {
            throw .io(error)
        }
    }
}
