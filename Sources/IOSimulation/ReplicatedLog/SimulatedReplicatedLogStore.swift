import IOCore
import Storage

/// Opens a member's end of a simulated replicated log: one store for each node of a cluster.
///
/// The history outlives the node; the node's own snapshots are files of its simulated disk.
package final class SimulatedReplicatedLogStore: LogStore {
    /// The member's number, for elections.
    package let member: Int
    private let cluster: SimulatedCluster
    private let environment: LogEnvironment

    /// - Parameter environment: Where the node keeps its snapshots.
    package init(_ cluster: SimulatedCluster, _ environment: LogEnvironment) {
        self.cluster = cluster
        self.environment = environment
        self.member = cluster.addMember()
    }

    package func lock() throws(StorageError) -> any DirectoryLock {
        try SegmentedLogStore(self.environment).lock()
    }

    package func open(
        genesis: () -> LogGenesis, target: any RecoveryTarget, waker: any Waker
    ) throws(StorageError) -> OpenedLog {
        if self.cluster.framesCommitted == 0 { self.cluster.begin(genesis(), by: self.member) }
        guard let report = try self.inspect(target: target),
            let directoryID = self.cluster.directoryID
        else { preconditionFailure("the history has its genesis") }
        self.cluster.setWaker(waker, of: self.member)
        // What was read is the history of the others.
        self.cluster.rejoin(self.member)
        let metrics = LogMetrics()
        let log = SimulatedReplicatedLog(
            self.cluster, member: self.member, seen: self.cluster.framesCommitted, metrics: metrics)
        return OpenedLog(log: log, report: report, directoryID: directoryID, metrics: metrics)
    }

    package func inspect(target: any RecoveryTarget) throws(StorageError) -> RecoveryReport? {
        guard self.cluster.framesCommitted > 0 else { return nil }
        var report = RecoveryReport()
        report.snapshot = try self.loadSnapshot(into: target)
        let first = Int(report.snapshot?.position.log.index ?? 1)
        guard first >= self.cluster.firstFrame else {
            throw .missingLog(
                after: self.environment.directory, lsn: 0,
                found: "the log begins at frame \(self.cluster.firstFrame)")
        }
        for frame in self.cluster.frames(from: first) {
            let replayed = frame.replayed
            guard target.replay(replayed) else { throw .replayRejected(lsn: replayed.firstLSN) }
            report.frames += 1
            report.operations += UInt64(frame.operationCount)
            report.bytes += frame.payload.count
        }
        return report
    }

    /// Loads the newest whole snapshot whose position is in the kept history.
    private func loadSnapshot(into target: any RecoveryTarget) throws(StorageError) -> SnapshotFile?
    {
        guard let directoryID = self.cluster.directoryID,
            let names = try? SnapshotCatalogue(self.environment, directoryID: directoryID).names()
        else { return nil }
        for name in names {
            do throws(StorageError) {
                var reader = try SnapshotReader(
                    self.environment, name: name, directoryID: directoryID)
                let position = reader.position.log
                guard position.index > 1,
                    self.cluster.position(behind: Int(position.index) - 1) == position
                else { continue }
                target.begin(reader.position, bytes: reader.sizeBytes)
                while let block = try reader.next() {
                    guard target.load(block) else { throw .snapshotRejected(file: name) }
                }
                guard target.endOfSnapshot() else { throw .snapshotRejected(file: name) }
                return reader.verified(name: name)
            } catch {
                guard case .snapshotDamaged = error else { throw error }
                target.abandonSnapshot()
            }
        }
        return nil
    }

    package func bytesToRecover() -> UInt64 {
        self.cluster.bytesKept
    }

    package func truncate(before position: LogPosition) throws(StorageError) -> LogTruncation {
        var truncation = LogTruncation()
        truncation.bytesRemoved = self.cluster.truncate(
            before: Int(position.index), for: self.member)
        return truncation
    }

    /// Makes a directory for the local log: a backup is kept outside of the cluster.
    package func backUp(_ snapshot: SnapshotFile, to destination: String) -> any LogBackup {
        SegmentedLogStore(self.environment).backUp(snapshot, to: destination)
    }

    /// Reads the snapshots of this member; the cluster keeps the log.
    package func makeScrubber(_ directoryID: DirectoryID) -> Scrubber {
        Scrubber(self.environment, directoryID: directoryID)
    }
}
