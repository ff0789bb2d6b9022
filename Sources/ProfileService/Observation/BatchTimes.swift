/// When a batch was where, monotonic, in nanoseconds; 0: not yet. Of a batch in several frames the
/// last one counts, since its responses leave together.
struct BatchTimes: Equatable {
    var submitted: UInt64 = 0
    var appended: UInt64 = 0
    var committed: UInt64 = 0
    var applied: UInt64 = 0

    /// `nil`: it was not committed, or nobody measured it.
    var phases: LogPhases? {
        guard self.submitted > 0, self.applied > 0 else { return nil }
        return LogPhases(
            queueNanoseconds: self.appended - min(self.submitted, self.appended),
            syncNanoseconds: self.committed - min(self.appended, self.committed),
            applyNanoseconds: self.applied - min(self.committed, self.applied))
    }
}
