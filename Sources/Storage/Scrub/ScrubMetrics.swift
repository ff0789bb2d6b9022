import Synchronization

/// Figures of the scrub: written by its thread, read by any.
package final class ScrubMetrics: Sendable {
    private let runs_ = Atomic<UInt64>(0)
    private let failures_ = Atomic<UInt64>(0)

    package init() {}

    /// Runs that came to their end since the start.
    package var runs: UInt64 { self.runs_.load(ordering: .relaxed) }
    /// Files in which something was wrong, counted in each run.
    package var failures: UInt64 { self.failures_.load(ordering: .relaxed) }

    package func finishedRun() { self.runs_.wrappingAdd(1, ordering: .relaxed) }
    package func foundDamage() { self.failures_.wrappingAdd(1, ordering: .relaxed) }
}
