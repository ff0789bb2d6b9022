import IOCore
import Profiles
import Synchronization

/// What waits for the log, and what the store takes; written by loops and log thread, read by
/// anyone.
package final class PipelineMetrics: Sendable {
    private let commandsWaiting_ = Atomic<Int>(0)
    private let bytesWaiting_ = Atomic<Int>(0)
    private let diskFulls_ = Atomic<UInt64>(0)
    private let memory_ = Guarded<MemoryStatistics?>(nil)

    /// The store's memory as the log thread saw it last: only the thread that applies may look at
    /// the store itself.
    package var memory: MemoryStatistics? { self.memory_.withLock { $0 } }

    /// Commands reserved and not yet answered.
    package var commandsWaiting: Int { self.commandsWaiting_.load(ordering: .relaxed) }
    /// Bytes of their records.
    package var bytesWaiting: Int { self.bytesWaiting_.load(ordering: .relaxed) }

    /// How often writes began to be refused for want of space.
    package var diskFulls: UInt64 { self.diskFulls_.load(ordering: .relaxed) }

    func countDiskFull() {
        self.diskFulls_.wrappingAdd(1, ordering: .relaxed)
    }

    func setMemory(_ memory: MemoryStatistics) {
        self.memory_.withLock { $0 = memory }
    }

    func addWaiting(commands: Int, bytes: Int) {
        self.commandsWaiting_.add(commands, ordering: .relaxed)
        self.bytesWaiting_.add(bytes, ordering: .relaxed)
    }
}
