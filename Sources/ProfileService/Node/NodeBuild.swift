import IOCore
import Profiles
import Storage

/// Recovers the data directory and wires the workers of a node.
struct NodeBuild {
    /// How often a recovery is reported to the operator, in nanoseconds.
    private static let progressNanoseconds: UInt64 = 1_000_000_000
    /// File systems that may lose what they acknowledge.
    private static let unreliableFileSystems = ["tmpfs", "overlay", "nfs", "fuse"]

    /// What a recovery produces.
    struct Result {
        var recovered: Node.Recovered
        var coordinator: OperatorCoordinator
        var workers: [NodeComponent]
    }

    /// One per component that parks: each is woken by those who have work for it.
    private struct Parkers {
        let log: any Parker
        let snapshots: any Parker
        let backups: any Parker
        let preparer: any Parker
        let scrub: any Parker
        let feed: any Parker
        let watch: any Parker
        let triggers: any Parker
        let scans: any Parker
        let exports: any Parker

        init(_ make: () -> any Parker) {
            self.log = make()
            self.snapshots = make()
            self.backups = make()
            self.preparer = make()
            self.scrub = make()
            self.feed = make()
            self.watch = make()
            self.triggers = make()
            self.scans = make()
            self.exports = make()
        }
    }

    private let environment: NodeEnvironment
    private let parkers: Parkers
    private let log: LogEnvironment
    private let logStore: any LogStore

    init(_ environment: NodeEnvironment) {
        self.environment = environment
        self.parkers = Parkers(environment.makeParker)
        self.log = LogEnvironment(
            directory: environment.configuration.dataDirectory, fileSystem: environment.fileSystem,
            clock: environment.clock, options: environment.configuration.log,
            preparerWaker: self.parkers.preparer)
        self.logStore = environment.makeLogStore(self.log)
    }

    func lockDirectory() throws(StorageError) -> any DirectoryLock {
        try self.logStore.lock()
    }

    /// Reads the locked directory and builds every worker.
    ///
    /// - Parameters:
    ///   - mailboxes: Where the responses of the loops' calls go, one per loop.
    ///   - onLogFailure: Called once, on the log's thread, when the log has failed.
    func recover(
        mailboxes: [CompletionMailbox], scrubMetrics: ScrubMetrics,
        onLogFailure: @escaping @Sendable () -> Void
    ) throws(RecoveryError) -> Result {
        let started = self.environment.clock.monotonicNanoseconds()
        self.examineFileSystem()
        let feed = SnapshotFeed(logWaker: self.parkers.log, waker: self.parkers.snapshots)
        let feedWriter = self.makeFeedWriter()
        let recovered = try Partition.recover(
            self.logStore, clock: self.environment.clock,
            limits: self.environment.configuration.store, random: self.environment.random,
            feed: feed, recorder: ChangeRecorder(feedWriter), waker: self.parkers.log,
            onProgress: self.progress(since: started))
        let requests = SnapshotRequests(waker: self.parkers.snapshots)
        let snapshotter = self.makeSnapshotter(
            recovered, feed: feed, requests: requests, changes: feedWriter.feed)
        let snapshotMetrics = snapshotter.metrics
        feedWriter.keptBytes = { snapshotMetrics.bytes }
        let triggers = TriggerCoordinator(
            limits: self.environment.configuration.triggerStreams, mailboxes: mailboxes,
            waker: self.parkers.triggers)
        let pipeline = self.makePipeline(
            mailboxes: mailboxes, requests: requests, triggers: triggers,
            onLogFailure: onLogFailure)
        let coordinator = OperatorCoordinator(
            source: requests, mailboxes: mailboxes, waker: self.parkers.backups)
        let watchers = WatchCoordinator(
            limits: self.environment.configuration.watch, startLSN: recovered.store.appliedLSN,
            mailboxes: mailboxes, waker: self.parkers.watch)
        let scans = ScanCoordinator(
            limits: self.environment.configuration.scans, mailboxes: mailboxes,
            waker: self.parkers.scans)
        let exports = ExportCoordinator(
            limits: self.environment.configuration.exports, mailboxes: mailboxes,
            waker: self.parkers.exports)
        let elapsed = self.environment.clock.monotonicNanoseconds() - started
        return Result(
            recovered: Node.Recovered(
                store: recovered.store, pipeline: pipeline, log: recovered.opened.metrics,
                snapshots: snapshotter.metrics, feed: feedWriter.feed, watchers: watchers,
                triggers: triggers, scans: scans, exports: exports, report: recovered.report,
                seconds: Double(elapsed) / 1e9),
            coordinator: coordinator,
            workers: [
                self.scrub(recovered, scrubMetrics),
                self.backups(coordinator),
                self.watch(watchers, recovered.store, feedWriter.feed),
                self.scans(scans, recovered.store),
                self.triggers(triggers, recovered.store, pipeline),
                self.exports(exports, recovered.store),
                NodeComponent(
                    name: "snapshots", body: snapshotter, idling: .parked(self.parkers.snapshots),
                    onStop: { requests.stop() }),
                NodeComponent(
                    name: "log",
                    body: recovered.makeCommitter(
                        for: pipeline, snapshots: self.environment.configuration.snapshots),
                    idling: .parked(self.parkers.log), onStop: { pipeline.stop() }),
                self.changes(feedWriter),
            ] + self.preparer(recovered))
    }

