/// Numbers of a seed, the same in every run: a linear congruential generator, whose upper bits are
/// used.
protocol SeededNumbers {
    var state: UInt64 { get set }
}

extension SeededNumbers {
    /// A number from 0 to `bound - 1`.
    mutating func below(_ bound: Int) -> Int {
        self.state = self.state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(self.state >> 33) % bound
    }

    /// A number of any count of bits, so that each varint has each of its lengths.
    mutating func number() -> UInt64 {
        let low = UInt64(self.below(1 << 31))
        return (UInt64(self.below(1 << 31)) << 33 | low << 2) >> UInt64(self.below(64))
    }
}
