import Synchronization

/// What waits for the log; written by loops and log thread, read by anyone.
package final class PipelineMetrics: Sendable {
    private let commandsWaiting_ = Atomic<Int>(0)
    private let bytesWaiting_ = Atomic<Int>(0)

    /// Commands reserved and not yet answered.
    package var commandsWaiting: Int { self.commandsWaiting_.load(ordering: .relaxed) }
    /// Bytes of their records.
    package var bytesWaiting: Int { self.bytesWaiting_.load(ordering: .relaxed) }

    func addWaiting(commands: Int, bytes: Int) {
        self.commandsWaiting_.add(commands, ordering: .relaxed)
        self.bytesWaiting_.add(bytes, ordering: .relaxed)
    }
}
