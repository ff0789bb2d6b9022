// SAFETY: `state` is one element that `Store` owns; only the applier, which runs this file, follows
// it.

/// Times before which no project has an entry in its lists, in microseconds; `.max`: none has any.
///
/// Looking at every project would cost each record more than what it does. So a bound goes down
/// with each entry, and up only when all projects are looked at, which is at most once in
/// `RetentionSweep.tickInterval` and only if something may be due. A bound that is too early makes
/// a tick that finds nothing.
struct OldestEntries: BitwiseCopyable {
    var request = Int64.max
    var merge = Int64.max
    var block = Int64.max
    /// When all projects were looked at last, by the machine's clock.
    var refreshedAt = Int64.min
}

extension Store {
    /// When the oldest entry of any list is past due, in microseconds; never too late.
    var nextEntryDue: Int64 {
        let oldest = self.state.pointee.oldest
        return min(
            self.requests.due(oldest.request), self.mergeDue(oldest.merge),
            self.erasure.due(oldest.block))
    }

    /// As `nextEntryDue`; looks at all projects if something may be due.
    func nextEntryDue(at clock: Int64) -> Int64 {
        let due = self.nextEntryDue
        let age = clock.subtractingReportingOverflow(self.state.pointee.oldest.refreshedAt)
        guard due <= clock,
            age.overflow || !(0 ..< RetentionSweep.tickInterval ~= age.partialValue)
        else { return due }
        self.refreshOldest(at: clock)
        return self.nextEntryDue
    }

    /// Makes the bounds exact.
    ///
    /// - Complexity: O(projects).
    func refreshOldest(at clock: Int64) {
        var oldest = OldestEntries()
        oldest.refreshedAt = clock
        oldest.request = self.projects.instance.requests.entries.oldestTime
        for project in self.projects.all {
            oldest.request = min(oldest.request, project.requests.entries.oldestTime)
            oldest.merge = min(oldest.merge, project.merges.oldestTime)
            oldest.block = min(oldest.block, project.blocks.oldestTime)
        }
        self.state.pointee.oldest = oldest
    }
}
