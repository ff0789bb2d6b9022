import Profiles

/// Compares the store's memory with its limit for the committer, and reports it to the metrics now
/// and then.
struct MemoryObserver {
    /// How often the store's memory is reported to the metrics, in nanoseconds.
    private static let reportNanoseconds: UInt64 = 200_000_000
    private var nextReport: UInt64 = 0
    /// Made with the first observation, which brings the limit.
    private var gate: MemoryGate?
    /// `Store.memoryMark` at the last observation.
    private var mark = -1

    /// The figures are summed up over all tables. Between two pieces of memory that the store takes
    /// they do not change, except for a writer that waits for freed memory.
    ///
    /// - Parameter now: Monotonic, in nanoseconds.
    mutating func observe(_ store: Store, for pipeline: CommitPipeline, now: UInt64) {
        let mark = store.memoryMark
        guard mark != self.mark || now >= self.nextReport || pipeline.isMemoryFull else { return }
        self.mark = mark
        let memory = store.memory
        var gate = self.gate ?? MemoryGate(limitBytes: pipeline.limits.memoryBytesMax)
        gate.observe(memory)
        self.gate = gate
        pipeline.setMemoryFull(gate.isFull)
        guard now >= self.nextReport else { return }
        self.nextReport = now + Self.reportNanoseconds
        pipeline.metrics.setMemory(memory)
    }
}
