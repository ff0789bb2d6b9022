import IOCore
import IOSimulation
import ProfileService
import Storage
import TestSupport

/// One node of a world over all of its processes: its disk, its network, and the process that runs
/// on them, if one does.
///
/// down --start--> listening --recover--> serving --restart--> draining --> down
///   ^-------------- kill, power cut, a start that is rejected -------------'
package final class SimulatedNode {
    /// How its process is.
    package enum Phase: Equatable {
        /// No process runs. One starts at this step.
        case down(until: Int)
        /// It has the directory and listens; calls are rejected.
        case listening
        case serving
        /// It ends in order; this many of its workers have been told to.
        case draining(workersStopped: Int)
    }

    package let index: Int
    package let disk: SimulatedDisk
    package let network = SimulatedNetwork()
    /// The first process is 1.
    package private(set) var life = 0
    package private(set) var phase = Phase.down(until: 0)
    /// The running process; `nil` while none runs.
    package private(set) var node: Node?
    private(set) var drivers: [ComponentDriver] = []
    /// Monotonic time before which a driver does not run, in nanoseconds, by its index: its disk is
    /// slow.
    var heldUntil: [UInt64] = []
    private let reports = Guarded<[NodeEvent]>([])
    /// Bits that are turned over on its disk.
    var damage: [BitFlip] = []
    /// Whether bits of its disk have ever turned over: then a feed may have lost its beginning, and
    /// a scrub may report it, also after the repair.
    package internal(set) var hasRotted = false

    /// The step at which an operator restarts a process whose log has failed; `nil`: it has not.
    package internal(set) var operatorEndsAt: Int?
    /// Planned errors of the disk that had happened when the process was started.
    private(set) var faultsHitBefore = 0

    /// How its process dies once its disk says that it is stopped.
    var endAtStop = ProcessEnd.killed
    /// Decides what a power cut within a step leaves.
    var cutSeed: UInt64 = 0

    init(index: Int, disk: SimulatedDisk) {
        self.index = index
        self.disk = disk
    }

    /// Where its clients connect to, whether a process listens or not.
    package var address: String { "127.0.0.1:\(Self.port(of: self.index))" }

    private static func port(of index: Int) -> UInt16 { 7_000 + UInt16(index) }

    /// Whether calls are let in.
    package var isServing: Bool { self.phase == .serving }

    /// What the process has reported since the last look, the oldest first.
    func takeReports() -> [NodeEvent] {
        self.reports.withLock { all in
            defer { all.removeAll() }
            return all
        }
    }

    // MARK: The process

    /// Starts a process, up to where it listens.
    ///
    /// - Throws: `NodeStartError`; no process runs then.
    func start(
        settings: WorldSettings, clock: any Clock,
        makeLogStore: @escaping (LogEnvironment) -> any LogStore
    ) throws(NodeStartError) {
        self.life += 1
        self.faultsHitBefore = self.disk.faultsHit
        let view = RecordingNetwork(self.network)
        var configuration = settings.configuration
        configuration.listenPort = Self.port(of: self.index)
        let reports = self.reports
        var environment = NodeEnvironment(
            clock: clock, network: view,
            random: SimulatedRandomSource(
                seed: settings.secretSeed(ofNode: self.index, life: self.life)),
            fileSystem: self.disk, makeLogStore: makeLogStore, makeParker: { SimulatedParker() },
            configuration: configuration,
            onEvent: { event in reports.withLock { $0.append(event) } })
        #if CANARIES
            environment.fileSystem = SabotagedFileSystem(self.disk)
            environment.makeLogStore = { SabotagedLogStore(makeLogStore($0)) }
        #endif
        environment.access = AccessControl(operatorKeys: [SimulatedKeys.operatorKey])
        let node = try Node(environment: environment)
        self.node = node
        self.drivers = zip(node.loops, view.pollers).map { ComponentDriver($0, poller: $1) }
        self.phase = .listening
    }

    /// Recovers the directory and lets calls in.
    func recover() throws(RecoveryError) {
        guard let node = self.node else { preconditionFailure("only a process recovers") }
        try node.recover()
        self.drivers += node.workers.map { ComponentDriver($0, poller: nil) }
        self.heldUntil = Array(repeating: 0, count: self.drivers.count)
        node.serve()
        self.phase = .serving
    }

    /// SIGTERM.
    func beginDrain(graceNanoseconds: UInt64) {
        guard self.phase == .serving else { return }
        self.node?.beginDrain(graceNanoseconds: graceNanoseconds)
        self.phase = .draining(workersStopped: 0)
    }

    /// Goes on with the drain, as the server does: the loops end, then one worker after the other.
    ///
    /// - Returns: Whether the process has ended.
    func continueDrain() -> Bool {
        guard case .draining(let stopped) = self.phase, let node = self.node else { return false }
        let loops = node.loops.count
        guard self.drivers[..<(loops + stopped)].allSatisfy(\.hasEnded) else { return false }
        if stopped < node.workers.count {
            node.workers[stopped].stop()
            self.phase = .draining(workersStopped: stopped + 1)
            return false
        }
        node.close()
        return true
    }

    /// Gives the directory back after a start that was rejected.
    func abandonStart() { self.node?.close() }

    /// No process runs any more; connections are cut.
    ///
    /// - Parameter cutSeed: Of a power cut; `nil`: the disk keeps what reads see.
    func end(cutSeed: UInt64?, startAgainAt step: Int) {
        self.network.cutAll()
        self.drivers = []
        self.heldUntil = []
        self.node = nil
        if let cutSeed { self.disk.cutPower(seed: cutSeed) } else { self.disk.killProcess() }
        self.endAtStop = .killed
        self.operatorEndsAt = nil
        self.phase = .down(until: step)
    }

    /// A process that is down starts at this step at the latest.
    func startSoon(at step: Int) {
        if case .down(let until) = self.phase { self.phase = .down(until: min(until, step)) }
        self.operatorEndsAt = self.operatorEndsAt.map { min($0, step) }
    }
}
