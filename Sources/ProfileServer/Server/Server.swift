// The composition root: the one place in production where the seams get their Linux sides, and
// where threads begin and end.

import GRPCTransport
import IOCore
import IOLinux
import ProfileService
import Profiles
import Storage

/// One running `profiled`: a `Node` on Linux, with a thread around each of its components, and the
/// operators' listener.
///
/// It locks the data directory, listens, so that probes and callers see it replaying, recovers, and
/// serves until it is told to end. `run` is called once, on the main thread.
package final class Server {
    /// Descriptors that no connection of gRPC may take: those of the operators' listener, and as
    /// many again for sockets that listen, pollers, segments and snapshots; with the profile page
    /// those of its listener, and as many again for its calls. A log that cannot open its next
    /// segment is a log that has failed.
    private var descriptorsReserved: Int {
        (self.configuration.consoleListen == nil ? 2 : 4) * AdminListener.connectionsMax
    }
    /// Connections that a loop takes however few descriptors there are.
    private static let connectionsPerLoopMin = 8

    /// Fewer descriptors than this are worth a warning: those reserved, and a thousand connections.
    private var descriptorsAdvised: Int { self.descriptorsReserved + 1_000 }
    /// Longest wait at the end for whoever reads the log, in nanoseconds.
    private static let lastLinesNanoseconds: UInt64 = 1_000_000_000

    private let configuration: Configuration
    private let writer: LogWriter
    private let log: Log
    private let clock: LinuxClock
    private let threads = LinuxThreadStarter()
    /// Where the profile page meets the service.
    private let network: InProcessNetwork
    private let termination: Termination
    private let status: ServerStatus
    private let access: AccessControl
    private let networks: ServerNetworks
    /// `nil`: none is configured.
    private let auditLog: AuditLog?
    private let accessLog: AccessLog?
    private let spans: SpanExporter?
    /// `nil`: no service manager wants to be told.
    private let supervisor: SupervisorNotifier?

    /// - Parameters:
    ///   - keySource: Where the operators' keys are read again.
    ///   - operatorKeys: As they are now; `nil`: no call needs a key.
    ///   - supervision: Of the service manager; `nil`: there is none.
    /// - Throws: `ServerFileFailure` about the first file of the configuration that is not usable.
    init(
        configuration: Configuration, version: BuildVersion, keySource: OperatorKeySource,
        operatorKeys: [OperatorKey]?, supervision: Supervision? = nil
    ) throws(ServerFileFailure) {
        self.configuration = configuration
        self.clock = LinuxClock()
        self.writer = .standardError(level: configuration.logLevel, clock: self.clock)
        self.log = self.writer.log
        let names = ProjectNames()
        self.auditLog = try Self.auditLog(configuration, clock: self.clock, log: self.log)
        self.accessLog = try Self.accessLog(
            configuration, clock: self.clock, writer: self.writer, names)
        self.networks = try ServerNetworks(configuration.tls, log: self.log)
        self.network = InProcessNetwork(self.networks.calls)
        self.access = AccessControl(
            operatorKeys: operatorKeys, audit: self.auditLog,
            certificateKeys: try CertificateKeyFile.read(configuration.tls))
        self.spans = Self.exporter(configuration, self.clock, self.log, names)
        let reload = Reload(
            keySource: keySource, access: self.access, auditLog: self.auditLog,
            accessLog: self.accessLog, log: self.log, networks: self.networks,
            tls: configuration.tls)
        let supervisor = supervision.map { [clock, log] in
            SupervisorNotifier(
                socket: $0.socket, watchdogMicroseconds: $0.watchdogMicroseconds, clock: clock,
                log: log)
        }
        self.supervisor = supervisor
        self.termination = Termination(
            writer: self.writer, auditLog: self.auditLog,
            onReload: { supervisor?.reload { reload.run() } ?? reload.run() })
        self.status = ServerStatus(
            version: version, dataDirectory: configuration.dataDirectory,
            logQueue: self.writer.queue, auditQueue: self.auditLog?.queue,
            accessLog: self.accessLog, spans: self.spans, names: names,
            tls: self.networks.metrics)
    }

    private static func auditLog(
        _ configuration: Configuration, clock: LinuxClock, log: Log
    ) throws(ServerFileFailure) -> AuditLog? {
        guard let path = configuration.auditLog else { return nil }
        do throws(IOError) { return try AuditLog(path: path, clock: clock, log: log) } catch {
            throw ServerFileFailure(description: "audit log \(error.explanation)")
        }
    }

    private static func accessLog(
        _ configuration: Configuration, clock: LinuxClock, writer: LogWriter, _ names: ProjectNames
    ) throws(ServerFileFailure) -> AccessLog? {
        guard let path = configuration.accessLog else { return nil }
        do throws(IOError) {
            return try AccessLog(
                path: path, clock: clock, log: writer.log, standardError: writer.queue,
                names: names)
        } catch {
            throw ServerFileFailure(description: "access log \(error.explanation)")
        }
    }

    private static func exporter(
        _ configuration: Configuration, _ clock: LinuxClock, _ log: Log, _ names: ProjectNames
    ) -> SpanExporter? {
        configuration.otlpEndpoint.map {
            SpanExporter(
                url: $0, clock: clock, log: log, names: names,
                text: SpanText(
                    version: BuildVersion.program, instance: configuration.listen.description),
                seed: clock.monotonicNanoseconds())
        }
    }

    /// Serves until SIGTERM or SIGINT.
    ///
    /// - Returns: How the process should exit.
    package func run() -> ExitCode {
        let (writer, termination) = (self.writer, self.termination)
        let lines = self.threads.start(name: "log-lines") { writer.run() }
        let auditLines = self.auditLog.map { auditLog in
            self.threads.start(name: "audit-lines") { auditLog.run() }
        }
        let accessLines = self.accessLog.map { accessLog in
            self.threads.start(name: "access-lines") { accessLog.run() }
        }
        let spans = self.spans.map { spans in
            self.threads.start(name: "spans") { spans.run() }
        }
        _ = self.threads.start(name: "signals") { termination.run() }
        let notices = self.supervisor.map { [status] supervisor in
            self.threads.start(name: "supervisor") { supervisor.run(phase: { status.phase }) }
        }
        let code = self.examineLimits() ? self.start() : .configuration
        if self.spans?.finish(withinNanoseconds: Self.lastLinesNanoseconds) == true {
            spans?.join()
        }
        // Before the server's own log, which may take its lines.
        if self.accessLog?.finish(withinNanoseconds: Self.lastLinesNanoseconds) == true {
            accessLines?.join()
        }
        self.supervisor?.finish(withinNanoseconds: Self.lastLinesNanoseconds)
        notices?.join()
        if self.auditLog?.finish(withinNanoseconds: Self.lastLinesNanoseconds) == true {
            auditLines?.join()
        }
        if writer.finish(withinNanoseconds: Self.lastLinesNanoseconds) { lines.join() }
        return code
    }

    private func start() -> ExitCode {
        let node: Node
        do throws(NodeStartError) { node = try Node(environment: self.environment) } catch {
            switch error {
            case .directory(let error): return self.reject(.storage(error))
            case .listening(let error): return self.cannotListen(error)
            }
        }
        let debugPages = DebugPages(
            node.inspectors, clock: self.clock, makeParker: { LinuxParker() })
        self.status.attach(node, debugPages)
        let admin: AdminListener
        do throws(IOError) {
            admin = try AdminListener(
                network: self.networks.admin, endpoint: self.configuration.adminListen,
                clock: self.clock, pages: self.status)
        } catch {
            node.close()
            return self.cannotListen(error)
        }
        let console: ConsoleServer?
        do throws(IOError) { console = try self.makeConsole() } catch {
            node.close()
            return self.cannotListen(error)
        }
        let adminThreads =
            [self.threads.start(name: "admin") { admin.run() }] + debugPages.start(self.threads)
        let loops = node.loops.map(self.startThread)
        do throws(RecoveryError) {
            try node.recover()
        } catch {
            node.close()
            return self.reject(error)
        }
        let workers = node.workers.map(self.startThread)
        self.serve(node, admin: admin, console: console)
        self.supervisor?.ready(Self.watched(loops, workers, of: node))
        self.termination.waitForDrain()
        self.announceDrain()
        // First, so that the page asks for nothing more while the service drains.
        console?.stop()
        node.beginDrain(graceNanoseconds: UInt64(self.configuration.drainSeconds) * 1_000_000_000)
        for loop in loops { loop.join() }
        console?.join()
        self.reportCut(node)
        // In this order each component still has what it needs while it ends.
        for worker in workers { worker.stopAndJoin() }
        node.close()
        admin.stop()
        debugPages.stop()
        for thread in adminThreads { thread.join() }
        self.log.info("stopped")
        return .success
    }

    // MARK: Wiring

    private var environment: NodeEnvironment {
        let (log, status) = (self.log, self.status)
        var environment = NodeEnvironment(
            clock: self.clock,
            network: self.configuration.consoleListen == nil ? self.networks.calls : self.network,
            random: LinuxRandomSource(),
            fileSystem: LinuxFileSystem(), makeLogStore: { SegmentedLogStore($0) },
            makeParker: { LinuxParker() },
            configuration: self.nodeConfiguration,
            // The node must not retain the status, which retains the node's figures.
            onEvent: { [weak status] in Self.handle($0, status: status, log: log) })
        environment.access = self.access
        environment.observers = self.observers
        return environment
    }

    private var observers: CallObservers {
        var observers = CallObservers()
        observers.log = self.accessLog
        observers.loggedMillionths = self.configuration.accessLogSample.millionths
        observers.slowNanoseconds = UInt64(self.configuration.slowMilliseconds) * 1_000_000
        observers.spans = self.spans
        observers.sampledMillionths = self.configuration.otlpSample.millionths
        return observers
    }

    private var nodeConfiguration: NodeConfiguration {
        var node = NodeConfiguration(dataDirectory: self.configuration.dataDirectory)
        node.listenHost = self.configuration.listen.host
        node.listenPort = self.configuration.listen.port
        node.loops = self.configuration.loops
        node.transport.connectionsPerPeerMax = self.configuration.connectionsPerAddress
        node.hasReflection = self.configuration.reflection
        node.log.acceptedEndLSN = self.configuration.acceptLogLoss
        node.log.segmentBytes = self.segmentBytes
        node.store.projectsMax = UInt64(self.configuration.projectsMax)
        node.projectDeleteSeconds = self.configuration.projectDeleteSeconds
        node.pipeline.memoryBytesMax = self.configuration.memoryLimit
        node.snapshots.logBytesMax = UInt64(self.configuration.snapshotLogBytes)
        node.feed.bytesMax = self.configuration.feedBytes
        node.watch.watchersMax = self.configuration.watchersMax
        node.projectLabelsMax = self.configuration.metricsProjects
        node.feed.segmentBytesMax = min(
            node.feed.segmentBytesMax, LinuxProcess.fileBytesMax ?? .max)
        node.snapshots.ageNanosecondsMax =
            UInt64(self.configuration.snapshotSeconds) * 1_000_000_000
        let share =
            (LinuxProcess.descriptorsMax - self.descriptorsReserved) / self.configuration.loops
        node.transport.connectionsMax = min(
            node.transport.connectionsMax, max(share, Self.connectionsPerLoopMin))
        return node
    }

    private func startThread(_ component: NodeComponent) -> ComponentThread {
        let log = self.log
        return ComponentThread(component, threads: self.threads) { error in
            Self.handle(.loopFailed(error), status: nil, log: log)
        }
    }

    private func makeConsole() throws(IOError) -> ConsoleServer? {
        guard let endpoint = self.configuration.consoleListen else { return nil }
        return try ConsoleServer(
            endpoint: endpoint, network: self.network, clock: self.clock,
            random: LinuxRandomSource(), isOpen: self.access.isOpen,
            version: BuildVersion.program, figures: self.status)
    }

    private func cannotListen(_ error: IOError) -> ExitCode {
        self.log.error(
            "cannot listen", LogField("address", error.subject),
            LogField("errno", Int(error.code)))
        return .unexpected
    }

    private func reject(_ error: RecoveryError) -> ExitCode {
        let (code, text) = ServerStatus.explain(error)
        let reason = LogField("reason", text)
        switch code {
        case .directoryLocked: self.log.error("data directory locked", reason)
        case .dataRejected: self.log.error("data refused", reason)
        default: self.log.error("data cannot be read or written", reason)
        }
        return code
    }

    // MARK: Serving and the end

    /// Warns of limits of the process that the server may reach.
    ///
    /// - Returns: Whether it can serve within them.
    private func examineLimits() -> Bool {
        if LinuxProcess.descriptorsMax < self.descriptorsAdvised {
            self.log.warning(
                "few descriptors: connections beyond them are closed",
                LogField("descriptors", LinuxProcess.descriptorsMax),
                LogField("descriptors_advised", self.descriptorsAdvised))
        }
        guard let fileBytesMax = LinuxProcess.fileBytesMax else { return true }
        guard fileBytesMax >= Configuration.segmentBytesRange.lowerBound else {
            self.log.error(
                "the limit of the file size leaves no space for a log segment",
                LogField("file_bytes_max", fileBytesMax),
                LogField("segment_bytes_min", Configuration.segmentBytesRange.lowerBound))
            return false
        }
        self.log.warning(
            "file size is limited: log segments keep within it, a snapshot that needs more fails",
            LogField("file_bytes_max", fileBytesMax), LogField("segment_bytes", self.segmentBytes))
        return true
    }

    /// As configured, but no larger than the process may write a file.
    private var segmentBytes: Int {
        min(self.configuration.segmentBytes, LinuxProcess.fileBytesMax ?? .max)
    }

    private func serve(_ node: Node, admin: AdminListener, console: ConsoleServer?) {
        self.termination.serve()
        guard let recovered = node.recovered else {
            preconditionFailure("only a recovered node serves")
        }
        self.status.attach(recovered)
        self.status.phase = .ready
        node.serve()
        console?.start(self.threads)
        for skipped in recovered.report.snapshotsSkipped {
            self.log.error(
                "a snapshot is damaged: the state was recovered without it",
                LogField("file", skipped.name),
                LogField("reason", skipped.reason))
        }
        if let lost = recovered.report.acceptedLossOf {
            self.log.error(
                "the end of the log is missing, which was accepted",
                LogField("lost_through_lsn", lost), LogField("lsn", recovered.store.appliedLSN))
        }
        if let torn = recovered.report.tornTail {
            self.log.warning(
                "a torn tail was set aside", LogField("segment", torn.segment),
                LogField("offset_bytes", torn.offsetBytes), LogField("bytes", torn.bytes),
                LogField("kept_in", torn.keptIn))
        }
        self.warnOfAccess()
        self.log.info(
            "serving", LogField("listen", node.listenAddress),
            LogField("admin", admin.address),
            LogField("console", console?.address ?? "none"),
            LogField("tls", self.networks.isEncrypted),
            LogField("loops", self.configuration.loops),
            LogField("profiles", recovered.store.profileCount),
            LogField("lsn", recovered.store.appliedLSN),
            LogField("snapshot_lsn", recovered.report.snapshot?.position.lsn ?? 0),
            LogField("replayed", recovered.report.operations),
            LogField("recovery_seconds", recovered.seconds),
            LogField("version", BuildVersion.program))
    }

    private func warnOfAccess() {
        if self.access.isOpen {
            self.log.warning(
                "access is open: no key is configured, every caller on this machine is an operator")
        }
        if !self.configuration.listen.isLoopback, !self.networks.isEncrypted {
            self.log.warning(
                """
                gRPC is served beyond loopback without TLS: keys and data cross the network \
                unencrypted
                """)
        }
    }

    /// Says what did not end within the grace.
    private func reportCut(_ node: Node) {
        let figures = node.transportMetrics
        let connections = figures.reduce(0) { $0 + $1.connectionsCut }
        guard connections > 0 else { return }
        self.log.warning(
            "the grace has ended: open calls were cut off",
            LogField("connections", connections),
            LogField("calls", figures.reduce(0) { $0 + $1.callsCut }))
    }

    /// The threads without whose turns no call ends: the loops and the log.
    private static func watched(
        _ loops: [ComponentThread], _ workers: [ComponentThread], of node: Node
    ) -> [WatchedThread] {
        let log = node.recovered?.log
        return loops.map { $0.watched() }
            + zip(node.workers, workers).filter { $0.0.name == "log" }.map {
                $0.1.watched(waitsForDisk: { log?.isSyncing ?? false })
            }
    }

    /// Tells operators, probes and the service manager before anything ends.
    private func announceDrain() {
        self.log.info("draining", LogField("grace_seconds", self.configuration.drainSeconds))
        self.status.phase = .draining
        self.supervisor?.stopping(graceSeconds: self.configuration.drainSeconds)
    }
}
