import Bytes
import IOCore

/// The snapshots of a data directory, and what may go once a new one is verified.
///
/// Used by one thread at a time, beside the log's: it touches no segment that the log still writes
/// to.
package struct SnapshotCatalogue {
    private let files: SegmentFiles
    private let directoryID: DirectoryID

    package init(_ environment: LogEnvironment, directoryID: DirectoryID) {
        self.files = SegmentFiles(
            fileSystem: environment.fileSystem, directory: environment.directory)
        self.directoryID = directoryID
    }

    /// What a removal of old files did.
    package struct Pruning: Equatable, Sendable {
        /// The older snapshot that is kept beside the new one.
        package var older: SnapshotFile?
        package var snapshotsRemoved = 0
        package var segmentsRemoved = 0
        package var tornFilesRemoved = 0
        /// Names of snapshots that did not verify; removed.
        package var damaged: [String] = []
        /// Of all files removed.
        package var bytesRemoved: UInt64 = 0

        package init() {}
    }

    /// Names of all snapshots, the newest first, whatever is in them.
    package func names() throws(StorageError) -> [String] {
        let files = self.files
        return Self.names(
            in: try Recovery.storage { () throws(IOError) in
                try files.fileSystem.list(files.directory)
            })
    }

    static func names(in listing: [String]) -> [String] {
        listing.filter { SnapshotNames.lsn(of: $0) != nil }.reversed()
    }

    /// Reads all of a snapshot.
    ///
    /// - Throws: `.snapshotDamaged`, `.newerFormat`, `.foreign`, `.io`.
    /// - Complexity: O(bytes of the file); holds one block.
    package func verify(_ name: String, pause: (_ bytes: Int) -> Void = { _ in })
        throws(StorageError) -> SnapshotFile
    {
        try SnapshotReader.verify(self.files, name, directoryID: self.directoryID, pause: pause)
    }

    /// The newest snapshot that verifies, older than `limit`.
    ///
    /// - Parameter damaged: Gets the names of those that do not.
    private func newest(
        in names: [String], before limit: UInt64, damaged: inout [String], pause: (Int) -> Void
    ) throws(StorageError) -> SnapshotFile? {
        for name in names where SnapshotNames.lsn(of: name).map({ $0 < limit }) == true {
            do throws(StorageError) {
                return try self.verify(name, pause: pause)
            } catch {
                guard case .snapshotDamaged = error else { throw error }
                damaged.append(name)
            }
        }
        return nil
    }

    /// The newest snapshot that verifies.
    ///
    /// - Throws: `.newerFormat`, `.foreign`, `.io`.
    /// - Complexity: O(bytes of the snapshots read).
    package func newest() throws(StorageError) -> SnapshotFile? {
        var damaged: [String] = []
        return try self.newest(
            in: try self.names(), before: .max, damaged: &damaged, pause: { _ in })
    }

    /// Removes what no start needs any more: all snapshots but `newest` and the newest valid one
    /// before it, and the log before that.
    ///
    /// Without a valid older snapshot nothing of the log goes. A crash at any step leaves a
    /// directory that a start reads alike: the removal of snapshots is durable before that of
    /// segments begins, and segments that remain before a gap are passed over.
    ///
    /// - Parameters:
    ///   - newest: As `SnapshotWriter.finish` returned it: verified, and not by its name alone.
    ///   - pause: Called with the bytes of each block of an older snapshot that is read; rests as
    ///     long as it likes.
    /// - Throws: `.io`; what was not removed goes the next time.
    package func prune(
        after newest: SnapshotFile, pause: (_ bytes: Int) -> Void = { _ in }
    ) throws(StorageError) -> Pruning {
        var result = Pruning()
        let names = try self.names()
        result.older = try self.newest(
            in: names, before: newest.position.lsn, damaged: &result.damaged, pause: pause)
        let kept = [newest.name, result.older?.name]
        let superseded = names.reversed().filter { name in
            !kept.contains(name)
                && SnapshotNames.lsn(of: name).map { $0 < newest.position.lsn } == true
        }
        result.snapshotsRemoved = superseded.count
        try self.remove(Array(superseded), &result)
        if let older = result.older { try self.removeLog(before: older.position, &result) }
        return result
    }

    private func removeLog(before position: SnapshotPosition, _ result: inout Pruning)
        throws(StorageError)
    {
        let truncation = try self.files.truncate(
            before: position.log, directoryID: self.directoryID)
        result.segmentsRemoved = truncation.segmentsRemoved
        result.tornFilesRemoved = truncation.tornFilesRemoved
        result.bytesRemoved += truncation.bytesRemoved
    }

    private func remove(_ names: [String], _ result: inout Pruning) throws(StorageError) {
        result.bytesRemoved += try self.files.remove(names)
    }
}
