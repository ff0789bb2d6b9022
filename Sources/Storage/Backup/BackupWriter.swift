import Bytes
import IOCore

/// Makes a directory that a server can start from: a copy of one snapshot, and a log that continues
/// behind it, sealed and empty. Copies one block per step.
///
/// The log comes first and the snapshot last, both under temporary names until they are whole: a
/// directory left by a crash on the way has no snapshot, and no start takes it for anything. Used
/// by one thread, while a server writes to the source.
///
/// Every block is verified as it is read; the open file keeps the snapshot readable when its name
/// is removed meanwhile.
final class BackupWriter: LogBackup {
    /// idle --step--> copying --step--> verifying --step--> ended
    ///   +------------ failure, abandon --------------------+
    private enum State {
        case idle
        case copying(Copy)
        /// The copy is whole and is read back.
        case verifying(SnapshotWriter)
        case ended
    }

    /// The snapshot that is read and the one that is written.
    private final class Copy {
        var reader: SnapshotReader
        let writer: SnapshotWriter

        init(_ reader: consuming SnapshotReader, to target: LogEnvironment) throws(StorageError) {
            self.writer = try SnapshotWriter(
                target, directoryID: reader.directoryID, position: reader.position)
            self.reader = reader
        }

        /// - Returns: Bytes of the block that was copied; `nil` at the end.
        func step() throws(StorageError) -> Int? {
            guard let block = try self.reader.next() else { return nil }
            try self.writer.append(block)
            return block.count
        }
    }

    private let source: LogEnvironment
    private let target: LogEnvironment
    private let files: SegmentFiles

    /// Of the segment beside the snapshot: a header and a seal.
    private static let segmentBytes = SegmentHeader.bytes + FrameHeader.bytes
    /// The lowest number of a backup's segment: 1 belongs to a log that holds everything since the
    /// beginning.
    private static let segmentNumberMin: UInt64 = 2

    private let snapshot: SnapshotFile
    private var state = State.idle
    /// Bytes of the snapshot's copy that are written and synced.
    private var snapshotBytesCopied = 0

    var bytesTotal: Int { self.snapshot.bytes + Self.segmentBytes }
    var bytesCopied: Int { self.snapshotBytesCopied + Self.segmentBytes }
    /// Removed if the backup is not finished.
    private var segmentFiles: [String] = []

    /// - Parameters:
    ///   - snapshot: One of the source, verified.
    ///   - destination: An empty directory, or none yet.
    init(
        _ snapshot: SnapshotFile, of source: LogEnvironment, to destination: String
    ) {
        self.snapshot = snapshot
        self.source = source
        self.target = LogEnvironment(
            directory: destination, fileSystem: source.fileSystem, clock: source.clock,
            options: source.options)
        self.files = SegmentFiles(fileSystem: source.fileSystem, directory: destination)
    }

    /// The first step also makes the directory and the segment.
    func step() throws(BackupError) -> JobStep<SnapshotFile> {
        do throws(BackupError) {
            switch self.state {
            case .idle: return try self.copyBlock(try self.begin())
            case .copying(let copy): return try self.copyBlock(copy)
            case .verifying(let writer): return try self.verifyBlock(writer)
            case .ended: preconditionFailure("the backup has ended")
            }
        } catch {
            self.abandon()
            throw error
        }
    }

    func abandon() {
        switch self.state {
        case .copying(let copy): copy.writer.abandon()
        case .verifying(let writer): writer.abandon()
        case .idle, .ended: break
        }
        if case .ended = self.state { return }
        self.state = .ended
        if !self.segmentFiles.isEmpty { self.remove(self.segmentFiles) }
    }

    private func begin() throws(BackupError) -> Copy {
        let reader = try Self.storage { () throws(StorageError) in
            try SnapshotReader(self.source, name: self.snapshot.name)
        }
        try self.prepareDirectory()
        let segment = max(
            Self.segmentNumberMin, self.segmentNumber(at: reader.position, of: reader.directoryID))
        let name = SegmentFiles.name(of: segment)
        self.segmentFiles = [name, name + SegmentFiles.temporarySuffix]
        do throws(StorageError) {
            try self.writeSegment(segment, behind: reader.position, of: reader.directoryID)
            let copy = try Copy(reader, to: self.target)
            self.state = .copying(copy)
            return copy
        } catch {
            throw .storage(error)
        }
    }

    private func copyBlock(_ copy: Copy) throws(BackupError) -> JobStep<SnapshotFile> {
        do throws(StorageError) {
            if let bytes = try copy.step() {
                self.snapshotBytesCopied = copy.writer.bytes
                return .progress(bytes: bytes)
            }
        } catch {
            throw .storage(error)
        }
        self.state = .verifying(copy.writer)
        return try self.verifyBlock(copy.writer)
    }

    private func verifyBlock(_ writer: SnapshotWriter) throws(BackupError) -> JobStep<SnapshotFile>
    {
        do throws(StorageError) {
            let step = try writer.finishStep()
            if case .finished = step { self.state = .ended }
            return step
        } catch {
            throw .storage(error)
        }
    }

