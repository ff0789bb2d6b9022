// The hash of the consent ledger and, under HMAC, of tokens. Implemented here, because the default
// build links no library that has it. Source: FIPS 180-4, sections 4.1.2, 5.1.1, 5.3.3 and 6.2.2.

/// A 256-bit hash as four big-endian words.
public struct SHA256Digest: Equatable, Sendable, BitwiseCopyable {
    /// The 32 bytes, in the order of the standard.
    public var words: (UInt64, UInt64, UInt64, UInt64)

    /// Bytes of a digest.
    public static let bytes = 32
    /// 32 zero bytes: the previous hash of the first entry of a chain.
    public static let zero = SHA256Digest(words: (0, 0, 0, 0))

    public init(words: (UInt64, UInt64, UInt64, UInt64)) {
        self.words = words
    }

    /// Reads 32 bytes.
    public init(from reader: inout ByteReader) {
        let words = (
            reader.read(UInt64.self), reader.read(UInt64.self), reader.read(UInt64.self),
            reader.read(UInt64.self)
        )
        self.words = (
            words.0.byteSwapped, words.1.byteSwapped, words.2.byteSwapped, words.3.byteSwapped
        )
    }

    /// Appends the 32 bytes.
    public func write(into buffer: inout ByteBuffer) {
        buffer.append(self.words.0.bigEndian)
        buffer.append(self.words.1.bigEndian)
        buffer.append(self.words.2.bigEndian)
        buffer.append(self.words.3.bigEndian)
    }

    public static func == (left: Self, right: Self) -> Bool {
        left.words == right.words
    }
}

/// Incremental SHA-256.
///
/// - Complexity: O(bytes).
public struct SHA256: ~Copyable {
    /// Bytes per call of the compression function.
    public static let blockBytes = 64
    private static let rounds = 64
    /// Bytes of the length field that ends the padding.
    private static let lengthBytes = 8

    private var state: (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32) = (
        0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab,
        0x5be0_cd19
    )
    /// Input that does not fill a block yet.
    private var pending = ByteBuffer(capacity: Self.blockBytes)
    private var totalBytes: UInt64 = 0

    public init() {}

    /// The digest of `bytes`.
    public static func hash(_ bytes: UnsafeRawBufferPointer) -> SHA256Digest {
        var hash = SHA256()
        hash.update(bytes)
        return hash.finish()
    }

