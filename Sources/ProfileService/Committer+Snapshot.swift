import Storage

extension Committer {
    /// Begins a snapshot that is wanted, or makes the next piece of one; between two frames.
    ///
    /// - Returns: Whether there is more to do at once.
    func advanceSnapshot() -> Bool {
        guard let snapshots = self.snapshots else { return false }
        guard !self.hasFailed else {
            snapshots.fail(.logFailed)
            return false
        }
        guard snapshots.isWanted else { return snapshots.advance() }
        if self.checkpointLSN == self.results.appliedLSN {
            // Without a new record the lsn would be that of the snapshot before. What is in flight
            // brings one.
            guard self.framesInFlight == 0 else { return false }
            // On a full disk the tick uses the reserve: the snapshot may be what frees some space.
            guard self.appendTick() else {
                snapshots.fail(self.snapshotFailure)
                return false
            }
            self.collectEvents()
            guard self.checkpointLSN != self.results.appliedLSN else {
                if self.hasFailed { snapshots.fail(.logFailed) }
                // The log was asked when to look again before the tick was in flight.
                return self.framesInFlight > 0
            }
        }
        return self.beginSnapshot(snapshots)
    }

    private func beginSnapshot(_ snapshots: SnapshotMaker) -> Bool {
        do throws(AppendError) {
            let log = try self.log.checkpoint(results: self.results.newest)
            self.checkpointLSN = self.results.appliedLSN
            snapshots.begin(
                at: SnapshotPosition(
                    lsn: self.results.appliedLSN, receivedAt: self.appliedAt,
                    rulesVersion: self.store.newestRules,
                    resultsDigest: self.results.newest.digest, log: log))
            return true
        } catch {
            if case .noSpace = error {
                // The log continues as before, and only the snapshot needed the space.
                snapshots.fail(.noSpace)
            } else {
                _ = self.rejection(for: error)
                snapshots.fail(self.snapshotFailure)
            }
            return false
        }
    }

    /// Why no tick or checkpoint could be had.
    private var snapshotFailure: SnapshotFailure {
        if self.hasFailed { return .logFailed }
        return self.isLeading ? .noSpace : .notLeader
    }
}
