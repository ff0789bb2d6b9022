// Keyed hashing for every table whose keys are chosen by clients, and for the digest of results.
// Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012); the 128-bit variant of
// the reference code.

/// The two halves of a SipHash key, kept in the data directory.
public struct SipHashKey: Equatable, Sendable, BitwiseCopyable {
    public var k0: UInt64
    public var k1: UInt64

    public init(k0: UInt64, k1: UInt64) {
        self.k0 = k0
        self.k1 = k1
    }
}

/// SipHash-1-3 (64 bit) and SipHash-2-4 (128 bit).
///
/// - Complexity: O(bytes); about one cycle per byte for SipHash-1-3.
public enum SipHash {
    private struct Lanes {
        var v0: UInt64
        var v1: UInt64
        var v2: UInt64
        var v3: UInt64

        @inline(__always)
        init(key: SipHashKey, wide: Bool) {
            self.v0 = key.k0 ^ 0x736f_6d65_7073_6575
            self.v1 = key.k1 ^ 0x646f_7261_6e64_6f6d
            self.v2 = key.k0 ^ 0x6c79_6765_6e65_7261
            self.v3 = key.k1 ^ 0x7465_6462_7974_6573
            if wide { self.v1 ^= 0xee }
        }

        @inline(__always)
        mutating func round() {
            self.v0 &+= self.v1
            self.v1 = self.v1 << 13 | self.v1 >> 51
            self.v1 ^= self.v0
            self.v0 = self.v0 << 32 | self.v0 >> 32
            self.v2 &+= self.v3
            self.v3 = self.v3 << 16 | self.v3 >> 48
            self.v3 ^= self.v2
            self.v0 &+= self.v3
            self.v3 = self.v3 << 21 | self.v3 >> 43
            self.v3 ^= self.v0
            self.v2 &+= self.v1
            self.v1 = self.v1 << 17 | self.v1 >> 47
            self.v1 ^= self.v2
            self.v2 = self.v2 << 32 | self.v2 >> 32
        }

        @inline(__always)
        mutating func compress(_ word: UInt64, rounds: Int) {
            self.v3 ^= word
            for _ in 0 ..< rounds { self.round() }
            self.v0 ^= word
        }

        @inline(__always)
        mutating func absorb(_ bytes: UnsafeRawBufferPointer, rounds: Int) {
            var offset = 0
            // SAFETY: `bytes` are borrowed for this call; each load lies within them by the
            // condition before it.
            while offset + 8 <= bytes.count {
                let word = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                self.compress(UInt64(littleEndian: word), rounds: rounds)
                offset += 8
            }
            self.compress(
                UInt64(truncatingIfNeeded: bytes.count) << 56 | SipHash.tail(bytes, from: offset),
                rounds: rounds)
        }
    }

    /// The last 0...7 bytes as a little-endian number.
    @inline(__always)
    private static func tail(_ bytes: UnsafeRawBufferPointer, from offset: Int) -> UInt64 {
        let rest = bytes.count - offset
        guard rest > 0 else { return 0 }
        // Longer input: one load that ends with the last byte; the shift drops the bytes that were
        // already absorbed.
        if bytes.count >= 8 {
            let word = bytes.loadUnaligned(fromByteOffset: bytes.count - 8, as: UInt64.self)
            return UInt64(littleEndian: word) >> UInt64(64 - 8 * rest)
        }
        var tail: UInt64 = 0
        for index in 0 ..< rest { tail |= UInt64(bytes[offset + index]) << UInt64(8 * index) }
        return tail
    }

    /// SipHash-1-3 of `bytes`.
    public static func hash64(_ bytes: UnsafeRawBufferPointer, key: SipHashKey) -> UInt64 {
        var lanes = Lanes(key: key, wide: false)
        lanes.absorb(bytes, rounds: 1)
        lanes.v2 ^= 0xff
        for _ in 0 ..< 3 { lanes.round() }
        return lanes.v0 ^ lanes.v1 ^ lanes.v2 ^ lanes.v3
    }

    /// SipHash-2-4 of `bytes` with the 128-bit result.
    public static func hash128(
        _ bytes: UnsafeRawBufferPointer, key: SipHashKey
    ) -> (low: UInt64, high: UInt64) {
        var lanes = Lanes(key: key, wide: true)
        lanes.absorb(bytes, rounds: 2)
        lanes.v2 ^= 0xee
        for _ in 0 ..< 4 { lanes.round() }
        let low = lanes.v0 ^ lanes.v1 ^ lanes.v2 ^ lanes.v3
        lanes.v1 ^= 0xdd
        for _ in 0 ..< 4 { lanes.round() }
        return (low, lanes.v0 ^ lanes.v1 ^ lanes.v2 ^ lanes.v3)
    }
}
