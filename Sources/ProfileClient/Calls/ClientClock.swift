import Glibc

/// The clock of the client's limits.
package enum ClientClock {
    /// Monotonic time in milliseconds.
    package static func milliseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
    }
}
