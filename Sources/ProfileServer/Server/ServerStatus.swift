import GRPCTransport
import IOCore
import IOLinux
import IOTLS
import ProfileService
import Profiles
import Storage

/// What operators see of the server, from any thread: its phase, and every figure it keeps.
final class ServerStatus: AdminPages {
    private struct State: Sendable {
        var phase = ServingPhase.starting
        var figures: Figures?
        var recovered: Node.Recovered?
        /// `nil`: there is no node yet.
        var debugPages: DebugPages?
    }

    /// What a node counts from its start.
    private struct Figures: Sendable {
        var transports: [TransportMetrics]
        var accounting: ItemAccounting
        var access: AccessMetrics
        var scrub: ScrubMetrics
    }

    private let buildVersion: BuildVersion
    private let dataDirectory: String
    private let logQueue: LogQueue
    /// `nil`: there is no audit log.
    private let auditQueue: LogQueue?
    /// `nil`: there is none.
    private let accessLog: AccessLog?
    private let spans: SpanExporter?
    /// Gets the store once there is one.
    private let names: ProjectNames
    /// `nil`: nothing is encrypted.
    private let tls: TLSMetrics?
    private let state = Guarded(State())

    init(
        version: BuildVersion, dataDirectory: String, logQueue: LogQueue,
        auditQueue: LogQueue? = nil, accessLog: AccessLog? = nil, spans: SpanExporter? = nil,
        names: ProjectNames = ProjectNames(), tls: TLSMetrics? = nil
    ) {
        self.accessLog = accessLog
        self.spans = spans
        self.names = names
        self.tls = tls
        self.buildVersion = version
        self.logQueue = logQueue
        self.auditQueue = auditQueue
        self.dataDirectory = dataDirectory
    }

    /// Where the server is between its start and its end. A failed log stays failed until a drain.
    var phase: ServingPhase {
        get {
            let (phase, pipeline) = self.state.withLock { ($0.phase, $0.recovered?.pipeline) }
            return phase == .ready && pipeline?.isDiskFull == true ? .diskFull : phase
        }
        set {
            self.state.withLock { state in
                guard state.phase != .logFailed || newValue == .draining else { return }
                state.phase = newValue
            }
        }
    }

    /// Shows what a node counts, and what its loops have open.
    func attach(_ node: Node, _ debugPages: DebugPages) {
        let figures = Figures(
            transports: node.transportMetrics, accounting: node.accounting,
            access: node.accessMetrics, scrub: node.scrubMetrics)
        self.state.withLock {
            $0.figures = figures
            $0.debugPages = debugPages
        }
    }

    /// Shows the figures of a recovered node as well.
    func attach(_ recovered: Node.Recovered) {
        self.names.attach(recovered.store)
        self.state.withLock { $0.recovered = recovered }
    }

    /// What exists once the data directory is recovered.
    var recovered: Node.Recovered? { self.state.withLock { $0.recovered } }

    // MARK: Pages

    func livez() -> AdminCheck { self.phase.livez }
    func readyz() -> AdminCheck { self.phase.readyz }
    func startupz() -> AdminCheck { self.phase.startupz }
    func version() -> String { self.buildVersion.json }

    func debug(_ page: DebugPage) -> PendingContent? {
        self.state.withLock { $0.debugPages }?.make(page)
    }

    func metrics(_ format: MetricsFormat) -> String {
        let (figures, recovered) = self.state.withLock { ($0.figures, $0.recovered) }
        var text = MetricsText(format)
        self.buildVersion.write(to: &text)
        TransportFigures(figures?.transports ?? []).write(to: &text)
        if let figures { Self.write(figures.accounting, recovered?.store, to: &text) }
        if let access = figures?.access { Self.write(access, to: &text) }
        if let tls = self.tls { Self.write(tls, to: &text) }
        if let free = try? LinuxFileSystem().freeBytes(self.dataDirectory) {
            text.gauge(
                "profiles_disk_free_bytes",
                help: "Free space of the file system of the data directory.",
                value: Double(free))
        }
        text.counter(
            "profiles_log_lines_dropped_total",
            help: "Lines of the server's own log that were lost because nobody read them.",
            value: self.logQueue.dropped)
        text.counter(
            "profiles_audit_lines_dropped_total",
            help: "Lines of the audit log that were lost because nobody read them.",
            value: self.auditQueue?.dropped ?? 0)
        Self.write(accessLog: self.accessLog, spans: self.spans, to: &text)
        if let scrub = figures?.scrub { Self.write(scrub, to: &text) }
        if let recovered {
            Self.writeLog(of: recovered, to: &text)
            Self.write(recovered, to: &text)
            Self.write(recovered.pipeline.metrics, to: &text)
            Self.writeRequestIDs(of: recovered, to: &text)
            Self.write(recovered.snapshots, to: &text)
            Self.write(recovered.feed, to: &text)
            Self.write(recovered.watchers, of: recovered.feed, to: &text)
            Self.write(recovered.exports, to: &text)
        }
        text.finish()
        return text.text
    }