    /// Adds `bytes` to the input.
    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        self.totalBytes += UInt64(bytes.count)
        var rest = bytes[...]
        if self.pending.count > 0 {
            let taken = min(Self.blockBytes - self.pending.count, rest.count)
            self.pending.append(UnsafeRawBufferPointer(rebasing: rest.prefix(taken)))
            rest = rest.dropFirst(taken)
            guard self.pending.count == Self.blockBytes else { return }
            self.compress(self.pending.bytes)
            self.pending.removeAll()
        }
        while rest.count >= Self.blockBytes {
            self.compress(UnsafeRawBufferPointer(rebasing: rest.prefix(Self.blockBytes)))
            rest = rest.dropFirst(Self.blockBytes)
        }
        self.pending.append(UnsafeRawBufferPointer(rebasing: rest))
    }

    /// The digest of the whole input; the hash may not be used again.
    public mutating func finish() -> SHA256Digest {
        let bits = self.totalBytes * 8
        self.pending.append(UInt8(0x80))
        if self.pending.count > Self.blockBytes - Self.lengthBytes {
            self.pending.pad(to: Self.blockBytes)
            self.compress(self.pending.bytes)
            self.pending.removeAll()
        }
        let zeros = Self.blockBytes - Self.lengthBytes - self.pending.count
        for _ in 0 ..< zeros { self.pending.append(UInt8(0)) }
        self.pending.append(bits.bigEndian)
        self.compress(self.pending.bytes)
        // The end of the input may be a secret.
        self.pending.wipe()
        let state = self.state
        return SHA256Digest(
            words: (
                UInt64(state.0) << 32 | UInt64(state.1), UInt64(state.2) << 32 | UInt64(state.3),
                UInt64(state.4) << 32 | UInt64(state.5), UInt64(state.6) << 32 | UInt64(state.7)
            ))
    }

    /// One block. The eight variables change their roles in each round, and have them again after
    /// eight: written out, none of them is moved.
    private mutating func compress(_ block: UnsafeRawBufferPointer) {
        var (a, b, c, d, e, f, g, h) = self.state
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: Self.rounds) { input in
            Self.fill(input, from: block)
            for index in stride(from: 0, to: Self.rounds, by: 8) {
                Self.round(a, b, c, &d, e, f, g, &h, input[index])
                Self.round(h, a, b, &c, d, e, f, &g, input[index &+ 1])
                Self.round(g, h, a, &b, c, d, e, &f, input[index &+ 2])
                Self.round(f, g, h, &a, b, c, d, &e, input[index &+ 3])
                Self.round(e, f, g, &h, a, b, c, &d, input[index &+ 4])
                Self.round(d, e, f, &g, h, a, b, &c, input[index &+ 5])
                Self.round(c, d, e, &f, g, h, a, &b, input[index &+ 6])
                Self.round(b, c, d, &e, f, g, h, &a, input[index &+ 7])
            }
        }
        let before = self.state
        self.state = (
            before.0 &+ a, before.1 &+ b, before.2 &+ c, before.3 &+ d,
            before.4 &+ e, before.5 &+ f, before.6 &+ g, before.7 &+ h
        )
    }

    /// The message schedule, with the constant of each round added.
    @inline(__always)
    private static func fill(
        _ input: UnsafeMutableBufferPointer<UInt32>, from block: UnsafeRawBufferPointer
    ) {
        // SAFETY: a block is 64 bytes, borrowed for this call; `input` has a word for each round,
        // each of which is initialized before it is read.
        for index in 0 ..< 16 {
            let word = block.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self)
            input.initializeElement(at: index, to: UInt32(bigEndian: word))
        }
        for index in 16 ..< Self.rounds {
            let (early, late) = (input[index &- 15], input[index &- 2])
            let low = Self.rotate(early, 7) ^ Self.rotate(early, 18) ^ early >> 3
            let high = Self.rotate(late, 17) ^ Self.rotate(late, 19) ^ late >> 10
            input.initializeElement(
                at: index, to: input[index &- 16] &+ low &+ input[index &- 7] &+ high)
        }
        for index in 0 ..< Self.rounds { input[index] &+= Self.constants[index] }
    }

    @inline(__always)
    private static func round(
        _ a: UInt32, _ b: UInt32, _ c: UInt32, _ d: inout UInt32, _ e: UInt32, _ f: UInt32,
        _ g: UInt32, _ h: inout UInt32, _ input: UInt32
    ) {
        let choice = g ^ (e & (f ^ g))
        let majority = (a & b) | (c & (a | b))
        let upper = Self.rotate(e, 6) ^ Self.rotate(e, 11) ^ Self.rotate(e, 25)
        let lower = Self.rotate(a, 2) ^ Self.rotate(a, 13) ^ Self.rotate(a, 22)
        let first = h &+ upper &+ choice &+ input
        d &+= first
        h = first &+ lower &+ majority
    }

    @inline(__always)
    private static func rotate(_ word: UInt32, _ bits: UInt32) -> UInt32 {
        word >> bits | word << (32 &- bits)
    }

    /// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
    private static let constants: [UInt32] = [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4,
        0xab1c_5ed5,
        0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7,
        0xc19b_f174,
        0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc,
        0x76f9_88da,
        0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351,
        0x1429_2967,
        0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e,
        0x9272_2c85,
        0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585,
        0x106a_a070,
        0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f,
        0x682e_6ff3,
        0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7,
        0xc671_78f2,
    ]
}
