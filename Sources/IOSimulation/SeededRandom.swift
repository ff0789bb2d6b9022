/// A generator whose whole sequence follows from its seed, so that a failing run can be repeated
/// (SplitMix64).
package struct SeededRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) {
        self.state = seed
    }

    package mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// A number in `0 ..< bound`; the bias of the remainder does not matter for the small bounds of
    /// tests.
    package mutating func below(_ bound: Int) -> Int {
        precondition(bound > 0, "a choice needs something to choose from")
        return Int(self.next() % UInt64(bound))
    }
}
