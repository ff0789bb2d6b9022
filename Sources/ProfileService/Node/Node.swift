import GRPCTransport
import IOCore
import Profiles
import Storage

/// Why a node cannot start.
package enum NodeStartError: Error {
    /// The data directory is in use, or cannot be created or opened.
    case directory(StorageError)
    /// The network cannot listen.
    case listening(IOError)
}

/// One whole node: network loops, commit pipeline, log, store, feed, snapshots, backups and scrub,
/// wired together over the seams of a `NodeEnvironment`.
///
/// It owns no thread. Everything happens in the steps of its components, which a driver calls: the
/// server puts a thread around each, tests and the simulator step them in any order on one thread.
///
/// init --> locked, then listening; loops respond REPLAYING --recover--> recovered --serve-->
///      serving --beginDrain--> draining; loops end --> workers are stopped one by one --close-->
///      closed. A rejected start ends with `close` too.
///
/// The methods of this type are called by one thread, the driver's; `components` may then be driven
/// by others.
package final class Node {
    /// Names that `grpc.health.v1` knows; the empty one is the process.
    private static let healthServices = ["", "profiles.v1.Profiles", "profiles.v1.Admin"]

    /// What exists once the data directory is recovered. May be used on any thread.
    package struct Recovered: Sendable {
        package let store: Store
        package let pipeline: CommitPipeline
        package let log: LogMetrics
        package let snapshots: SnapshotMetrics
        package let feed: Feed
        package let watchers: WatchCoordinator
        package let triggers: TriggerCoordinator
        package let scans: ScanCoordinator
        package let exports: ExportCoordinator
        package let report: RecoveryReport
        /// Time that the recovery took.
        package let seconds: Double
    }

    /// Items of projects by what became of them.
    package let accounting: ItemAccounting
    package let scrubMetrics = ScrubMetrics()
    /// Counts refused and held-back calls.
    package var accessMetrics: AccessMetrics { self.environment.access.metrics }
    package let health: HealthRegistry
    /// One per loop.
    package var transportMetrics: [TransportMetrics] { self.serving.map(\.loop.metrics) }
    /// Asks the loops what they have open; one per loop.
    package var inspectors: [LoopInspector] { self.serving.map(\.loop.inspector) }
    /// The bound address with its real port.
    package var listenAddress: String { self.serving.last?.address ?? "" }
    /// The network loops, which exist from the start.
    package let loops: [NodeComponent]
    /// All other components, once recovered, in the order in which they must end: each one needs
    /// those behind it.
    package private(set) var workers: [NodeComponent] = []
    package private(set) var recovered: Recovered?

    let environment: NodeEnvironment
    let state = ServingState()
    let serving: [ServingLoop]
    private var coordinator: OperatorCoordinator?
    private let build: NodeBuild
    private let lock: any DirectoryLock

    /// Locks the data directory, then listens, so that probes and callers see it replaying.
    ///
    /// In this order, because a second start on a directory must not accept a connection that the
    /// server which has the directory should get. Source: docs/decisions/0320-lock-then-listen.md.
    ///
    /// - Throws: `NodeStartError`. Nothing is left behind then.
    package init(environment: NodeEnvironment) throws(NodeStartError) {
        let build = NodeBuild(environment)
        let lock: any DirectoryLock
        do throws(StorageError) { lock = try build.lockDirectory() } catch {
            throw .directory(error)
        }
        self.environment = environment
        self.accounting = ItemAccounting(
            labelsMax: environment.configuration.projectLabelsMax)
        self.build = build
        self.lock = lock
        self.health = HealthRegistry(services: Self.healthServices)
        do throws(IOError) {
            self.serving = try Self.listen(
                environment, state: self.state, health: self.health)
        } catch {
            lock.release()
            throw .listening(error)
        }
        self.loops = serving.map { serving in
            let loop = serving.loop
            return NodeComponent(
                name: "loop-\(loop.index)", body: serving, idling: .polling(loop),
                onStop: Self.stop(loop))
        }
    }

    private static func listen(
        _ environment: NodeEnvironment, state: ServingState, health: HealthRegistry
    ) throws(IOError) -> [ServingLoop] {
        let configuration = environment.configuration
        let listeners = try environment.network.listen(
            host: configuration.listenHost, port: configuration.listenPort,
            count: configuration.loops)
        var serving: [ServingLoop] = []
        do throws(IOError) {
            for (index, listener) in listeners.enumerated() {
                serving.append(
                    try ServingLoop(
                        index: index, listener: listener, environment: environment, state: state,
                        health: health))
            }
        } catch {
            for listener in listeners { listener.close() }
            throw error
        }
        return serving
    }

    /// All components that there are now.
    package var components: [NodeComponent] { self.loops + self.workers }

    private static func stop(_ loop: RPCLoop) -> @Sendable () -> Void {
        // SAFETY: the closure keeps the loop alive, and reaches only `stop`, which any thread may
        // call.
        nonisolated(unsafe) let loop = loop
        return { loop.stop() }
    }

    // MARK: Recovery

    /// Reads the data directory, makes what it says durable, and builds the workers.
    ///
    /// One long step: it returns when all is read. Loops that are driven by other threads meanwhile
    /// reject calls as REPLAYING.
    ///
    /// - Throws: `RecoveryError`; `close` is all that may follow.
    /// - Complexity: O(bytes of the snapshot and of the log behind it).
    package func recover() throws(RecoveryError) {
        precondition(self.recovered == nil, "a node recovers once")
        let wakeLoops = self.loopWaker
        let health = self.health
        let built = try self.build.recover(
            mailboxes: self.serving.map(\.mailbox), scrubMetrics: self.scrubMetrics,
            onLogFailure: {
                health.setAll(.notServing)
                wakeLoops()
            })
        do throws(IOError) { try self.lock.claim() } catch { throw .storage(.io(error)) }
        self.recovered = built.recovered
        self.coordinator = built.coordinator
        self.workers = built.workers
    }

    private var loopWaker: @Sendable () -> Void {
        // SAFETY: the closure keeps the loops alive, and reaches only `wake`, which any thread may
        // call.
        nonisolated(unsafe) let loops = self.serving.map(\.loop)
        return { for loop in loops { loop.wake() } }
    }

    // MARK: Serving and the end

    /// Lets calls in.
    package func serve() {
        guard let recovered = self.recovered else {
            preconditionFailure("only a recovered node serves")
        }
        self.state.serve(
            Partition(
                store: recovered.store, pipeline: recovered.pipeline,
                coordinator: self.coordinator, feed: recovered.feed,
                watchers: recovered.watchers, triggers: recovered.triggers,
                scans: recovered.scans, exports: recovered.exports))
        self.health.setAll(.serving)
        self.loopWaker()
    }

    /// Rejects new calls and lets open ones end; the loops end then, at the latest after the grace.
    package func beginDrain(graceNanoseconds: UInt64) {
        self.state.drain()
        self.health.setAll(.notServing)
        for serving in self.serving { serving.loop.beginDrain(graceNanoseconds: graceNanoseconds) }
    }

    /// Gives the data directory back, once every component has ended or the start was rejected; a
    /// rejected start leaves it as it was.
    package func close() {
        // Loops may still run after a start that was rejected; nothing was in the log then.
        if self.recovered != nil { for serving in self.serving { serving.close() } }
        self.lock.release()
    }
}
