import Storage

// The local log, one whole operation at a time, with the reason of its first failure.
extension SegmentedLog {
    /// Hands a frame over.
    func write(_ frame: LogFrame) throws(StorageError) {
        try self.explained { () throws(AppendError) in _ = try self.append(frame) }
    }

    /// Makes the frame that was handed over durable.
    func commit() throws(StorageError) {
        guard self.failure == nil else { throw .poisoned }
        while true {
            switch self.advance() {
            case .pending: return
            case .committed: continue
            default: throw self.failure ?? .poisoned
            }
        }
    }

    /// Seals the log, if it is not sealed.
    func seal(digest: UInt64) throws(StorageError) {
        try self.explained { () throws(AppendError) in
            _ = try self.rest(idleNanoseconds: .max, results: self.mark(digest))
        }
    }

    /// Ends the segment; the position of a snapshot of all frames so far.
    func cut(receivedAt: Int64, digest: UInt64) throws(StorageError) -> SnapshotPosition {
        let log = try self.explained { () throws(AppendError) in
            try self.checkpoint(results: self.mark(digest))
        }
        return SnapshotPosition(
            lsn: self.lastLSN, receivedAt: receivedAt, rulesVersion: 1, resultsDigest: digest,
            log: log)
    }

    /// Ends the log without a seal, as a crash does.
    func abandon() {
        self.closeFile()
    }

    private func mark(_ digest: UInt64) -> ResultsMark {
        ResultsMark(lsn: self.lastLSN, digest: digest)
    }

    private func explained<Result>(
        _ body: () throws(AppendError) -> Result
    ) throws(StorageError) -> Result {
        let hadFailed = self.failure != nil
        do throws(AppendError) {
            return try body()
        } catch {
            switch error {
            case .noSpace: throw .noSpace
            case .failed, .notLeader: throw hadFailed ? .poisoned : self.failure ?? .poisoned
            }
        }
    }
}
