import Bytes
import IOCore

/// The snapshots of a data directory, and which of them a new one supersedes.
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
    package func names() throws(StorageError) -> [String] { Self.names(in: try self.listing()) }

    /// Names of all files of the directory, in ascending order.
    func listing() throws(StorageError) -> [String] {
        let files = self.files
        return try Recovery.storage { () throws(IOError) in
            try files.fileSystem.list(files.directory)
        }
    }

    static func names(in listing: [String]) -> [String] {
        listing.filter { SnapshotNames.lsn(of: $0) != nil }.reversed()
    }

    static func isOlder(_ name: String, than newest: SnapshotFile) -> Bool {
        SnapshotNames.lsn(of: name).map { $0 < newest.position.lsn } == true
    }

    /// Begins to read all of a snapshot.
    ///
    /// - Throws: `.snapshotDamaged`, `.newerFormat`, `.foreign`, `.io`.
    package func verification(of name: String) throws(StorageError) -> SnapshotVerification {
        try SnapshotVerification(self.files, name, directoryID: self.directoryID)
    }

    /// Begins to remove what `newest` supersedes.
    ///
    /// - Parameters:
    ///   - newest: As `SnapshotWriter.finishStep` returned it: verified, and not by its name alone.
    ///   - logStore: Truncates its log behind the older snapshot.
    package func pruner(after newest: SnapshotFile, of logStore: any LogStore) -> SnapshotPruner {
        SnapshotPruner(self, after: newest, of: logStore)
    }

    /// The newest snapshot that verifies.
    ///
    /// - Throws: `.newerFormat`, `.foreign`, `.io`.
    /// - Complexity: O(bytes of the snapshots read).
    package func newest() throws(StorageError) -> SnapshotFile? {
        for name in try self.names() {
            do throws(StorageError) {
                return try SnapshotReader.verify(self.files, name, directoryID: self.directoryID)
            } catch {
                guard case .snapshotDamaged = error else { throw error }
            }
        }
        return nil
    }

    /// Removes the snapshots before `newest` except `result.older`, and what attempts before it
    /// have left: a file that could not be removed then may hold what was erased since.
    ///
    /// - Throws: `.io`; what was not removed goes the next time.
    func removeSuperseded(
        among listing: [String], after newest: SnapshotFile, _ result: inout Pruning
    ) throws(StorageError) {
        let older = result.older?.name
        let superseded = listing.filter { $0 != older && Self.isOlder($0, than: newest) }
        let unfinished = listing.filter {
            SnapshotNames.lsn(ofUnfinished: $0).map { $0 < newest.position.lsn } == true
        }
        result.snapshotsRemoved = superseded.count
        result.bytesRemoved += try self.files.remove(superseded + unfinished)
    }
}
