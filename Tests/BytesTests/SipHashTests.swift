import Testing

@testable import Bytes

/// The published vectors of the paper and of the reference code: key 00 01 ... 0f, message 00 01
/// ... (n - 1).
@Suite struct SipHashTests {
    static let key = SipHashKey(k0: 0x0706_0504_0302_0100, k1: 0x0f0e_0d0c_0b0a_0908)

    static func message(_ count: Int) -> [UInt8] { (0 ..< count).map { UInt8($0) } }

    /// The first of the reference code's 128-bit vectors (SipHash-2-4), as 16 bytes.
    @Test(arguments: [
        (0, "a3817f04ba25a8e66df67214c7550293"),
        (1, "da87c1d86b99af44347659119b22fc45"),
        (2, "8177228da4a45dc7fca38bdef60affe4"),
        (3, "9c70b60c5267a94e5f33b6b02985ed51"),
    ])
    func hash128EqualsTheReferenceVector(count: Int, expected: String) {
        let hash = Self.message(count).withUnsafeBytes { SipHash.hash128($0, key: Self.key) }
        #expect(Self.hex(hash.low) + Self.hex(hash.high) == expected)
    }

    /// SipHash-1-3: the first vector is published, the others come from an independent
    /// implementation that was checked against the paper's example of SipHash-2-4.
    @Test(
        arguments: [
            (0, 0xabac_0158_050f_c4dc),
            (1, 0xc9f4_9bf3_7d57_ca93),
            (7, 0xd392_7d98_9bb1_1140),
            (8, 0x3690_9511_8d29_9a8e),
            (15, 0xd320_d86d_2a51_9956),
            (63, 0x9d19_9062_b7bb_b3a8),
        ] as [(Int, UInt64)])
    func hash64EqualsTheVector(count: Int, expected: UInt64) {
        #expect(
            Self.message(count).withUnsafeBytes { SipHash.hash64($0, key: Self.key) } == expected)
    }

    @Test func hash64DependsOnKeyLengthAndEachByte() {
        var seen = Set<UInt64>()
        for count in 0 ..< 64 {
            let bytes = Self.message(count)
            seen.insert(bytes.withUnsafeBytes { SipHash.hash64($0, key: Self.key) })
            let other = SipHashKey(k0: Self.key.k0 ^ 1, k1: Self.key.k1)
            seen.insert(bytes.withUnsafeBytes { SipHash.hash64($0, key: other) })
            for index in 0 ..< count {
                var changed = bytes
                changed[index] ^= 0x80
                seen.insert(changed.withUnsafeBytes { SipHash.hash64($0, key: Self.key) })
            }
        }
        #expect(seen.count == 64 * 2 + 64 * 63 / 2)
    }

    private static func hex(_ word: UInt64) -> String {
        (0 ..< 8).map { index in
            let byte = UInt8(truncatingIfNeeded: word >> (UInt64(index) * 8))
            return (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined()
    }
}
