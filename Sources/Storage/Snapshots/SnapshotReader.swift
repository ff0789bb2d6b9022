import Bytes
import IOCore

/// Reads one snapshot from its beginning, one verified block at a time.
///
/// One read gives the payload of a block and the header of the next, so a block costs one system
/// call and memory is bounded by the largest block. A length is believed only after its checksum,
/// and only as far as the file goes.
package struct SnapshotReader: ~Copyable {
    package let position: SnapshotPosition
    package let directoryID: DirectoryID
    /// Of the file.
    package let sizeBytes: Int

    private let file: any File
    private let seed: SnapshotSeed
    /// Of the next block's header.
    private var offset = SnapshotHeader.bytes
    private var previousHeaderCRC: UInt32
    private var number: UInt64 = 0
    private var payloadBytes: UInt64 = 0
    /// A block header, or a payload with the block header behind it.
    private var buffer = ByteBuffer(capacity: SnapshotHeader.bytes)
    /// Where the next block's header stands in `buffer`.
    private var headerStart = 0
    /// Storage that the buffer keeps after a large block, in bytes.
    private static let bufferBytesKept = 4 << 20
    private var isAtEnd = false

    /// Opens a snapshot of this directory.
    ///
    /// - Throws: `.newerFormat`, `.foreign`: never to be fallen back from. `.snapshotDamaged` if
    ///   the header is not whole. `.io`.
    package init(
        _ environment: LogEnvironment, name: String, directoryID: DirectoryID? = nil
    ) throws(StorageError) {
        let files = SegmentFiles(
            fileSystem: environment.fileSystem, directory: environment.directory)
        try self.init(files, name, directoryID: directoryID)
    }

    init(_ files: SegmentFiles, _ name: String, directoryID: DirectoryID?) throws(StorageError) {
        let path = files.path(name)
        let file = try Recovery.storage { () throws(IOError) in
            try files.fileSystem.open(path, .read)
        }
        var bytes = ByteBuffer(capacity: SnapshotHeader.bytes)
        let size: Int
        let header: SnapshotHeader
        let crc: UInt32
        do throws(StorageError) {
            do throws(IOError) {
                size = try file.size()
                bytes.truncate(
                    to: try file.read(into: bytes.appendUninitialized(SnapshotHeader.bytes), at: 0))
            } catch {
                throw .io(error)
            }
            (header, crc) = try Self.header(in: bytes.bytes, path)
            guard directoryID == nil || header.directoryID == directoryID else {
                throw .foreign(file: path)
            }
            guard SnapshotNames.lsn(of: name) == header.position.lsn else {
                throw .snapshotDamaged(
                    file: path, offsetBytes: 0, found: "the snapshot of lsn \(header.position.lsn)")
            }
        } catch {
            file.close()
            throw error
        }
        self.file = file
        self.sizeBytes = size
        self.position = header.position
        self.directoryID = header.directoryID
        self.seed = SnapshotSeed(header)
        self.previousHeaderCRC = crc
    }

    deinit {
        self.file.close()
    }

    /// Makes what follows come from the disk and not from memory.
    func dropCache() {
        self.file.dropCache()
    }

    private static func header(
        in bytes: UnsafeRawBufferPointer, _ path: String
    ) throws(StorageError) -> (SnapshotHeader, UInt32) {
        switch SnapshotHeader.read(bytes) {
        case .newer(let version): throw .newerFormat(file: path, version: version)
        case .damaged:
            throw .snapshotDamaged(file: path, offsetBytes: 0, found: "not a snapshot header")
        case .header(let header, let crc): return (header, crc)
        }
    }

    /// The payload of the next block, verified; valid until the next call.
    ///
    /// - Returns: `nil` once the footer has been reached and is right: only then is the snapshot
    ///   whole.
    /// - Throws: `.snapshotDamaged`, `.io`.
    package mutating func next() throws(StorageError) -> UnsafeRawBufferPointer? {
        guard !self.isAtEnd else { return nil }
        if self.number == 0 { try self.fill(with: SnapshotBlockHeader.bytes, at: self.offset) }
        let found = SnapshotBlockHeader.read(
            UnsafeRawBufferPointer(rebasing: self.buffer.bytes[self.headerStart...]),
            number: self.number, seed: self.seed)
        guard let (header, crc) = found, header.previousHeaderCRC == self.previousHeaderCRC else {
            throw self.damaged("not the header of block \(self.number)")
        }
        let start = self.offset + SnapshotBlockHeader.bytes
        guard header.paddedBytes <= self.sizeBytes - start else {
            throw self.damaged("block \(self.number) is cut off")
        }
        let payload = try self.payload(of: header, at: start)
        self.previousHeaderCRC = crc
        self.offset = start + header.paddedBytes
        guard header.kind == .items else {
            try self.end(payload)
            return nil
        }
        self.number += 1
        self.payloadBytes += UInt64(header.payloadBytes)
        return payload
    }

    private mutating func payload(
        of header: SnapshotBlockHeader, at start: Int
    ) throws(StorageError) -> UnsafeRawBufferPointer {
        try self.fill(with: header.paddedBytes + SnapshotBlockHeader.bytes, at: start)
        guard self.buffer.count >= header.paddedBytes else {
            throw self.damaged("block \(header.number) is cut off")
        }
        self.headerStart = header.paddedBytes
        let payload = UnsafeRawBufferPointer(rebasing: self.buffer.bytes[..<header.payloadBytes])
        let padding = self.buffer.bytes[header.payloadBytes ..< header.paddedBytes]
        guard crc32c(payload, continuing: self.seed.block(header.number)) == header.payloadCRC,
            padding.allSatisfy({ $0 == 0 })
        else { throw self.damaged("the content of block \(header.number) is not what was written") }
        return payload
    }

    private mutating func end(_ payload: UnsafeRawBufferPointer) throws(StorageError) {
        let wanted = SnapshotFooter(blocks: self.number, payloadBytes: self.payloadBytes)
        guard SnapshotFooter.read(payload) == wanted else {
            throw self.damaged("the footer counts other blocks")
        }
        guard self.offset == self.sizeBytes else {
            throw self.damaged("something follows the footer")
        }
        self.isAtEnd = true
    }

    /// Reads up to `count` bytes, fewer at the end of the file.
    private mutating func fill(with count: Int, at offset: Int) throws(StorageError) {
        self.buffer.removeAll()
        self.buffer.shrink(toCapacity: max(count, Self.bufferBytesKept))
        let target = self.buffer.appendUninitialized(max(0, min(count, self.sizeBytes - offset)))
        do throws(IOError) {
            self.buffer.truncate(to: try self.file.read(into: target, at: offset))
        } catch {
            throw .io(error)
        }
        self.headerStart = 0
    }

    private func damaged(_ found: String) -> StorageError {
        .snapshotDamaged(file: self.file.path, offsetBytes: self.offset, found: found)
    }

    /// What the file is; once `next` has returned `nil`.
    package func verified(name: String) -> SnapshotFile {
        precondition(self.isAtEnd, "only a whole snapshot is verified")
        return SnapshotFile(
            position: self.position, name: name, bytes: self.sizeBytes, blocks: self.number)
    }

    /// Reads all of a snapshot at once.
    ///
    /// - Throws: As `init` and `next`.
    /// - Complexity: O(bytes of the file); holds one block.
    static func verify(
        _ files: SegmentFiles, _ name: String, directoryID: DirectoryID?
    ) throws(StorageError) -> SnapshotFile {
        var reader = try SnapshotReader(files, name, directoryID: directoryID)
        while try reader.next() != nil {}
        return reader.verified(name: name)
    }
}
