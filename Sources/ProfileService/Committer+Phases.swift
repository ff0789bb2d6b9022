// How long commands are on their way, for those who want to know; the clock is read three times a
// frame then, and not at all otherwise.

extension Committer {
    /// Monotonic, in nanoseconds; 0: nobody wants to know.
    var timeIfMeasured: UInt64 {
        self.pipeline.measuresPhases ? self.clock.monotonicNanoseconds() : 0
    }

    /// Applies a committed frame, and notes in its batches how long its phases took.
    func measure(_ frame: FrameInFlight, _ apply: () -> Void) {
        guard frame.appendedNanoseconds > 0, let run = frame.run else { return apply() }
        let committed = self.clock.monotonicNanoseconds()
        apply()
        let applied = self.clock.monotonicNanoseconds()
        self.queue.forEachPart(of: run) { batch, _ in
            batch.times.appended = frame.appendedNanoseconds
            batch.times.committed = committed
            batch.times.applied = applied
        }
    }
}
