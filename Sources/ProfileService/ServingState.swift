import IOCore
import Synchronization

/// What the process can do for a caller now.
package enum CallPhase: UInt8, Sendable {
    /// The log is being read: every call is rejected as REPLAYING.
    case replaying = 0
    /// Reads and writes.
    case serving = 1
    /// A shutdown has begun: open calls end, new ones are rejected.
    case draining = 2
}

/// The phase, and the partition once it is recovered; shared by all loops.
package final class ServingState: Sendable {
    private let phaseCell = Atomic<UInt8>(CallPhase.replaying.rawValue)
    private let partitionCell = Guarded<Partition?>(nil)

    package init() {}

    package var phase: CallPhase {
        CallPhase(rawValue: self.phaseCell.load(ordering: .acquiring)) ?? .draining
    }

    /// The recovered partition; `nil` while replaying. Loops ask once and keep it.
    package var partition: Partition? { self.partitionCell.withLock { $0 } }

    /// Lets calls in.
    package func serve(_ partition: Partition) {
        self.partitionCell.withLock { $0 = partition }
        self.phaseCell.store(CallPhase.serving.rawValue, ordering: .releasing)
    }

    /// Refuses new calls from now on.
    package func drain() {
        self.phaseCell.store(CallPhase.draining.rawValue, ordering: .releasing)
    }
}
