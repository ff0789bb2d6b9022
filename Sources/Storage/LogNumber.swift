/// Numbers that a log counts by ones: segments, frames, lsns, notes of its end.
enum LogNumber {
    /// What readers take: a log that counts a thousand million a second gets no further in a
    /// century, and sums of two such numbers do not overflow.
    static let allowed: ClosedRange<UInt64> = 1 ... 1 << 62
}