    // MARK: Components

    private func makeFeedWriter() -> FeedWriter {
        let onEvent = self.environment.onEvent
        var options = self.environment.configuration.feed
        options.reserveBytes = self.log.options.headroomBytes
        return FeedWriter(
            Feed(
                FeedFiles(self.log.fileSystem, in: self.log.directory), options: options,
                logWaker: self.parkers.log, waker: self.parkers.feed),
            clock: self.environment.clock, onEvent: { onEvent(.feed($0)) })
    }

    private func changes(_ writer: FeedWriter) -> NodeComponent {
        let worker = FeedWorker(writer, waker: self.parkers.feed)
        return NodeComponent(
            name: "feed", body: worker, idling: .parked(self.parkers.feed),
            onStop: { worker.stop() })
    }

    private func watch(
        _ coordinator: WatchCoordinator, _ store: Store, _ feed: Feed
    ) -> NodeComponent {
        NodeComponent(
            name: "watch",
            body: WatchWorker(
                coordinator, store: store, feed: feed, clock: self.environment.clock,
                waker: self.parkers.watch),
            idling: .parked(self.parkers.watch), onStop: { coordinator.stop() })
    }

    private func scans(_ coordinator: ScanCoordinator, _ store: Store) -> NodeComponent {
        NodeComponent(
            name: "scans",
            body: ScanWorker(coordinator, store: store, clock: self.environment.clock),
            idling: .parked(self.parkers.scans), onStop: { coordinator.stop() })
    }

    private func triggers(
        _ coordinator: TriggerCoordinator, _ store: Store, _ pipeline: CommitPipeline
    ) -> NodeComponent {
        NodeComponent(
            name: "triggers",
            body: TriggerWorker(
                coordinator, store: store, pipeline: pipeline, clock: self.environment.clock),
            idling: .parked(self.parkers.triggers), onStop: { coordinator.stop() })
    }

    private func exports(_ coordinator: ExportCoordinator, _ store: Store) -> NodeComponent {
        NodeComponent(
            name: "exports",
            body: ExportWorker(coordinator, store: store, clock: self.environment.clock),
            idling: .parked(self.parkers.exports), onStop: { coordinator.stop() })
    }

