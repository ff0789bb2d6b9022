import IOCore
import Profiles
import Synchronization

/// What waits for the log, and the memory of the store; written by the loops and the committer,
/// read on any thread.
package final class PipelineMetrics: Sendable {
    private let commandsWaitingCell = Atomic<Int>(0)
    private let bytesWaitingCell = Atomic<Int>(0)
    private let diskFullsCell = Atomic<UInt64>(0)
    private let clockBehindCell = Atomic<Int64>(0)
    private let memoryCell = Guarded<MemoryStatistics?>(nil)

    /// The store's memory as the committer saw it last: only the thread that applies may read the
    /// store's own figures.
    package var memory: MemoryStatistics? { self.memoryCell.withLock { $0 } }

    /// Commands reserved and not yet given back to their loop.
    package var commandsWaiting: Int { self.commandsWaitingCell.load(ordering: .relaxed) }
    /// Bytes of their records.
    package var bytesWaiting: Int { self.bytesWaitingCell.load(ordering: .relaxed) }

    /// How often writes began to be rejected because the disk was full.
    package var diskFulls: UInt64 { self.diskFullsCell.load(ordering: .relaxed) }

    /// How far the machine's clock is behind the last call, in seconds; about 0 while it is right.
    package var clockBehindSeconds: Double {
        Double(self.clockBehindCell.load(ordering: .relaxed)) / 1e6
    }

    func setClockBehind(microseconds: Int64) {
        self.clockBehindCell.store(microseconds, ordering: .relaxed)
    }

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
