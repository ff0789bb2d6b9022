import IOCore

/// Failed sign-ins of the profile page, of all browsers together: it listens on loopback, where
/// addresses tell nobody apart. Any thread.
final class ConsoleLoginLimit: Sendable {
    /// Failures within the window after which sign-ins are rejected; fewer than those after which
    /// the service delays the page's address (20 in 10 s).
    static let failuresMax = 10
    /// In nanoseconds.
    static let windowNanoseconds: UInt64 = 60 * 1_000_000_000

    /// Monotonic times, the oldest first; at most `failuresMax`.
    private let failures = Guarded<[UInt64]>([])

    /// How long a sign-in has to wait, in whole seconds; `nil`: it may be tried now, and counts as
    /// failed until `succeeded`.
    func begin(now: UInt64) -> UInt64? {
        self.failures.withLock { failures in
            failures.removeAll { now >= $0 + Self.windowNanoseconds }
            if failures.count >= Self.failuresMax, let oldest = failures.first {
                return (oldest + Self.windowNanoseconds - now + 999_999_999) / 1_000_000_000
            }
            failures.append(now)
            return nil
        }
    }

    /// Forgets the sign-in that began at this time.
    func succeeded(begunAt time: UInt64) {
        self.failures.withLock { failures in
            if let index = failures.firstIndex(of: time) { failures.remove(at: index) }
        }
    }
}