    private func makeSnapshotter(
        _ recovered: Partition.Recovered, feed: SnapshotFeed, requests: SnapshotRequests,
        changes: Feed
    ) -> Snapshotter {
        let onEvent = self.environment.onEvent
        return Snapshotter(
            environment: self.log, logStore: self.logStore,
            directoryID: recovered.opened.directoryID, feed: feed,
            requests: requests,
            barrier: FeedBarrier(changes, waker: self.parkers.snapshots), store: recovered.store,
            log: recovered.opened.metrics,
            coverage: recovered.coverage, policy: self.environment.configuration.snapshots,
            onEvent: { onEvent(.snapshot($0)) })
    }

    private func makePipeline(
        mailboxes: [CompletionMailbox], requests: SnapshotRequests, triggers: TriggerCoordinator,
        onLogFailure: @escaping @Sendable () -> Void
    ) -> CommitPipeline {
        let onEvent = self.environment.onEvent
        // The pipeline must not retain the node, which retains it.
        return CommitPipeline(
            limits: self.environment.configuration.pipeline,
            mailboxes: mailboxes + [triggers.settled], waker: self.parkers.log,
            measuresPhases: self.environment.observers.isNeeded,
            onPoison: { error in
                onLogFailure()
                triggers.announce()
                onEvent(.logFailed(error))
            },
            onShortage: { shortage, isShort in
                if shortage == .disk { requests.note(isDiskFull: isShort) }
                onEvent(.shortage(shortage, isShort))
            }, onLeadership: { onEvent(.leadership($0)) }, onClock: { onEvent(.clock($0)) },
            onFirings: { triggers.announce(firings: $0) })
    }

    private func backups(_ coordinator: OperatorCoordinator) -> NodeComponent {
        NodeComponent(
            name: "backups",
            body: BackupWorker(
                coordinator, copier: DirectoryBackup(self.logStore),
                clock: self.environment.clock),
            idling: .parked(self.parkers.backups), onStop: { coordinator.stop() })
    }

    private func scrub(_ recovered: Partition.Recovered, _ metrics: ScrubMetrics) -> NodeComponent {
        NodeComponent(
            name: "scrub",
            interruptible: ScrubWorker(
                self.logStore, clock: self.environment.clock,
                directoryID: recovered.opened.directoryID, metrics: metrics,
                schedule: self.environment.configuration.scrub, onEvent: self.environment.onEvent),
            parker: self.parkers.scrub)
    }

    /// A log that needs no file space ahead of use has no such component.
    private func preparer(_ recovered: Partition.Recovered) -> [NodeComponent] {
        guard let preparer = recovered.opened.preparer else { return [] }
        return [
            NodeComponent(
                name: "preparer",
                interruptible: PreparerWorker(preparer, onEvent: self.environment.onEvent),
                parker: self.parkers.preparer)
        ]
    }

    // MARK: Reports

    /// Reports progress after each block and frame, and once a second for people.
    private func progress(since started: UInt64) -> (RecoveryProgress) -> Void {
        let total = self.logStore.bytesToRecover()
        let (onEvent, clock) = (self.environment.onEvent, self.environment.clock)
        onEvent(.replaying(doneBytes: 0, totalBytes: total))
        var nextLine = started + Self.progressNanoseconds
        return { progress in
            onEvent(.replaying(doneBytes: progress.bytes, totalBytes: total))
            let now = clock.monotonicNanoseconds()
            guard now >= nextLine else { return }
            nextLine = now + Self.progressNanoseconds
            onEvent(.recovering(progress, totalBytes: total))
        }
    }

    /// Warns of what will not last (L16). That the directory can be written was shown by the lock.
    private func examineFileSystem() {
        let (fileSystem, directory) = (self.log.fileSystem, self.log.directory)
        if let free = try? fileSystem.freeBytes(directory),
            free < UInt64(self.log.options.headroomBytes)
        {
            self.environment.onEvent(
                .nearlyFull(freeBytes: free, segmentBytes: self.log.options.segmentBytes))
        }
        let kind = fileSystem.kind(directory)
        guard Self.unreliableFileSystems.contains(kind) else { return }
        self.environment.onEvent(.unreliableFileSystem(kind))
    }
}
