/// Spreads work on the disk over time: after each piece it asks for a rest that is a multiple of
/// the time the piece took, so that the log's own syncs get a fixed share of the disk.
///
/// The component that owns it does the resting, by returning the rest from its step. A wake during
/// a rest does not shorten it; urgent work does.
struct WorkPacing {
    /// Rest as a multiple of the work before it.
    private let factor: UInt64
    /// Longest rest, in nanoseconds.
    private let restNanosecondsMax: UInt64
    /// Monotonic time at which the rest ends, in nanoseconds.
    private var restsUntil: UInt64 = 0

    init(factor: UInt64 = 1, restNanosecondsMax: UInt64 = .max) {
        self.factor = factor
        self.restNanosecondsMax = restNanosecondsMax
    }

    /// Half of the disk's time: the pace of snapshots and backups. The cap of 250 ms keeps one slow
    /// block from stopping them for as long again.
    static let half = WorkPacing(factor: 1, restNanosecondsMax: 250_000_000)

    /// A piece of work has ended.
    mutating func didWork(from started: UInt64, to ended: UInt64) {
        let rest = (ended &- started).multipliedReportingOverflow(by: self.factor)
        self.restsUntil =
            ended &+ min(rest.overflow ? .max : rest.partialValue, self.restNanosecondsMax)
    }

    /// How much of the rest is left, in nanoseconds; `nil`: none.
    func remaining(at now: UInt64) -> UInt64? {
        now < self.restsUntil ? self.restsUntil - now : nil
    }
}
