/// Bounds the lines of refused accesses, which anybody can cause: so many a second, and one that
/// counts the others.
struct DenialLimit {
    /// Lines of refused accesses in a second, of all loops: some 25 KiB, so that a burst leaves
    /// space for lines of another kind, and a day of it takes 2 GB.
    static let linesPerSecondMax = 100
    private static let secondNanoseconds: UInt64 = 1_000_000_000

    /// The end of the second that is counted, monotonic.
    private var endNanoseconds: UInt64 = 0
    private var lines = 0
    /// Refused accesses of it that got no line.
    private var more: UInt64 = 0

    /// What becomes of a refused access.
    enum OnDenial {
        case write
        /// It is counted only.
        case count(isFirst: Bool)
    }

    /// A refused access; `takeMore` comes first.
    mutating func refused(nowNanoseconds: UInt64) -> OnDenial {
        if nowNanoseconds >= self.endNanoseconds {
            self.endNanoseconds = nowNanoseconds + Self.secondNanoseconds
            self.lines = 0
        }
        guard self.lines >= Self.linesPerSecondMax else {
            self.lines += 1
            return .write
        }
        self.more += 1
        return .count(isFirst: self.more == 1)
    }

    /// Takes the number of those that were only counted, once their second is over; 0: none.
    ///
    /// - Parameter isLast: The log ends: the second need not be over.
    mutating func takeMore(nowNanoseconds: UInt64, isLast: Bool = false) -> UInt64 {
        guard isLast || nowNanoseconds >= self.endNanoseconds else { return 0 }
        defer { self.more = 0 }
        return self.more
    }

    /// When `takeMore` will have something, in nanoseconds from now; `nil`: not yet known.
    func pauseNanoseconds(nowNanoseconds: UInt64) -> UInt64? {
        guard self.more > 0 else { return nil }
        return max(self.endNanoseconds, nowNanoseconds) - nowNanoseconds
    }
}
