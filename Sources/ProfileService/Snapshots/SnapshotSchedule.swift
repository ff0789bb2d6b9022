import IOCore
import Storage

/// Decides when a snapshot is due without a request; times are monotonic, in nanoseconds.
struct SnapshotSchedule {
    private let policy: SnapshotPolicy
    /// What the newest snapshot covers, and the older one that is kept.
    private var lsn: UInt64
    private(set) var olderLSN: UInt64 = 0
    /// Bytes of the log that a start replays beside those written since this one.
    private var replayedBytes: UInt64
    /// Bytes written when the newest snapshot began.
    private var bytesCovered: UInt64 = 0
    /// When the first record came that the newest does not cover; `nil`: it covers all.
    private var uncoveredSince: UInt64?
    /// When the last snapshot began.
    private var lastAt: UInt64
    private var retryAt: UInt64 = 0
    private var isDiskFull = false
    /// Snapshots made since the disk is full.
    private var madeWhileFull = 0

    init(_ coverage: SnapshotCoverage, policy: SnapshotPolicy, clock: any Clock) {
        let now = clock.monotonicNanoseconds()
        let wall = clock.wallMicroseconds()
        self.policy = policy
        self.lsn = coverage.newest?.position.lsn ?? 0
        self.replayedBytes = coverage.logBytes
        self.lastAt = Self.monotonic(
            coverage.newest?.position.receivedAt ?? wall, now: now, wall: wall)
        self.uncoveredSince = coverage.uncoveredSince.map {
            Self.monotonic($0, now: now, wall: wall)
        }
    }

    /// The monotonic time of a wall-clock time that is past, or now if it is not. Before the
    /// machine's start it wraps, so that ages come out right all the same: a machine that is
    /// restarted every few hours must not put off what is due.
    static func monotonic(_ microseconds: Int64, now: UInt64, wall: Int64) -> UInt64 {
        let ago = UInt64(max(0, wall - microseconds)).multipliedReportingOverflow(by: 1_000)
        return now &- (ago.overflow ? .max : ago.partialValue)
    }

    /// - Parameters:
    ///   - lastEraseLSN: Of the last erasure; until both snapshots that are kept are later, the
    ///     disk still has what was erased.
    ///   - logBytes: Written to the log since the start.
    ///   - isDiskFull: Whether writes wait for space, which a snapshot may free.
    mutating func isDue(
        appliedLSN: UInt64, lastEraseLSN: UInt64, logBytes: UInt64, isDiskFull: Bool = false,
        now: UInt64
    ) -> Bool {
        if isDiskFull != self.isDiskFull {
            self.isDiskFull = isDiskFull
            self.madeWhileFull = 0
            // What failed for want of space need not wait when there is some, nor when it is wanted
            // most.
            self.retryAt = 0
        }
        if appliedLSN > self.lsn, self.uncoveredSince == nil { self.uncoveredSince = now }
        guard now >= self.retryAt else { return false }
        if isDiskFull, self.madeWhileFull < self.policy.whileFullMax { return true }
        if self.replayedBytes + logBytes - self.bytesCovered >= self.policy.logBytesMax {
            return true
        }
        if let since = self.uncoveredSince, now &- since >= self.policy.ageNanosecondsMax {
            return true
        }
        return lastEraseLSN > self.olderLSN && now &- self.lastAt >= self.policy.ageNanosecondsMax
    }

    /// - Parameters:
    ///   - logBytes: Written to the log when it began.
    ///   - startedAt: When it began: what came later is not covered.
    mutating func finished(
        _ file: SnapshotFile, older: SnapshotFile?, logBytes: UInt64, startedAt: UInt64
    ) {
        self.lsn = file.position.lsn
        self.olderLSN = older?.position.lsn ?? 0
        self.replayedBytes = 0
        self.bytesCovered = logBytes
        self.uncoveredSince = nil
        self.lastAt = startedAt
        self.retryAt = 0
        self.madeWhileFull += 1
    }

    mutating func failed(at now: UInt64) {
        self.retryAt =
            now
            + (self.isDiskFull ? self.policy.retryFullNanoseconds : self.policy.retryNanoseconds)
    }
}
