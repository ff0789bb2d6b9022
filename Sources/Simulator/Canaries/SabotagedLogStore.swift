#if CANARIES
    import Bytes
    import IOCore
    import Storage

    /// A log store whose logs do what the active canary does, and whose segments may stay for ever.
    final class SabotagedLogStore: LogStore {
        private let store: any LogStore

        init(_ store: any LogStore) {
            self.store = store
        }

        func open(
            genesis: () -> LogGenesis, target: any RecoveryTarget, waker: any Waker
        ) throws(StorageError) -> OpenedLog {
            var opened = try self.store.open(genesis: genesis, target: target, waker: waker)
            opened.log = SabotagedLog(opened.log)
            return opened
        }

        func truncate(before position: LogPosition) throws(StorageError) -> LogTruncation {
            guard !Canary.logNeverTruncated.isActive else { return LogTruncation() }
            return try self.store.truncate(before: position)
        }

        func lock() throws(StorageError) -> any DirectoryLock { try self.store.lock() }

        func inspect(target: any RecoveryTarget) throws(StorageError) -> RecoveryReport? {
            try self.store.inspect(target: target)
        }

        func bytesToRecover() -> UInt64 { self.store.bytesToRecover() }

        func makeScrubber(_ directoryID: DirectoryID) -> Scrubber {
            self.store.makeScrubber(directoryID)
        }

        func backUp(_ snapshot: SnapshotFile, to destination: String) -> any LogBackup {
            self.store.backUp(snapshot, to: destination)
        }
    }
#endif
