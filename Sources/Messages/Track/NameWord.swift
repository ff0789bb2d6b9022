/// Eight bytes of a name, in lower case, tested all at once.
///
/// A byte is in a range if adding 0x80 less the range's start sets its top bit, and adding 0x7F
/// less its end does not. A byte from 0x80 on is in no range, whatever is carried into it: where
/// the second sum overflows, so does the first. What it carries into the next byte does not matter
/// then, as the word is no name.
struct NameWord {
    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let tops: UInt64 = 0x8080_8080_8080_8080

    /// The bytes, with capital letters of ASCII made small.
    let lowered: UInt64
    /// Whether each byte may be part of a name: `[a-zA-Z0-9_]`.
    let isName: Bool

    @inline(__always)
    init(_ bytes: UInt64) {
        let capitals = Self.range(bytes, UInt8(ascii: "A"), UInt8(ascii: "Z"))
        // 0x80 becomes 0x20, which is what a small letter has and its capital has not.
        let lowered = bytes | capitals &>> 2
        let good =
            Self.range(lowered, UInt8(ascii: "a"), UInt8(ascii: "z"))
            | Self.range(lowered, UInt8(ascii: "0"), UInt8(ascii: "9"))
            | Self.range(lowered, UInt8(ascii: "_"), UInt8(ascii: "_"))
        self.lowered = lowered
        self.isName = good == Self.tops
    }

    /// The byte at an index, 0...7, the least significant first.
    subscript(index: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: self.lowered &>> UInt64(8 &* index))
    }

    /// The top bit of each byte that is in a range; above a byte from 0x80 on, it means nothing.
    @inline(__always)
    private static func range(_ bytes: UInt64, _ first: UInt8, _ last: UInt8) -> UInt64 {
        (bytes &+ Self.ones &* UInt64(0x80 &- first))
            & ~(bytes &+ Self.ones &* UInt64(0x7F &- last)) & Self.tops
    }
}
