import Profiles

/// What an operator should know of the machine's clock.
package enum ClockEvent: Equatable, Sendable {
    /// It is behind the time of the last call; reported now and then as long as it is.
    case behind(seconds: Double)
    /// It was, and is not any more.
    case caughtUp
}

/// Decides when a clock that is behind is reported.
///
/// right --behind by a second--> behind --every 10 minutes--> behind
///   ^                              |
///   +---------- caught up ---------+
struct ClockWatch {
    /// What is reported, in microseconds: below it, clocks are corrected in ordinary operation.
    private static let behindMicrosecondsMin: Int64 = 1_000_000
    /// Between two reports of one clock that is behind, in nanoseconds.
    private static let reportNanoseconds: UInt64 = 600_000_000_000
    /// Between two looks at it, in nanoseconds: as often as metrics are read at most.
    private static let intervalNanoseconds: UInt64 = 1_000_000_000

    private enum State {
        case right
        /// Reported at this monotonic time, in nanoseconds.
        case behind(reportedAt: UInt64)
    }

    private var state = State.right
    private var nextAt: UInt64 = 0

    /// Whether to look at the clock again.
    ///
    /// - Parameter now: Monotonic, in nanoseconds.
    func isDue(at now: UInt64) -> Bool { now >= self.nextAt }

    /// Notes how far the clock is behind.
    ///
    /// - Returns: What to report, if anything.
    mutating func observe(behindMicroseconds: Int64, at now: UInt64) -> ClockEvent? {
        self.nextAt = now + Self.intervalNanoseconds
        let event = ClockEvent.behind(seconds: Double(behindMicroseconds) / 1e6)
        switch self.state {
        case .right:
            guard behindMicroseconds >= Self.behindMicrosecondsMin else { return nil }
            self.state = .behind(reportedAt: now)
            return event
        case .behind(let reportedAt):
            if behindMicroseconds < FrameClock.behindMicrosecondsMin {
                self.state = .right
                return .caughtUp
            }
            guard now - reportedAt >= Self.reportNanoseconds else { return nil }
            self.state = .behind(reportedAt: now)
            return event
        }
    }
}
