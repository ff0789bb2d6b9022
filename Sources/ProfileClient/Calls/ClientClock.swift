import Glibc

/// The clock of the client's limits.
package enum ClientClock {
    /// Monotonic time in milliseconds.
    package static func milliseconds() -> Int64 {
        Int64(Self.nanoseconds() / 1_000_000)
    }

    /// Monotonic time in nanoseconds, or that of another clock.
    package static func nanoseconds(_ clock: clockid_t = CLOCK_MONOTONIC) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
