import IOCore

/// A log that was opened, and what belongs to it.
package struct OpenedLog {
    /// Belongs to the thread that commits.
    package var log: any CommandLog
    /// What recovery found.
    package var report: RecoveryReport
    /// Names the directory; snapshots carry it.
    package var directoryID: DirectoryID
    /// May be read on any thread.
    package var metrics: LogMetrics
    /// Makes file space ahead of use, on a thread of its own; `nil`: the log needs none.
    package var preparer: (any LogPreparer)?

    package init(
        log: any CommandLog, report: RecoveryReport, directoryID: DirectoryID,
        metrics: LogMetrics, preparer: (any LogPreparer)? = nil
    ) {
        self.log = log
        self.report = report
        self.directoryID = directoryID
        self.metrics = metrics
        self.preparer = preparer
    }
}

/// Opens one kind of log: the one place that knows which implementation a node runs on.
package protocol LogStore: AnyObject {
    /// Makes the directory where it is missing and takes its lock, which must be held as long as
    /// the log is used (L14). Called once, before anything else.
    func lock() throws(StorageError) -> any DirectoryLock
    /// Opens the log of a locked directory, and reads the newest whole snapshot and the log behind
    /// it into `target`. What `target` was given is durable when this returns (L21).
    ///
    /// - Parameters:
    ///   - genesis: Makes the first frame of an empty directory; the target gets it like any other.
    ///   - waker: Woken when `advance` has something to report. May be woken on any thread.
    /// - Throws: Before anything is changed, if the log is damaged, foreign, newer, or rejected by
    ///   the target.
    /// - Complexity: O(bytes of the snapshot and of the log behind it).
    func open(
        genesis: () -> LogGenesis, target: any RecoveryTarget, waker: any Waker
    ) throws(StorageError) -> OpenedLog
    /// Reads what `open` would read and rejects what it would reject, and changes nothing. The
    /// caller holds the lock, or nobody writes.
    ///
    /// - Returns: `nil` if there is neither a log nor a snapshot.
    func inspect(target: any RecoveryTarget) throws(StorageError) -> RecoveryReport?
    /// Bytes that `open` may have to read; 0 where there is nothing.
    func bytesToRecover() -> UInt64
    /// Removes the parts of the log that end before a position; may run beside a log that is in
    /// use.
    func truncate(before position: LogPosition) throws(StorageError) -> LogTruncation
    /// Makes one reading of everything durable that a start would need: snapshots, and the parts of
    /// the log that are no longer written to.
    ///
    /// - Parameter directoryID: Of the opened log.
    func makeScrubber(_ directoryID: DirectoryID) -> Scrubber
    /// Prepares a copy of one verified snapshot in a directory of its own, with a log that
    /// continues behind it. Nothing is done before the first step; may run beside a log that is in
    /// use.
    ///
    /// - Parameter destination: An empty directory, or one that does not exist yet.
    func backUp(_ snapshot: SnapshotFile, to destination: String) -> any LogBackup
}
