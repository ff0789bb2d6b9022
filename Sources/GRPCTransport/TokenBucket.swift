/// So many at once, so many per second after that.
struct TokenBucket {
    private var level: Double
    private var updatedNanoseconds: UInt64
    private let burst: Double
    private let perNanosecond: Double

    init(burst: Int, perSecond: Int, nowNanoseconds: UInt64) {
        self.level = Double(burst)
        self.burst = Double(burst)
        self.perNanosecond = Double(perSecond) / 1e9
        self.updatedNanoseconds = nowNanoseconds
    }

    /// Takes one; false when none is left.
    mutating func take(nowNanoseconds: UInt64) -> Bool {
        let elapsed = Double(nowNanoseconds &- self.updatedNanoseconds)
        self.level = min(self.burst, self.level + elapsed * self.perNanosecond)
        self.updatedNanoseconds = nowNanoseconds
        guard self.level >= 1 else { return false }
        self.level -= 1
        return true
    }
}
