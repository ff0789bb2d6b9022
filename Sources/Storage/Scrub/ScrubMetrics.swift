import Synchronization

/// Figures of the scrub: written by its thread, read by any.
package final class ScrubMetrics: Sendable {
    private let runsCell = Atomic<UInt64>(0)
    private let failuresCell = Atomic<UInt64>(0)

    package init() {}

    /// Runs that came to their end since the start.
    package var runs: UInt64 { self.runsCell.load(ordering: .relaxed) }
    /// Files in which something was wrong, counted in each run.
    package var failures: UInt64 { self.failuresCell.load(ordering: .relaxed) }

    package func finishedRun() { self.runsCell.wrappingAdd(1, ordering: .relaxed) }
    package func foundDamage() { self.failuresCell.wrappingAdd(1, ordering: .relaxed) }
}
