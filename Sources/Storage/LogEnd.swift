// A log that was shortened from its end looks like one that was never longer: the last segment may
// have been deleted, or an older copy of it restored. So the log notes now and then in a small file
// how far it has come, at times when it waits anyway, and a start that finds less is rejected.
// Source: docs/formats/log.md, "The noted end"; docs/decisions/0322-noted-end.md.

import Bytes
import IOCore

/// Where a log ends, for messages.
package struct LogEndPosition: Equatable, Sendable {
    /// Of the last operation; 0: there is none.
    package var lsn: UInt64
    /// The number of the last segment; 0: there is none.
    package var segment: UInt64
}

/// How far a log had come, durably, when that was last noted.
///
/// Layout of one slot, little-endian:
/// `magic: 8 bytes | version: UInt32 | zero: UInt32 | directoryID: 16 bytes, big-endian |
/// sequence: UInt64 | segment: UInt64 | nextFrame: UInt64 | nextLSN: UInt64 | crc: UInt32` over the
/// 64 bytes before.
struct LogEnd: Equatable {
    static let slotBytes = 68
    static let version: UInt32 = 1
    /// The text PRFLEND and a zero.
    static let magic: UInt64 = 0x0044_4E45_4C46_5250

    var directoryID: DirectoryID
    /// +1 for each note, so that the newer of two slots is known.
    var sequence: UInt64
    /// The segment that the log was writing to.
    var segment: UInt64
    /// Of the first frame behind the noted end.
    var nextFrame: UInt64
    var nextLSN: UInt64

    var position: LogEndPosition {
        LogEndPosition(lsn: self.nextLSN - 1, segment: self.segment)
    }

    func write(into buffer: inout ByteBuffer) {
        let start = buffer.count
        FilePreamble(version: Self.version, directoryID: self.directoryID)
            .write(magic: Self.magic, into: &buffer)
        buffer.append(self.sequence)
        buffer.append(self.segment)
        buffer.append(self.nextFrame)
        buffer.append(self.nextLSN)
        buffer.append(crc32c(UnsafeRawBufferPointer(rebasing: buffer.bytes[start...])))
    }

    /// Reads a slot; `nil` if it was never written, or not to its end, or has numbers that no log
    /// has.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= Self.slotBytes else { return nil }
        let body = UnsafeRawBufferPointer(rebasing: bytes[..<(Self.slotBytes - 4)])
        var reader = ByteReader(bytes)
        guard let preamble = FilePreamble(from: &reader, magic: Self.magic),
            preamble.isExactly(Self.version)
        else { return nil }
        self.directoryID = preamble.directoryID
        self.sequence = reader.read()
        self.segment = reader.read()
        self.nextFrame = reader.read()
        self.nextLSN = reader.read()
        guard reader.read(UInt32.self) == crc32c(body),
            [self.sequence, self.segment, self.nextFrame, self.nextLSN].allSatisfy({
                LogNumber.allowed.contains($0)
            })
        else { return nil }
    }

    init(
        directoryID: DirectoryID, sequence: UInt64, segment: UInt64, nextFrame: UInt64,
        nextLSN: UInt64
    ) {
        self.directoryID = directoryID
        self.sequence = sequence
        self.segment = segment
        self.nextFrame = nextFrame
        self.nextLSN = nextLSN
    }
}

/// The file of the noted end. Used by one thread.
struct LogEndFile {
    static let name = "log-end"
    /// The two slots are in different sectors, and are written in turn: a power failure can damage
    /// only the one that is being written.
    private static let slotOffsets = [0, 512]
    static let bytes = 512 + LogEnd.slotBytes

    private let files: SegmentFiles
    private var last: LogEnd?

    /// - Throws: `.io`; a missing or damaged file is no error: it notes nothing.
    init(_ files: SegmentFiles) throws(IOError) {
        self.files = files
        self.last = try Self.read(files)
    }

