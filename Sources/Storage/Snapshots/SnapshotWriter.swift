import Bytes
import IOCore

/// Writes one snapshot, block by block; used by one thread, while another thread writes the log.
///
/// The file has a temporary name until it is whole and durable. What has the name of a snapshot was
/// synced before it got it, so a crash at any moment leaves a whole snapshot, or a temporary file
/// that a start removes, or `SnapshotPruner` (L11, L13).
package final class SnapshotWriter {
    /// writing --finishStep--> verifying --finishStep--> ended
    ///    +------------- abandon, failure -----------------+
    private enum State {
        case writing(any File)
        /// The file has its final name and is read back.
        case verifying(SnapshotVerification)
        case ended
    }

    private let files: SegmentFiles
    private let header: SnapshotHeader
    private let seed: SnapshotSeed
    private let name: String
    private let temporaryName: String
    private var state: State
    private var offset = 0
    private var previousHeaderCRC: UInt32 = 0
    private var footer = SnapshotFooter(blocks: 0, payloadBytes: 0)
    private var pieces = ByteBuffer(capacity: 128)

    /// Begins the file `<lsn>.snapshot.tmp`; what an earlier attempt left under that name goes.
    ///
    /// - Throws: `.noSpace`, `.io`; nothing needs to be abandoned then.
    package init(
        _ environment: LogEnvironment, directoryID: DirectoryID, position: SnapshotPosition
    ) throws(StorageError) {
        self.files = SegmentFiles(
            fileSystem: environment.fileSystem, directory: environment.directory)
        self.header = SnapshotHeader(directoryID: directoryID, position: position)
        self.seed = SnapshotSeed(self.header)
        self.name = SnapshotNames.name(of: position.lsn)
        self.temporaryName = self.name + SegmentFiles.temporarySuffix
        let path = self.files.path(self.temporaryName)
        let files = self.files
        self.state = .ended
        let file = try Self.storage { () throws(IOError) in
            do throws(IOError) {
                return try files.fileSystem.open(path, .create)
            } catch {
                guard error.kind == .exists else { throw error }
                try files.fileSystem.remove(path)
                return try files.fileSystem.open(path, .create)
            }
        }
        self.state = .writing(file)
        self.previousHeaderCRC = self.header.write(into: &self.pieces)
        do throws(StorageError) {
            try self.write(self.pieces.bytes)
        } catch {
            self.abandon()
            throw error
        }
    }

    deinit {
        if case .writing(let file) = self.state { file.close() }
    }

    /// Bytes written so far.
    package var bytes: Int { self.offset }

    /// Writes and syncs one block of items, at most 256 MiB; borrowed for the call.
    ///
    /// Each block is synced by itself: one sync of the whole file at its end would hold the log's
    /// own syncs back for as long as it takes.
    ///
    /// - Throws: `.noSpace`, `.io`; abandon the snapshot then.
    package func append(_ block: UnsafeRawBufferPointer) throws(StorageError) {
        try self.append(block, as: .items)
        self.footer.blocks += 1
        self.footer.payloadBytes += UInt64(block.count)
    }

    private func append(_ payload: UnsafeRawBufferPointer, as kind: SnapshotBlockKind)
        throws(StorageError)
    {
        precondition(payload.count <= SnapshotBlockHeader.payloadBytesMax, "a block has a bound")
        guard case .writing(let file) = self.state else {
            preconditionFailure("the snapshot has ended")
        }
        let number = self.footer.blocks
        let header = SnapshotBlockHeader(
            kind: kind, number: number, payloadBytes: payload.count,
            previousHeaderCRC: self.previousHeaderCRC,
            payloadCRC: crc32c(payload, continuing: self.seed.block(number)))
        self.pieces.removeAll()
        self.previousHeaderCRC = header.write(into: &self.pieces, seed: self.seed)
        try self.write(self.pieces.bytes)
        try self.write(payload)
        if header.paddedBytes > payload.count {
            self.pieces.removeAll()
            self.pieces.appendUninitialized(header.paddedBytes - payload.count).initializeMemory(
                as: UInt8.self, repeating: 0)
            try self.write(self.pieces.bytes)
        }
        try Self.storage { () throws(IOError) in
            try file.sync()
            // The pages of a snapshot would push out what the log and the readers of the machine
            // need.
            file.dropCache()
        }
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        guard case .writing(let file) = self.state else {
            preconditionFailure("the snapshot has ended")
        }
        try Self.storage { () throws(IOError) in try file.write(bytes, at: self.offset) }
        self.offset += bytes.count
    }

    /// Ends the file and gives it its name, in the first step; then reads one block back per step
    /// and verifies it (L11).
    ///
    /// - Returns: At the end, the snapshot; only now may anything older be removed.
    /// - Throws: `.snapshotDamaged` if what is read is not what was written: the file is removed
    ///   then. `.noSpace`, `.io`: abandon it.
    /// - Complexity: O(bytes of one block).
    package func finishStep() throws(StorageError) -> JobStep<SnapshotFile> {
        if case .writing(let file) = self.state {
            var footer = ByteBuffer(capacity: SnapshotFooter.bytes)
            self.footer.write(into: &footer)
            try self.append(footer.bytes, as: .footer)
            file.close()
            self.state = .verifying(try self.publish())
        }
        guard case .verifying(let verification) = self.state else {
            preconditionFailure("the snapshot has ended")
        }
        do throws(StorageError) {
            let step = try verification.step()
            if case .finished = step { self.state = .ended }
            return step
        } catch {
            // A file that does not read back must not be found by a start.
            self.state = .ended
            self.remove(self.name)
            throw error
        }
    }

    /// Gives the closed file its name, durably, and opens it for reading.
    private func publish() throws(StorageError) -> SnapshotVerification {
        self.state = .ended
        var nameNow = self.temporaryName
        do throws(StorageError) {
            let files = self.files
            try Self.storage { () throws(IOError) in
                try files.fileSystem.rename(
                    files.path(self.temporaryName), to: files.path(self.name))
                nameNow = self.name
                try files.fileSystem.syncDirectory(files.directory)
            }
            return try SnapshotVerification(
                files, self.name, directoryID: self.header.directoryID)
        } catch {
            self.remove(nameNow)
            throw error
        }
    }

    /// Closes and removes the file, whatever its name is now; nothing if the snapshot is finished.
    package func abandon() {
        switch self.state {
        case .writing(let file):
            file.close()
            self.remove(self.temporaryName)
        case .verifying: self.remove(self.name)
        case .ended: break
        }
        self.state = .ended
    }

    /// What cannot be removed now goes with the next start, or once the next snapshot is verified.
    private func remove(_ name: String) {
        try? self.files.fileSystem.remove(self.files.path(name))
    }

    /// Maps a full disk to an error of its own: the caller tries again later.
    private static func storage<Result>(_ body: () throws(IOError) -> Result) throws(StorageError)
        -> Result
    {
        do throws(IOError) { return try body() } catch {
            if error.kind == .noSpace { throw .noSpace }
            throw .io(error)
        }
    }
}