    /// Makes the directory; it must be empty.
    private func prepareDirectory() throws(BackupError) {
        let (fileSystem, directory) = (self.files.fileSystem, self.files.directory)
        guard !self.isInSource else { throw .destination("in the data directory") }
        do throws(IOError) {
            try fileSystem.createDirectory(directory)
            // Never through a symbolic link: it would let whoever made it choose where people's
            // data ends up.
            try fileSystem.syncDirectory(directory)
            guard try fileSystem.list(directory).isEmpty else {
                throw IOError(.exists, operation: "opendir", subject: directory, code: 0)
            }
        } catch {
            if error.kind == .noSpace { throw .storage(.noSpace) }
            if error.kind == .exists, error.code == 0 {
                throw .destination("not an empty directory")
            }
            throw .destination("\(error.operation) \(error.failure)")
        }
    }

    /// Whether the destination is below the source: what was erased would stay there, and the next
    /// start would meet names that it takes for its own.
    private var isInSource: Bool {
        let (fileSystem, destination) = (self.files.fileSystem, self.files.directory)
        guard let source = try? fileSystem.canonicalPath(self.source.directory) else {
            return false
        }
        // What is missing will be made below the nearest that is there.
        var path = destination[...]
        while !path.isEmpty {
            if let found = try? fileSystem.canonicalPath(String(path)) {
                return "\(found)\(destination[path.endIndex...])".hasPrefix("\(source)/")
            }
            path = path[..<(path.lastIndex(of: "/") ?? path.startIndex)]
        }
        return false
    }

    /// The number of the source's segment that begins at a position; 0 if it is gone. Never used
    /// for another segment of the same log.
    private func segmentNumber(at position: SnapshotPosition, of directoryID: DirectoryID) -> UInt64
    {
        let files = SegmentFiles(
            fileSystem: self.source.fileSystem, directory: self.source.directory)
        guard let names = try? files.fileSystem.list(files.directory) else { return 0 }
        for number in names.compactMap(SegmentFiles.number(of:)).reversed() {
            guard let header = try? Recovery.header(of: number, in: files, expecting: directoryID)
            else { continue }
            if header.firstFrame == position.nextFrame { return number }
        }
        return 0
    }

    // MARK: Log

    /// Writes a segment that holds a seal and nothing else, and reads it back.
    private func writeSegment(
        _ number: UInt64, behind position: SnapshotPosition, of directoryID: DirectoryID
    ) throws(StorageError) {
        var bytes = ByteBuffer(capacity: Self.segmentBytes)
        let header = SegmentHeader(
            directoryID: directoryID, number: number, firstFrame: position.nextFrame,
            firstLSN: position.nextLSN,
            previousHeaderCRC: position.previousHeaderCRC)
        header.write(into: &bytes)
        let seal = FrameHeader(
            kind: .seal, segment: number, number: position.nextFrame, payloadBytes: 0,
            operationCount: 0,
            firstLSN: position.nextLSN, receivedAt: 0, rulesVersion: 0,
            previousHeaderCRC: position.previousHeaderCRC,
            previousResultsDigest: position.resultsDigest,
            payloadCRC: crc32c(UnsafeRawBufferPointer(start: nil, count: 0)))
        _ = seal.write(into: &bytes, seed: directoryID.seed)
        let name = SegmentFiles.name(of: number)
        let written = bytes
        let isSame = try Self.files { () throws(IOError) -> Bool in
            let temporary = name + SegmentFiles.temporarySuffix
            let file = try self.files.fileSystem.open(self.files.path(temporary), .create)
            defer { file.close() }
            try file.write(written.bytes, at: 0)
            try file.sync()
            try self.files.publish(named: temporary, as: number)
            var found = ByteBuffer(capacity: written.count)
            found.truncate(to: try file.read(into: found.appendUninitialized(written.count), at: 0))
            return try file.size() == written.count && found.bytes.elementsEqual(written.bytes)
        }
        guard isSame else {
            throw .corruption(
                file: self.files.path(name), offsetBytes: 0, lsn: position.nextLSN,
                found: "other bytes than were written a moment ago")
        }
    }

    /// What cannot be removed is left: the directory is no backup without a snapshot.
    private func remove(_ names: [String]) {
        for name in names { try? self.files.fileSystem.remove(self.files.path(name)) }
        try? self.files.fileSystem.syncDirectory(self.files.directory)
    }

    // MARK: Errors

    private static func storage<Result: ~Copyable>(_ body: () throws(StorageError) -> Result)
        throws(BackupError) -> Result
    {
        do throws(StorageError) { return try body() } catch { throw .storage(error) }
    }

    /// Maps a full disk to an error of its own.
    private static func files<Result>(_ body: () throws(IOError) -> Result) throws(StorageError)
        -> Result
    {
        do throws(IOError) { return try body() } catch {
            if error.kind == .noSpace { throw .noSpace }
            throw .io(error)
        }
    }
}
