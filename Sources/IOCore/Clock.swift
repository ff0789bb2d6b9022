/// The source of time: the machine's clocks in production, a simulated clock in tests.
package protocol Clock: AnyObject, Sendable {
    /// Wall-clock time in microseconds since 1970-01-01T00:00:00Z; may jump either way.
    func wallMicroseconds() -> Int64
    /// Time since an arbitrary start, in nanoseconds; never runs backwards.
    func monotonicNanoseconds() -> UInt64
}

/// The source of randomness; used for the genesis record only.
package protocol RandomSource: AnyObject, Sendable {
    // SAFETY: the caller owns `bytes`; an implementation writes within their count and keeps no
    // pointer.
    /// Fills `bytes` with unpredictable bytes.
    func fill(_ bytes: UnsafeMutableRawBufferPointer)
}
