import Storage

// The stepwise jobs run to their end, for tests that look at what is left afterwards.

extension SnapshotWriter {
    /// - Parameter onBlock: Gets the bytes of each block that is read back.
    func finish(onBlock: (Int) -> Void = { _ in }) throws(StorageError) -> SnapshotFile {
        while true {
            switch try self.finishStep() {
            case .progress(let bytes): onBlock(bytes)
            case .finished(let file): return file
            }
        }
    }
}

extension SnapshotCatalogue {
    /// - Parameter onBlock: Gets the bytes of each block of an older snapshot that is verified.
    func prune(
        after newest: SnapshotFile, of logStore: any LogStore, onBlock: (Int) -> Void = { _ in }
    ) throws(StorageError) -> Pruning {
        let pruner = self.pruner(after: newest, of: logStore)
        while true {
            switch try pruner.step() {
            case .progress(let bytes): onBlock(bytes)
            case .finished(let pruning): return pruning
            }
        }
    }
}

extension LogFixture {
    /// The same for this log.
    func prune(
        after newest: SnapshotFile, onBlock: (Int) -> Void = { _ in }
    ) throws(StorageError) -> SnapshotCatalogue.Pruning {
        try self.catalogue.prune(
            after: newest, of: SegmentedLogStore(self.environment), onBlock: onBlock)
    }
}

extension LogBackup {
    /// - Parameter shouldContinue: Gets the bytes copied after each block; false abandons.
    /// - Returns: `nil` if it was abandoned.
    @discardableResult
    func write(shouldContinue: (_ bytesCopied: Int) -> Bool) throws(BackupError) -> SnapshotFile? {
        var seen = 0
        while true {
            switch try self.step() {
            case .finished(let file): return file
            case .progress:
                guard self.bytesCopied > seen else { continue }
                seen = self.bytesCopied
                guard shouldContinue(seen) else {
                    self.abandon()
                    return nil
                }
            }
        }
    }
}

extension Scrubber {
    /// - Parameters:
    ///   - pause: Gets the bytes of each piece; false ends the run.
    ///   - damaged: Gets what is wrong with each damaged file.
    /// - Returns: `nil` if `pause` ended the run.
    func run(
        pause: (Int) -> Bool = { _ in true }, damaged: (StorageError) -> Void
    ) throws(StorageError) -> Figures? {
        while true {
            switch try self.step() {
            case .progress(let bytes): guard pause(bytes) else { return nil }
            case .damaged(let error): damaged(error)
            case .finished(let figures): return figures
            }
        }
    }
}
