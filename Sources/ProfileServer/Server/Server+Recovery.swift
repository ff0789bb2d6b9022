import IOCore
import IOLinux
import ProfileService
import Profiles
import Storage

/// What serving needs of a recovered directory. The committer and the log belong to the log thread
/// from its start to its end.
struct RecoveredDirectory: @unchecked Sendable {
    let lock: any DirectoryLock
    let store: Store
    let pipeline: CommitPipeline
    let committer: Committer
    let log: SegmentedLog
    let snapshotter: Snapshotter
    let coordinator: OperatorCoordinator
    let scrubber: Scrubber
    let parker: LinuxParker
    let report: RecoveryReport
    let seconds: Double
}

extension Server {
    /// How often a start says how far it has got, in nanoseconds.
    private static let progressNanoseconds: UInt64 = 1_000_000_000

    /// Locks the data directory, reads it, and makes what it says durable.
    func recover() throws(RecoveryError) -> RecoveredDirectory {
        var options = LogOptions()
        options.segmentBytes = self.configuration.segmentBytes
        let preparerParker = LinuxParker()
        let environment = LogEnvironment(
            directory: self.configuration.dataDirectory, fileSystem: LinuxFileSystem(),
            clock: self.clock,
            options: options, preparerParker: preparerParker)
        let started = self.clock.monotonicNanoseconds()
        let lock: any DirectoryLock
        do throws(StorageError) {
            lock = try SegmentedLog.lock(environment)
        } catch {
            throw .storage(error)
        }
        self.examineFileSystem(environment)
        let logParker = LinuxParker()
        let snapshotParker = LinuxParker()
        let feed = SnapshotFeed(logParker: logParker, parker: snapshotParker)
        let recovered = try Partition.recover(
            environment, limits: StoreLimits(), random: LinuxRandomSource(), feed: feed,
            onProgress: self.progress(of: environment, since: started))
        let snapshotter = self.makeSnapshotter(
            environment, recovered, feed: feed, parker: snapshotParker)
        return RecoveredDirectory(
            lock: lock, store: recovered.store,
            pipeline: self.makePipeline(parker: logParker, snapshotter),
            committer: recovered.committer, log: recovered.log, snapshotter: snapshotter,
            coordinator: OperatorCoordinator(
                source: snapshotter, copier: DirectoryBackup(environment),
                mailboxes: self.mailboxes, parker: LinuxParker(),
                clock: self.clock),
            scrubber: Scrubber(environment, directoryID: recovered.log.directoryID),
            parker: preparerParker,
            report: recovered.report,
            seconds: Double(self.clock.monotonicNanoseconds() - started) / 1e9)
    }

    /// Shows a start's progress to probes at once, to the operator now and then.
    private func progress(of environment: LogEnvironment, since started: UInt64) -> (
        RecoveryProgress
    ) -> Void {
        let total = SegmentedLog.bytesToRecover(environment)
        self.status.phase = .replaying(doneBytes: 0, totalBytes: total)
        var nextLine = started + Self.progressNanoseconds
        return { progress in
            self.status.phase = .replaying(doneBytes: progress.bytes, totalBytes: total)
            let now = self.clock.monotonicNanoseconds()
            guard now >= nextLine else { return }
            nextLine = now + Self.progressNanoseconds
            self.log.info(
                "recovering", LogField("snapshot_bytes", progress.snapshotBytes),
                LogField("log_bytes", progress.logBytes),
                LogField("total_bytes", total), LogField("lsn", progress.lsn))
        }
    }

    private func makePipeline(parker: LinuxParker, _ snapshotter: Snapshotter) -> CommitPipeline {
        let (health, log, pollers) = (self.health, self.log, self.pollers)
        var limits = PipelineLimits()
        limits.memoryBytesMax = self.configuration.memoryLimit
        // The pipeline must hold neither the loops nor the status: both hold it.
        return CommitPipeline(
            limits: limits, mailboxes: self.mailboxes, parker: parker,
            onPoison: { [weak status = self.status] in
                health.setAll(.notServing)
                status?.phase = .logFailed
                log.error("log failed: writes are refused until a restart")
                for poller in pollers { poller.wake() }
            },
            onShortage: { shortage, isShort in
                if shortage == .disk { snapshotter.note(isDiskFull: isShort) }
                Self.report(shortage, isShort, to: log)
            })
    }

    private static func report(_ shortage: Shortage, _ isShort: Bool, to log: Log) {
        switch (shortage, isShort) {
        case (.disk, true):
            log.warning("disk full: writes are refused until there is space, reads go on")
        case (.disk, false): log.info("there is space again: writes go on")
        case (.memory, true):
            log.warning(
                """
                memory limit reached: writes are refused, but for opt-outs, log-outs and \
                erasures; reads go on
                """)
        case (.memory, false): log.info("below the memory limit again: writes go on")
        }
    }

    private func makeSnapshotter(
        _ environment: LogEnvironment, _ recovered: Partition.Recovered, feed: SnapshotFeed,
        parker: LinuxParker
    ) -> Snapshotter {
        var policy = SnapshotPolicy()
        policy.logBytesMax = UInt64(self.configuration.snapshotLogBytes)
        policy.ageNanosecondsMax = UInt64(self.configuration.snapshotSeconds) * 1_000_000_000
        let log = self.log
        return Snapshotter(
            environment: environment, directoryID: recovered.log.directoryID, feed: feed,
            parker: parker,
            store: recovered.store, log: recovered.log.metrics, coverage: recovered.coverage,
            policy: policy,
            onEvent: { Self.tell($0, to: log) })
    }

    private static func tell(_ event: Snapshotter.Event, to log: Log) {
        switch event {
        case .finished(let file, let pruning, let seconds):
            log.info(
                "snapshot", LogField("lsn", file.position.lsn), LogField("bytes", file.bytes),
                LogField("seconds", seconds),
                LogField("segments_removed", pruning.segmentsRemoved),
                LogField("bytes_removed", pruning.bytesRemoved))
            for name in pruning.damaged {
                log.error("a snapshot was damaged and is removed", LogField("file", name))
            }
        case .failed(.stopping): break
        case .failed(let failure):
            log.error("no snapshot could be made", LogField("reason", failure.description))
        case .notPruned(let error):
            log.error(
                "the log before the last snapshots could not be removed",
                LogField("reason", error.description))
        }
    }

    /// Warns of what will not hold, or not for long (L16). That it can be written was shown by the
    /// lock.
    private func examineFileSystem(_ environment: LogEnvironment) {
        if let free = try? environment.fileSystem.freeBytes(environment.directory),
            free < UInt64(environment.options.headroomBytes)
        {
            self.log.warning(
                "the data directory has room for less than two segments",
                LogField("free_bytes", free),
                LogField("segment_bytes", environment.options.segmentBytes))
        }
        let kind = environment.fileSystem.kind(environment.directory)
        guard ["tmpfs", "overlay", "nfs", "fuse"].contains(kind) else { return }
        self.log.warning(
            "the data directory lies on a file system that may not keep what it acknowledges",
            LogField("file_system", kind))
    }
}