    private static func write(_ access: AccessMetrics, to text: inout MetricsText) {
        text.counter(
            "profiles_auth_failures_total",
            help: "Calls that were refused access, by the reason, which their client is not told.",
            samples: AccessFailure.allCases.map {
                .init(labels: [.init("reason", $0.label)], value: access.count(of: $0))
            })
        text.counter(
            "profiles_auth_throttled_total",
            help: "Failed logins that had to wait, or whose connection was closed.",
            value: access.delayed)
        text.counter(
            "profiles_quota_rejections_total",
            help: "Calls rejected because their key had used up a quota.",
            samples: [
                .init(
                    labels: [.init("limit", "concurrent_calls_max")],
                    value: access.callQuotaRejections),
                .init(
                    labels: [.init("limit", "updates_per_second_max")],
                    value: access.updateQuotaRejections),
            ])
    }

    private static func write(_ scrub: ScrubMetrics, to text: inout MetricsText) {
        text.counter(
            "profiles_scrub_runs_total",
            help: "Times that all sealed segments and snapshots were read again.",
            value: scrub.runs)
        text.counter(
            "profiles_scrub_failures_total",
            help: "Files in which a scrub found damage, or that it could not read.",
            value: scrub.failures)
    }

    /// Before the store is there nothing was received.
    private static func write(
        _ accounting: ItemAccounting, _ store: Store?, to text: inout MetricsText
    ) {
        let figures = store.map { accounting.figures(of: $0) } ?? ItemAccounting.Figures()
        text.counter(
            "profiles_items_received_total",
            help: "Items (events, attribute writes, subscription changes) received.",
            value: figures.total.received)
        text.counter(
            "profiles_items_total",
            help: "Items by what became of them; their sum is profiles_items_received_total.",
            samples: Self.outcomes(of: figures.total, labels: []))
        text.counter(
            "profiles_project_items_received_total",
            help: "Items received by project: of the first with any, and of all others.",
            samples: figures.series.map {
                .init(labels: [.init("project", $0.project)], value: $0.items.received)
            })
        text.counter(
            "profiles_project_items_total",
            help: "Items of a project by what became of them; their sum is what it received.",
            samples: figures.series.flatMap {
                Self.outcomes(of: $0.items, labels: [.init("project", $0.project)])
            })
    }

    private static func outcomes(
        of items: ItemCounts, labels: [MetricsText.Label]
    ) -> [MetricsText.Sample] {
        [
            ("stored", items.stored), ("duplicate", items.duplicate), ("stale", items.stale),
            ("rejected", items.rejected),
        ].map { .init(labels: labels + [.init("result", $0.0)], value: $0.1) }
    }

    private static func writeRequestIDs(
        of recovered: Node.Recovered, to text: inout MetricsText
    ) {
        text.gauge(
            "profiles_request_id_horizon_seconds",
            help: "How long a request id is certain to be known.",
            value: recovered.store.requestIDHorizonSeconds)
    }

    private static func writeLog(of recovered: Node.Recovered, to text: inout MetricsText) {
        let log = recovered.log
        text.histogram(
            "profiles_log_frame_operations", help: "Operations of one frame of the log.",
            log.frameOperations.snapshot())
        text.histogram(
            "profiles_log_frame_bytes", help: "Bytes of one frame of the log.",
            log.frameBytes.snapshot())
        text.histogram(
            "profiles_log_fdatasync_seconds", help: "Time of one fdatasync of the log.",
            log.syncNanoseconds.snapshot())
        text.counter(
            "profiles_log_bytes_total", help: "Bytes written to the log since the start.",
            value: log.bytes)
        text.counter(
            "profiles_log_segments_total", help: "Segments begun since the start.",
            value: log.segments)
        text.counter(
            "profiles_log_torn_tails_total", help: "Torn tails set aside at the start.",
            value: recovered.report.tornTail == nil ? 0 : 1)
        text.gauge(
            "profiles_recovery_seconds", help: "Time the last recovery took.",
            value: recovered.seconds)
    }

