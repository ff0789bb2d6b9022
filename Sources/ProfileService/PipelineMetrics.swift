import IOCore
import Profiles
import Synchronization

/// What waits for the log, and what the store takes; written by loops and log thread, read by
/// anyone.
package final class PipelineMetrics: Sendable {
    private let commandsWaitingCell = Atomic<Int>(0)
    private let bytesWaitingCell = Atomic<Int>(0)
    private let diskFullsCell = Atomic<UInt64>(0)
    private let memoryCell = Guarded<MemoryStatistics?>(nil)

    /// The store's memory as the log thread saw it last: only the thread that applies may look at
    /// the store itself.
    package var memory: MemoryStatistics? { self.memoryCell.withLock { $0 } }

    /// Commands reserved and not yet answered.
    package var commandsWaiting: Int { self.commandsWaitingCell.load(ordering: .relaxed) }
    /// Bytes of their records.
    package var bytesWaiting: Int { self.bytesWaitingCell.load(ordering: .relaxed) }

    /// How often writes began to be refused for want of space.
    package var diskFulls: UInt64 { self.diskFullsCell.load(ordering: .relaxed) }

    func countDiskFull() {
        self.diskFullsCell.wrappingAdd(1, ordering: .relaxed)
    }

    func setMemory(_ memory: MemoryStatistics) {
        self.memoryCell.withLock { $0 = memory }
    }

    func addWaiting(commands: Int, bytes: Int) {
        self.commandsWaitingCell.add(commands, ordering: .relaxed)
        self.bytesWaitingCell.add(bytes, ordering: .relaxed)
    }
}
