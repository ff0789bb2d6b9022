/// Why a backup was not made. Everything of it is removed then.
package enum BackupError: Error, Equatable, Sendable {
    case storage(StorageError)
    /// The directory cannot be used: what was found.
    case destination(String)
}

/// Makes a directory that a node can start from: one snapshot, and whatever its log needs to
/// continue behind it. Copies one block per step; made by `LogStore.backUp`.
///
/// Used by one thread, while a node writes to the source. A directory left by a crash before the
/// end has no snapshot, so no start mistakes it for a backup.
package protocol LogBackup: AnyObject {
    /// Bytes of the whole backup.
    var bytesTotal: Int { get }
    /// Bytes that are written and synced, once the first step has returned.
    var bytesCopied: Int { get }
    /// Copies the next block, or reads the next one back.
    ///
    /// - Returns: At the end, the snapshot in the backup.
    /// - Throws: `BackupError`; nothing of the backup is left then.
    /// - Complexity: O(bytes of one block).
    func step() throws(BackupError) -> JobStep<SnapshotFile>
    /// Removes everything that was written; does nothing once the backup has ended.
    func abandon()
}