    private static func write(_ counts: TriggerCounts, to text: inout MetricsText) {
        text.gauge("profiles_triggers", help: "Triggers.", value: Double(counts.triggers))
        text.gauge(
            "profiles_trigger_firings_pending",
            help: "Firings that wait to be acknowledged.", value: Double(counts.pending))
        text.gauge(
            "profiles_trigger_firings_waiting",
            help: "Firings whose delay is not over.", value: Double(counts.waiting))
        text.counter(
            "profiles_trigger_firings_total", help: "Firings that became due.",
            value: counts.fired)
        text.counter(
            "profiles_trigger_firings_acknowledged_total",
            help: "Firings that a consumer acknowledged.", value: counts.acknowledged)
        text.counter(
            "profiles_trigger_firings_guarded_total",
            help: "Firings that the guard settled.", value: counts.guarded)
        text.counter(
            "profiles_trigger_firings_lost_total",
            help: "Firings dropped because too many waited.", value: counts.lost)
        text.counter(
            "profiles_trigger_firings_cancelled_total",
            help: "Firings that an event of their unless_event_name cancelled.",
            value: counts.cancelled)
        text.counter(
            "profiles_trigger_firings_capped_total",
            help: "Events that matched while a cap allowed no firing.", value: counts.capped)
    }

    private static func write(_ recovered: Node.Recovered, to text: inout MetricsText) {
        text.gauge(
            "profiles_projects", help: "Projects, those that are being deleted too.",
            value: Double(recovered.store.projectCount))
        text.gauge(
            "profiles_profiles", help: "Profiles in the store.",
            value: Double(recovered.store.profileCount))
        text.gauge(
            "profiles_blocked_identifiers",
            help: "Identifiers of erased people that are still blocked.",
            value: Double(recovered.store.blockedIdentifierCount))
        Self.write(recovered.store.triggers.counts, to: &text)
        Self.write(recovered.triggers, to: &text)
        Self.write(recovered.scans, to: &text)
        if let memory = recovered.pipeline.metrics.memory {
            text.gauge(
                "profiles_store_bytes", help: "Memory of the store.",
                value: Double(memory.totalBytes))
            text.gauge(
                "profiles_retained_events", help: "Events kept with their content.",
                value: Double(memory.retainedEvents))
        }
        text.gauge(
            "profiles_memory_limit_bytes",
            help: "Memory of the store above which writes are rejected; 0: no limit is set.",
            value: Double(recovered.pipeline.limits.memoryBytesMax))
        text.gauge(
            "profiles_memory_exhausted",
            help: "1 while writes are rejected because memory is short.",
            value: recovered.pipeline.isMemoryFull ? 1 : 0)
        text.gauge(
            "profiles_applied_lsn",
            help: "Number of the last operation that is durable and visible.",
            value: Double(recovered.store.appliedLSN))
        text.gauge(
            "profiles_commands_waiting", help: "Commands on their way through the log.",
            value: Double(recovered.pipeline.metrics.commandsWaiting))
        text.gauge(
            "profiles_command_bytes_waiting",
            help: "Bytes of commands on their way through the log.",
            value: Double(recovered.pipeline.metrics.bytesWaiting))
        text.gauge(
            "profiles_log_failed",
            help: "1 after a failed write or sync: writes are rejected until a restart.",
            value: recovered.pipeline.isPoisoned ? 1 : 0)
        text.gauge(
            "profiles_disk_full", help: "1 while writes are rejected because the disk is full.",
            value: recovered.pipeline.isDiskFull ? 1 : 0)
        text.counter(
            "profiles_disk_full_events_total",
            help: "Times that writes began to be rejected because the disk was full.",
            value: recovered.pipeline.metrics.diskFulls)
    }

    private static func write(_ pipeline: PipelineMetrics, to text: inout MetricsText) {
        text.gauge(
            "profiles_clock_behind_seconds",
            help: "How far the machine's clock is behind the time of the last call in the log.",
            value: pipeline.clockBehindSeconds)
    }

    private static func write(_ snapshots: SnapshotMetrics, to text: inout MetricsText) {
        text.counter(
            "profiles_snapshots_total", help: "Snapshots since the start, by how they ended.",
            samples: [
                .init(labels: [.init("result", "verified")], value: snapshots.completed),
                .init(labels: [.init("result", "failed")], value: snapshots.failed),
            ])
        text.gauge(
            "profiles_snapshot_running", help: "1 while a snapshot is written.",
            value: snapshots.isRunning ? 1 : 0)
        text.gauge(
            "profiles_snapshot_lsn", help: "What the newest snapshot covers.",
            value: Double(snapshots.lsn))
        text.gauge(
            "profiles_snapshot_bytes", help: "Size of the newest snapshot.",
            value: Double(snapshots.bytes))
        text.gauge(
            "profiles_snapshot_seconds",
            help: "Time that the last snapshot took, verification included.",
            value: Double(snapshots.nanoseconds) / 1e9)
    }

    /// How a failed recovery ends the process, and the text for the operator.
    static func explain(_ error: RecoveryError) -> (code: ExitCode, text: String) {
        switch error {
        case .storage(.locked): (.directoryLocked, error.description)
        case .storage(.io(let error)): (.unexpected, error.explanation)
        // Nothing is known to be wrong with the data: a start may be tried again.
        case .storage(.noSpace), .storage(.poisoned): (.unexpected, error.description)
        default: (.dataRejected, error.description)
        }
    }
}
