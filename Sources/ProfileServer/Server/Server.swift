// The composition root: the one place in production where the seams get their Linux sides, and
// where threads begin and end.

import GRPCTransport
import IOCore
import IOLinux
import ProfileService
import Profiles
import Storage

/// One running `profiled`.
///
/// It listens first, so that probes and callers see it replaying, then recovers, then serves until
/// it is told to end. `run` is called once, on the main thread.
package final class Server {
    /// Names that `grpc.health.v1` knows; the empty one is the process.
    private static let healthServices = ["", "profiles.v1.Profiles", "profiles.v1.Admin"]

    /// Descriptors that no connection of gRPC may take: those of the operators' listener, and as
    /// many again for sockets that listen, pollers, segments and snapshots. A log that cannot open
    /// its next segment is a log that has failed.
    private static let descriptorsReserved = 2 * AdminListener.connectionsMax
    /// Connections that a loop takes however few descriptors there are.
    private static let connectionsPerLoopMin = 8

    let configuration: Configuration
    let log: Log
    private let version: BuildVersion
    let clock: LinuxClock
    private let threads = LinuxThreadStarter()
    let health: HealthRegistry
    private let state = ServingState()
    let status: ServerStatus
    private var serving: [ServingLoop] = []
    private var loopThreads: [any RunningThread] = []
    private(set) var mailboxes: [CompletionMailbox] = []
    private(set) var pollers: [any Poller] = []

    /// A loop and what it serves; both live as long as its thread.
    private struct ServingLoop: @unchecked Sendable {
        // Built on the main thread, then used by the loop's thread alone, but for the methods that
        // any thread may call.
        let loop: RPCLoop
        let handler: ServiceLoop
    }

    package init(configuration: Configuration, log: Log, clock: LinuxClock, version: BuildVersion) {
        self.configuration = configuration
        self.log = log
        self.clock = clock
        self.version = version
        self.health = HealthRegistry(services: Self.healthServices)
        self.status = ServerStatus(version: version, dataDirectory: configuration.dataDirectory)
    }

    /// Serves until SIGTERM or SIGINT.
    ///
    /// - Returns: How the process should exit.
    package func run() -> ExitCode {
        let admin: AdminListener
        do throws(IOError) {
            try self.bindLoops()
            admin = try AdminListener(
                network: LinuxNetwork(), endpoint: self.configuration.adminListen,
                clock: self.clock,
                pages: self.status)
        } catch {
            self.log.error(
                "cannot listen", LogField("address", error.subject),
                LogField("errno", Int(error.code)))
            return .unexpected
        }
        let adminThread = self.threads.start(name: "admin") { admin.run() }
        self.startLoops()
        let recovered: RecoveredDirectory
        do throws(RecoveryError) {
            recovered = try self.recover()
        } catch {
            return self.refuse(error)
        }
        let logThread = self.threads.start(name: "log") {
            recovered.pipeline.run(recovered.committer)
        }
        let preparer = SegmentThread(
            recovered.log.preparer, parker: recovered.parker, log: self.log)
        let preparerThread = self.threads.start(name: "segments") { preparer.run() }
        let snapshotter = recovered.snapshotter
        let snapshotThread = self.threads.start(name: "snapshots") { snapshotter.run() }
        let coordinator = recovered.coordinator
        let coordinatorThread = self.threads.start(name: "backups") { coordinator.run() }
        let scrub = ScrubThread(
            recovered.scrubber, metrics: self.status.scrub, clock: self.clock, log: self.log)
        let scrubThread = self.threads.start(name: "scrub") { scrub.run() }
        self.serve(recovered, admin: admin)
        self.waitForEnd()
        self.drain()
        scrub.stop()
        scrubThread.join()
        coordinator.stop()
        coordinatorThread.join()
        snapshotter.stop()
        snapshotThread.join()
        recovered.pipeline.stop()
        logThread.join()
        recovered.log.close()
        preparer.stop()
        preparerThread.join()
        recovered.lock.release()
        admin.stop()
        adminThread.join()
        self.log.info("stopped")
        return .success
    }

    // MARK: Loops

    private func bindLoops() throws(IOError) {
        let network = LinuxNetwork()
        var port = self.configuration.listen.port
        for index in 0 ..< self.configuration.loops {
            let listener = try network.listen(
                host: self.configuration.listen.host, port: port,
                sharesPort: self.configuration.loops > 1)
            // With port 0 the first listener chooses, the others share its port.
            port = Endpoint(listener.address)?.port ?? port
            self.status.listenAddress = listener.address
            let poller = try network.makePoller()
            let loop = RPCLoop(
                index: index, listener: listener, poller: poller, clock: self.clock,
                methods: RPCTable.served(reflection: self.configuration.reflection).map(
                    \.descriptor),
                limits: self.transportLimits)
            let mailbox = CompletionMailbox { poller.wake() }
            let handler = ServiceLoop(
                index: index, transport: loop, state: self.state,
                accounting: self.status.accounting,
                mailbox: mailbox, health: self.health)
            loop.handler = handler
            self.mailboxes.append(mailbox)
            self.pollers.append(poller)
            self.serving.append(ServingLoop(loop: loop, handler: handler))
            self.status.add(loop.metrics)
        }
    }

    private var transportLimits: TransportLimits {
        var limits = TransportLimits()
        let share =
            (LinuxProcess.descriptorsMax - Self.descriptorsReserved) / self.configuration.loops
        limits.connectionsMax = min(limits.connectionsMax, max(share, Self.connectionsPerLoopMin))
        return limits
    }

    private func startLoops() {
        for serving in self.serving {
            let log = self.log
            self.loopThreads.append(
                self.threads.start(name: "loop-\(serving.loop.index)") {
                    do throws(IOError) {
                        try serving.loop.run()
                    } catch {
                        log.error("a loop cannot start", LogField("errno", Int(error.code)))
                    }
                })
        }
    }

    // MARK: Recovery

    private func refuse(_ error: RecoveryError) -> ExitCode {
        let (code, text) = ServerStatus.explain(error)
        let reason = LogField("reason", text)
        switch code {
        case .directoryLocked: self.log.error("data directory locked", reason)
        case .dataRefused: self.log.error("data refused", reason)
        default: self.log.error("data cannot be read or written", reason)
        }
        return code
    }

    // MARK: Serving and the end

    private func serve(_ recovered: RecoveredDirectory, admin: AdminListener) {
        self.status.attach(
            store: recovered.store, pipeline: recovered.pipeline, log: recovered.log.metrics,
            snapshots: recovered.snapshotter.metrics, report: recovered.report,
            recoverySeconds: recovered.seconds)
        self.state.serve(
            Partition(
                store: recovered.store, pipeline: recovered.pipeline,
                coordinator: recovered.coordinator))
        self.status.phase = .ready
        self.health.setAll(.serving)
        for serving in self.serving { serving.loop.wake() }
        for skipped in recovered.report.snapshotsSkipped {
            self.log.error(
                "a snapshot is damaged: the state was recovered without it",
                LogField("file", skipped.name),
                LogField("reason", skipped.reason))
        }
        if let torn = recovered.report.tornTail {
            self.log.warning(
                "a torn tail was set aside", LogField("segment", torn.segment),
                LogField("offset_bytes", torn.offsetBytes), LogField("bytes", torn.bytes),
                LogField("kept_in", torn.keptIn))
        }
        self.log.warning(
            "access is open: no key is configured, every caller on this machine is an operator")
        self.log.info(
            "serving", LogField("listen", self.status.listenAddress),
            LogField("admin", admin.address),
            LogField("loops", self.configuration.loops),
            LogField("profiles", recovered.store.profileCount),
            LogField("lsn", recovered.store.appliedLSN),
            LogField("snapshot_lsn", recovered.report.snapshot?.position.lsn ?? 0),
            LogField("replayed", recovered.report.operations),
            LogField("recovery_seconds", recovered.seconds),
            LogField("version", BuildVersion.program))
    }

    private func waitForEnd() {
        while true {
            switch LinuxSignals.wait() {
            case .terminate: return
            case .reload:
                self.log.info("nothing to reload: keys and certificates are not built yet")
            }
        }
    }

    private func drain() {
        self.log.info("draining", LogField("grace_seconds", self.configuration.drainSeconds))
        self.state.drain()
        self.status.phase = .draining
        self.health.setAll(.notServing)
        // A second signal ends at once, whatever still runs: what was answered is on disk.
        _ = self.threads.start(name: "second-signal") {
            while case .reload = LinuxSignals.wait() {}
            LinuxProcess.exitNow(ExitCode.unexpected.rawValue)
        }
        let grace = UInt64(self.configuration.drainSeconds) * 1_000_000_000
        for serving in self.serving { serving.loop.beginDrain(graceNanoseconds: grace) }
        for thread in self.loopThreads { thread.join() }
    }
}
