/// Reads one snapshot to its end, a block per step, and verifies it.
package final class SnapshotVerification {
    private let name: String
    private var reader: SnapshotReader

    /// - Parameter bypassesCache: Read from the disk what the system still holds in memory.
    /// - Throws: As `SnapshotReader.init`.
    init(
        _ files: SegmentFiles, _ name: String, directoryID: DirectoryID?,
        bypassesCache: Bool = false
    ) throws(StorageError) {
        self.name = name
        self.reader = try SnapshotReader(files, name, directoryID: directoryID)
        if bypassesCache { self.reader.dropCache() }
    }

    /// Reads and verifies the next block.
    ///
    /// - Throws: As `SnapshotReader.next`.
    /// - Complexity: O(bytes of the block); holds one block.
    package func step() throws(StorageError) -> JobStep<SnapshotFile> {
        if let block = try self.reader.next() { return .progress(bytes: block.count) }
        return .finished(self.reader.verified(name: self.name))
    }
}
