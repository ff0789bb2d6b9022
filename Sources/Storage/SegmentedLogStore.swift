import IOCore

/// Opens the log of one data directory on this machine.
package final class SegmentedLogStore: LogStore {
    /// Its lock is set by `lock`, before any other use.
    private var environment: LogEnvironment

    package init(_ environment: LogEnvironment) {
        self.environment = environment
    }

    package func lock() throws(StorageError) -> any DirectoryLock {
        let lock = try SegmentedLog.lock(self.environment)
        self.environment.lock = lock
        return lock
    }

    /// - Parameter waker: Not used: the local log reports a frame when it is advanced.
    package func open(
        genesis: () -> LogGenesis, target: any RecoveryTarget, waker: any Waker
    ) throws(StorageError) -> OpenedLog {
        let (log, report) = try SegmentedLog.open(
            self.environment, genesis: genesis, target: target)
        return OpenedLog(
            log: log, report: report, directoryID: log.directoryID, metrics: log.metrics,
            preparer: log.preparer)
    }

    package func inspect(target: any RecoveryTarget) throws(StorageError) -> RecoveryReport? {
        try SegmentedLog.inspect(self.environment, target: target)
    }

    package func bytesToRecover() -> UInt64 {
        SegmentedLog.bytesToRecover(self.environment)
    }

    package func truncate(before position: LogPosition) throws(StorageError) -> LogTruncation {
        try SegmentFiles(
            fileSystem: self.environment.fileSystem, directory: self.environment.directory
        ).truncate(before: position, directoryID: nil)
    }

    package func makeScrubber(_ directoryID: DirectoryID) -> Scrubber {
        Scrubber(self.environment, directoryID: directoryID)
    }

    package func backUp(_ snapshot: SnapshotFile, to destination: String) -> any LogBackup {
        BackupWriter(snapshot, of: self.environment, to: destination)
    }
}
