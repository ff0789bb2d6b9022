import IOCore

/// When a leader at rest owes its followers a record.
///
/// What was erased leaves the disk of a node with its second snapshot behind the erasure, and two
/// snapshots never have the same lsn. A leader appends the record that it needs for that itself. A
/// follower cannot, and the leader does not know which snapshots it has, nor when it comes back
/// after a long absence. So, once anything was erased, a replicated log never rests longer than the
/// age at which snapshots are due. Source: docs/decisions/0491-a-record-for-followers.md.
struct FollowerTick {
    /// The longest rest, in nanoseconds.
    private let periodNanoseconds: UInt64
    private let isReplicated: Bool
    /// The last lsn that was seen here, and since when it is the last; monotonic, in nanoseconds.
    private var lsn: UInt64
    private var since: UInt64

    init(
        behind start: Committer.Start, policy: SnapshotPolicy, isReplicated: Bool,
        clock: any Clock
    ) {
        self.periodNanoseconds = policy.ageNanosecondsMax
        self.isReplicated = isReplicated
        self.lsn = start.results.appliedLSN
        // Restarts must not put it off.
        self.since = SnapshotSchedule.monotonic(
            start.receivedAt, now: clock.monotonicNanoseconds(), wall: clock.wallMicroseconds())
    }

    /// - Parameters:
    ///   - lastEraseLSN: Of the last erasure; 0: there was none.
    ///   - now: Monotonic, in nanoseconds.
    mutating func isDue(appliedLSN: UInt64, lastEraseLSN: UInt64, now: UInt64) -> Bool {
        guard self.isReplicated else { return false }
        if appliedLSN != self.lsn { (self.lsn, self.since) = (appliedLSN, now) }
        return lastEraseLSN > 0 && now &- self.since >= self.periodNanoseconds
    }
}