    /// The newest note; `nil`: there is none.
    static func read(_ files: SegmentFiles) throws(IOError) -> LogEnd? {
        let file: any File
        do throws(IOError) { file = try files.fileSystem.open(files.path(Self.name), .read) } catch
        {
            if error.kind == .notFound { return nil }
            throw error
        }
        defer { file.close() }
        var newest: LogEnd?
        for offset in Self.slotOffsets {
            var bytes = ByteBuffer(capacity: LogEnd.slotBytes)
            bytes.truncate(
                to: try file.read(into: bytes.appendUninitialized(LogEnd.slotBytes), at: offset))
            guard let found = LogEnd(bytes.bytes), found.sequence >= newest?.sequence ?? 0
            else { continue }
            newest = found
        }
        return newest
    }

    /// Notes an end that is durable already.
    ///
    /// - Parameter isSynced: Whether the note itself must be durable when this returns.
    /// - Throws: What the file system says, except want of space or of a descriptor: then the end
    ///   is not noted.
    mutating func note(
        _ directoryID: DirectoryID, segment: UInt64, _ chain: SegmentedLog.Chain, isSynced: Bool
    ) throws(IOError) {
        let end = LogEnd(
            directoryID: directoryID, sequence: (self.last?.sequence ?? 0) + 1, segment: segment,
            nextFrame: chain.nextFrame, nextLSN: chain.nextLSN)
        do throws(IOError) {
            try self.write(end, isSynced: isSynced)
        } catch {
            guard error.kind == .noSpace || error.kind == .tooManyOpenFiles else { throw error }
        }
    }

    private mutating func write(_ end: LogEnd, isSynced: Bool) throws(IOError) {
        let path = self.files.path(Self.name)
        // A file without a note in it may have been left by a crash.
        let names =
            self.last == nil ? try self.files.fileSystem.list(self.files.directory) : [Self.name]
        let isNew = !names.contains(Self.name)
        let file = try self.files.fileSystem.open(path, isNew ? .create : .update)
        defer { file.close() }
        var bytes = ByteBuffer(capacity: LogEnd.slotBytes)
        end.write(into: &bytes)
        let slot = Int(end.sequence % UInt64(Self.slotOffsets.count))
        try file.write(bytes.bytes, at: Self.slotOffsets[slot])
        if isSynced || isNew { try file.sync() }
        if isNew { try self.files.syncNames() }
        self.last = end
    }
}

extension Recovery {
    /// Rejects a log that ends before its noted end.
    ///
    /// - Parameter accepted: The lsn at which a shorter log may end; `nil`: none may.
    mutating func checkEnd(accepting accepted: UInt64?) throws(StorageError) {
        guard let noted = try Self.notedEnd(self.files) else { return }
        let path = self.files.path(LogEndFile.name)
        guard noted.directoryID == self.directoryID else { throw .foreign(file: path) }
        guard self.end.segment < noted.segment || self.end.chain.nextFrame < noted.nextFrame else {
            return
        }
        let lsn = self.end.chain.nextLSN - 1
        guard lsn != accepted else {
            self.report.acceptedLossOf = noted.nextLSN - 1
            return
        }
        throw .logLoss(
            file: path, found: LogEndPosition(lsn: lsn, segment: self.end.segment),
            noted: noted.position)
    }

    /// Rejects a directory without any log where a log was.
    static func checkNothingWasNoted(
        _ files: SegmentFiles, accepting accepted: UInt64?
    ) throws(StorageError) {
        guard let noted = try Self.notedEnd(files), accepted != 0 else { return }
        throw .logLoss(
            file: files.path(LogEndFile.name), found: LogEndPosition(lsn: 0, segment: 0),
            noted: noted.position)
    }

    private static func notedEnd(_ files: SegmentFiles) throws(StorageError) -> LogEnd? {
        try Self.storage { () throws(IOError) in try LogEndFile.read(files) }
    }
}
