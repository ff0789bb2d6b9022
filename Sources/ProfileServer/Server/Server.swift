// The composition root: the one place in production where the seams get their Linux sides, and where threads begin and end.

import GRPCTransport
import IOCore
import IOLinux
import ProfileService
import Profiles
import Storage

/// One running `profiled`.
///
/// It listens first, so that probes and callers see it replaying, then recovers, then serves until it is told to end. `run` is called
/// once, on the main thread.
package final class Server {
    /// Names that `grpc.health.v1` knows; the empty one is the process.
    private static let healthServices = ["", "profiles.v1.Profiles", "profiles.v1.Admin"]

    private let configuration: Configuration
    private let log: Log
    private let version: BuildVersion
    private let clock: LinuxClock
    private let threads = LinuxThreadStarter()
    private let health: HealthRegistry
    private let state = ServingState()
    private let status: ServerStatus
    private var serving: [ServingLoop] = []
    private var loopThreads: [any RunningThread] = []
    private var mailboxes: [CompletionMailbox] = []
    private var pollers: [any Poller] = []

    /// A loop and what it serves; both live as long as its thread.
    private struct ServingLoop: @unchecked Sendable {
        // Built on the main thread, then used by the loop's thread alone, but for the methods that any thread may call.
        let loop: RPCLoop
        let handler: ServiceLoop
    }

    package init(configuration: Configuration, log: Log, clock: LinuxClock, version: BuildVersion) {
        self.configuration = configuration
        self.log = log
        self.clock = clock
        self.version = version
        self.health = HealthRegistry(services: Self.healthServices)
        self.status = ServerStatus(version: version)
    }

    /// Serves until SIGTERM or SIGINT.
    ///
    /// - Returns: How the process should exit.
    package func run() -> ExitCode {
        let admin: AdminListener
        do throws(IOError) {
            try self.bindLoops()
            admin = try AdminListener(
                network: LinuxNetwork(), endpoint: self.configuration.adminListen, clock: self.clock,
                pages: self.status)
        } catch {
            self.log.error("cannot listen", LogField("address", error.subject), LogField("errno", Int(error.code)))
            return .unexpected
        }
        let adminThread = self.threads.start(name: "admin") { admin.run() }
        self.startLoops()
        let recovered: Recovered
        do throws(RecoveryError) {
            recovered = try self.recover()
        } catch {
            return self.refuse(error)
        }
        let logThread = self.threads.start(name: "log") { recovered.pipeline.run(recovered.committer) }
        let preparer = SegmentThread(recovered.log.preparer, parker: recovered.parker, log: self.log)
        let preparerThread = self.threads.start(name: "segments") { preparer.run() }
        self.serve(recovered, admin: admin)
        self.waitForEnd()
        self.drain()
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
                methods: RPCCatalogue.descriptors(reflection: self.configuration.reflection),
                limits: TransportLimits(), health: self.health)
            let mailbox = CompletionMailbox { poller.wake() }
            let handler = ServiceLoop(
                index: index, transport: loop, state: self.state, accounting: self.status.accounting,
                mailbox: mailbox)
            loop.handler = handler
            self.mailboxes.append(mailbox)
            self.pollers.append(poller)
            self.serving.append(ServingLoop(loop: loop, handler: handler))
            self.status.add(loop.metrics)
        }
    }

    private func startLoops() {
        for serving in self.serving {
            let log = self.log
            self.loopThreads.append(self.threads.start(name: "loop-\(serving.loop.index)") {
                do throws(IOError) {
                    try serving.loop.run()
                } catch {
                    log.error("a loop cannot start", LogField("errno", Int(error.code)))
                }
            })
        }
    }

    // MARK: Recovery

    /// What serving needs of a recovered directory. The committer and the log belong to the log thread from its start to its end.
    private struct Recovered: @unchecked Sendable {
        let lock: any DirectoryLock
        let store: Store
        let pipeline: CommitPipeline
        let committer: Committer
        let log: SegmentedLog
        let parker: LinuxParker
        let report: RecoveryReport
        let seconds: Double
    }

    private func recover() throws(RecoveryError) -> Recovered {
        var options = LogOptions()
        options.segmentBytes = self.configuration.segmentBytes
        let preparerParker = LinuxParker()
        let environment = LogEnvironment(
            directory: self.configuration.dataDirectory, fileSystem: LinuxFileSystem(), clock: self.clock,
            options: options, preparerParker: preparerParker)
        let started = self.clock.monotonicNanoseconds()
        let lock: any DirectoryLock
        do throws(StorageError) {
            lock = try SegmentedLog.lock(environment)
        } catch {
            throw .storage(error)
        }
        self.warnOfFileSystem(environment)
        let total = SegmentedLog.bytesOnDisk(environment)
        self.status.phase = .replaying(doneBytes: 0, totalBytes: total)
        let (store, committer, log, report) = try Partition.recover(
            environment, limits: StoreLimits(), random: LinuxRandomSource()
        ) { done in self.status.phase = .replaying(doneBytes: UInt64(done), totalBytes: total) }
        let health = self.health
        let status = self.status
        let operatorsLog = self.log
        // The pipeline must hold neither the loops nor the status: both hold it.
        let pollers = self.pollers
        var limits = PipelineLimits()
        limits.memoryBytesMax = self.configuration.memoryLimit
        let pipeline = CommitPipeline(
            limits: limits, mailboxes: self.mailboxes, parker: LinuxParker(),
            onPoison: { [weak status] in
                health.setAll(.notServing)
                status?.phase = .logFailed
                operatorsLog.error("log failed: writes are refused until a restart")
                for poller in pollers { poller.wake() }
            },
            onShortage: { shortage, isShort in Self.report(shortage, isShort, to: operatorsLog) })
        return Recovered(
            lock: lock, store: store, pipeline: pipeline, committer: committer, log: log, parker: preparerParker,
            report: report, seconds: Double(self.clock.monotonicNanoseconds() - started) / 1e9)
    }

    private static func report(_ shortage: Shortage, _ isShort: Bool, to log: Log) {
        switch (shortage, isShort) {
        case (.disk, true): log.warning("disk full: writes are refused until there is space, reads go on")
        case (.disk, false): log.info("there is space again: writes go on")
        case (.memory, true):
            log.warning("memory limit reached: writes are refused, but for opt-outs, log-outs and erasures; reads go on")
        case (.memory, false): log.info("below the memory limit again: writes go on")
        }
    }

    private func warnOfFileSystem(_ environment: LogEnvironment) {
        let kind = environment.fileSystem.kind(environment.directory)
        guard ["tmpfs", "overlay", "nfs", "fuse"].contains(kind) else { return }
        self.log.warning(
            "the data directory lies on a file system that may not keep what it acknowledges",
            LogField("file_system", kind))
    }

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

    private func serve(_ recovered: Recovered, admin: AdminListener) {
        self.status.attach(
            store: recovered.store, pipeline: recovered.pipeline, log: recovered.log.metrics,
            report: recovered.report, recoverySeconds: recovered.seconds)
        self.state.serve(Partition(store: recovered.store, pipeline: recovered.pipeline))
        self.status.phase = .ready
        self.health.setAll(.serving)
        for serving in self.serving { serving.loop.wake() }
        if let torn = recovered.report.tornTail {
            self.log.warning(
                "a torn tail was set aside", LogField("segment", torn.segment),
                LogField("offset_bytes", torn.offsetBytes), LogField("bytes", torn.bytes),
                LogField("kept_in", torn.keptIn))
        }
        self.log.warning("access is open: no key is configured, every caller on this machine is an operator")
        self.log.info(
            "serving", LogField("listen", self.status.listenAddress), LogField("admin", admin.address),
            LogField("loops", self.configuration.loops), LogField("profiles", recovered.store.profileCount),
            LogField("lsn", recovered.store.appliedLSN), LogField("recovery_seconds", recovered.seconds),
            LogField("version", BuildVersion.program))
    }

    private func waitForEnd() {
        while true {
            switch LinuxSignals.wait() {
            case .terminate: return
            case .reload: self.log.info("nothing to reload: keys and certificates are not built yet")
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
