import GRPCTransport
import IOCore
import Profiles
import Storage

/// Everything that a node takes from the machine. Built in two places only: the server's bootstrap
/// on Linux, and the harness of the tests and the simulator.
package struct NodeEnvironment {
    package var clock: any Clock
    package var network: any Network
    /// For the genesis record of an empty directory, and the secrets of keys.
    package var random: any RandomSource
    package var fileSystem: any FileSystem
    /// Makes the log of a data directory: the one choice of an implementation.
    package var makeLogStore: (LogEnvironment) -> any LogStore
    /// Makes the parker of one component; called once for each.
    package var makeParker: () -> any Parker
    package var configuration: NodeConfiguration
    /// Counts the connections of each peer, for all loops.
    let peers = PeerRegistry()
    /// Who may call; open unless it is replaced.
    package var access = AccessControl()
    /// Who is told of calls that have ended; nobody unless it is replaced.
    package var observers = CallObservers()
    /// Gets what an operator should know. Called in the steps of components, so on any thread.
    package var onEvent: @Sendable (NodeEvent) -> Void

    package init(
        clock: any Clock, network: any Network, random: any RandomSource,
        fileSystem: any FileSystem,
        makeLogStore: @escaping (LogEnvironment) -> any LogStore,
        makeParker: @escaping () -> any Parker,
        configuration: NodeConfiguration, onEvent: @escaping @Sendable (NodeEvent) -> Void
    ) {
        self.clock = clock
        self.network = network
        self.random = random
        self.fileSystem = fileSystem
        self.makeLogStore = makeLogStore
        self.makeParker = makeParker
        self.configuration = configuration
        self.onEvent = onEvent
    }
}

/// How a node is set up. The defaults are those of the parts.
package struct NodeConfiguration: Sendable {
    package var dataDirectory: String
    package var listenHost = "127.0.0.1"
    /// 0: any port.
    package var listenPort: UInt16 = 0
    /// Network loops, at least 1.
    package var loops = 1
    /// Whether server reflection is served.
    package var hasReflection = true
    package var transport = TransportLimits()
    package var store = StoreLimits()
    /// From a DeleteProject until its project's data goes, in seconds.
    package var projectDeleteSeconds = Self.projectDeleteSeconds
    package var pipeline = PipelineLimits()
    package var streams = StreamLimits()
    package var watch = WatchLimits()
    package var exports = ExportLimits()
    package var triggerStreams = TriggerStreamLimits()
    package var scans = ScanLimits()
    package var log = LogOptions()
    package var snapshots = SnapshotPolicy()
    package var feed = FeedOptions()
    package var scrub = ScrubSchedule()
    /// Projects with a label of their own in the metrics.
    package var projectLabelsMax = ItemAccounting.labelsMax

    /// A day: long enough to notice a mistake.
    package static let projectDeleteSeconds = 86_400

    package init(dataDirectory: String) {
        self.dataDirectory = dataDirectory
    }
}

/// What an operator should know of a node.
package enum NodeEvent: Sendable {
    /// A network loop cannot watch its listener, so it accepts no connection.
    case loopFailed(IOError)
    /// The data directory has less free space than two segments take, in bytes.
    case nearlyFull(freeBytes: UInt64, segmentBytes: Int)
    /// The data directory is on a file system that may not keep what it acknowledges.
    case unreliableFileSystem(String)
    /// Reading the data directory has advanced; after each block and frame.
    case replaying(doneBytes: UInt64, totalBytes: UInt64)
    /// The same for people, once a second.
    case recovering(RecoveryProgress, totalBytes: UInt64)
    /// The log has failed: writes are rejected until a restart.
    case logFailed(StorageError)
    /// Writes began (true) or ceased to be rejected for want of disk space or memory.
    case shortage(Shortage, Bool)
    /// Whether this node's log takes writes has changed.
    case leadership(Leadership)
    /// The machine's clock is behind the log, or is right again.
    case clock(ClockEvent)
    case snapshot(Snapshotter.Event)
    case feed(FeedEvent)
    /// File space for the log cannot be prepared; the first of several failures in a row.
    case logSpaceNotPrepared(IOError)
    /// The scrub has read every sealed file.
    case scrubbed(Scrubber.Figures)
    /// The scrub has found damage.
    case damaged(StorageError)
}
