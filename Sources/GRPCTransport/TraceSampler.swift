/// Draws the ids and the samples of one loop: SplitMix64 from a seed. The ids need to differ, not
/// to be secret.
///
/// - Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
package struct TraceSampler: Sendable {
    private var state: UInt64

    package init(seed: UInt64) { self.state = seed }

    /// The next number; 0 as rarely as any other.
    package mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var word = self.state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    /// A span's id, or half of a trace's.
    package mutating func nextID() -> UInt64 {
        while true {
            let id = self.next()
            if id != 0 { return id }
        }
    }

    /// True for a share of the draws.
    ///
    /// - Parameter millionths: 0...1,000,000.
    package mutating func draws(millionths: UInt32) -> Bool {
        // The high word of the product is even over 0..<1,000,000.
        millionths > 0 && self.next().multipliedFullWidth(by: 1_000_000).high < millionths
    }
}
