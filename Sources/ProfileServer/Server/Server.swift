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
/// It listens first, so that probes and callers see it replaying, then recovers, then serves until
/// it is told to end. `run` is called once, on the main thread.
package final class Server {
    /// Descriptors that no connection of gRPC may take: those of the operators' listener, and as
    /// many again for sockets that listen, pollers, segments and snapshots. A log that cannot open
    /// its next segment is a log that has failed.
    private static let descriptorsReserved = 2 * AdminListener.connectionsMax
    /// Connections that a loop takes however few descriptors there are.
    private static let connectionsPerLoopMin = 8

    private let configuration: Configuration
    private let log: Log
    private let clock: LinuxClock
    private let threads = LinuxThreadStarter()
    private let status: ServerStatus

    package init(configuration: Configuration, log: Log, clock: LinuxClock, version: BuildVersion) {
        self.configuration = configuration
        self.log = log
        self.clock = clock
        self.status = ServerStatus(version: version, dataDirectory: configuration.dataDirectory)
    }

    /// Serves until SIGTERM or SIGINT.
    ///
    /// - Returns: How the process should exit.
    package func run() -> ExitCode {
        let node: Node
        let admin: AdminListener
        do throws(IOError) {
            node = try Node(environment: self.environment)
            self.status.attach(node)
            admin = try AdminListener(
                network: LinuxNetwork(), endpoint: self.configuration.adminListen,
                clock: self.clock, pages: self.status)
        } catch {
            self.log.error(
                "cannot listen", LogField("address", error.subject),
                LogField("errno", Int(error.code)))
            return .unexpected
        }
        let adminThread = self.threads.start(name: "admin") { admin.run() }
        let loops = node.loops.map(self.startThread)
        do throws(RecoveryError) {
            try node.recover()
        } catch {
            return self.reject(error)
        }
        let workers = node.workers.map(self.startThread)
        self.serve(node, admin: admin)
        self.waitForEnd()
        self.drain(node)
        for loop in loops { loop.join() }
        self.reportCut(node)
        // In this order each component still has what it needs while it ends.
        for worker in workers { worker.stopAndJoin() }
        node.close()
        admin.stop()
        adminThread.join()
        self.log.info("stopped")
        return .success
    }

    // MARK: Wiring

    private var environment: NodeEnvironment {
        let (log, status) = (self.log, self.status)
        return NodeEnvironment(
            clock: self.clock, network: LinuxNetwork(), random: LinuxRandomSource(),
            fileSystem: LinuxFileSystem(), makeLogStore: { SegmentedLogStore($0) },
            makeParker: { LinuxParker() },
            configuration: self.nodeConfiguration,
            // The node must not retain the status, which retains the node's figures.
            onEvent: { [weak status] in Self.handle($0, status: status, log: log) })
    }

    private var nodeConfiguration: NodeConfiguration {
        var node = NodeConfiguration(dataDirectory: self.configuration.dataDirectory)
        node.listenHost = self.configuration.listen.host
        node.listenPort = self.configuration.listen.port
        node.loops = self.configuration.loops
        node.transport.connectionsPerPeerMax = self.configuration.connectionsPerAddress
        node.hasReflection = self.configuration.reflection
        node.log.segmentBytes = self.configuration.segmentBytes
        node.pipeline.memoryBytesMax = self.configuration.memoryLimit
        node.snapshots.logBytesMax = UInt64(self.configuration.snapshotLogBytes)
        node.snapshots.ageNanosecondsMax =
            UInt64(self.configuration.snapshotSeconds) * 1_000_000_000
        let share =
            (LinuxProcess.descriptorsMax - Self.descriptorsReserved) / self.configuration.loops
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

    private func serve(_ node: Node, admin: AdminListener) {
        guard let recovered = node.recovered else {
            preconditionFailure("only a recovered node serves")
        }
        self.status.attach(recovered)
        self.status.phase = .ready
        node.serve()
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
            "serving", LogField("listen", node.listenAddress),
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

    private func drain(_ node: Node) {
        self.log.info("draining", LogField("grace_seconds", self.configuration.drainSeconds))
        self.status.phase = .draining
        // A second signal ends at once, whatever still runs: every acknowledged write is on disk.
        _ = self.threads.start(name: "second-signal") {
            while case .reload = LinuxSignals.wait() {}
            LinuxProcess.exitNow(ExitCode.unexpected.rawValue)
        }
        node.beginDrain(graceNanoseconds: UInt64(self.configuration.drainSeconds) * 1_000_000_000)
    }
}
