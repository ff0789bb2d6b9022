/// The generated identity of a profile: 128 bits, shown as a 26-character ULID.
///
/// Layout: 48 bits of milliseconds since 1970, then 80 bits derived from the directory's secret;
/// big-endian in bytes. Source: the ULID specification (Crockford base 32, first character 0...7).
package struct ProfileID: Equatable, Hashable, Sendable, BitwiseCopyable {
    package var high: UInt64
    package var low: UInt64

    /// Length of the text form in bytes.
    package static let textBytes = 26
    /// Length of the binary form in bytes.
    package static let binaryBytes = 16

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Reads the 16-byte big-endian form; `bytes` must have exactly that many.
    package init(binary bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count == Self.binaryBytes, "a binary profile id has 16 bytes")
        self.high = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
        self.low = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }

    /// Parses the text form, in any case; `nil` unless it is 26 characters of Crockford base 32
    /// that fit 128 bits.
    package init?(text: UnsafeRawBufferPointer) {
        guard text.count == Self.textBytes else { return nil }
        var high: UInt64 = 0
        var low: UInt64 = 0
        for (index, character) in text.enumerated() {
            guard let digit = Self.digit(character), index > 0 || digit < 8 else { return nil }
            high = high << 5 | low >> 59
            low = low << 5 | UInt64(digit)
        }
        self.high = high
        self.low = low
    }

    /// Writes the 26 characters, upper case, into `target`, which must hold exactly that many
    /// bytes.
    package func writeText(into target: UnsafeMutableRawBufferPointer) {
        precondition(target.count == Self.textBytes, "a profile id has 26 characters")
        let alphabet = Self.alphabet.utf8Start
        // SAFETY: the precondition gives the target its 26 bytes; indices are 0...25, digits
        // 0...31.
        let digits = target.baseAddress!.assumingMemoryBound(to: UInt8.self)
        // Digits of the lower half first, then the one that straddles both halves, then the upper
        // half.
        var index = Self.textBytes - 1
        var lower = self.low
        while index > 13 {
            digits[index] = alphabet[Int(truncatingIfNeeded: lower & 31)]
            lower >>= 5
            index &-= 1
        }
        digits[index] = alphabet[Int(truncatingIfNeeded: (lower | self.high << 4) & 31)]
        var upper = self.high >> 1
        while index > 0 {
            index &-= 1
            digits[index] = alphabet[Int(truncatingIfNeeded: upper & 31)]
            upper >>= 5
        }
    }

    /// Calls `body` with the text form.
    package func withText<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        withUnsafeTemporaryAllocation(byteCount: Self.textBytes, alignment: 1) { text in
            self.writeText(into: text)
            return body(UnsafeRawBufferPointer(text))
        }
    }

    private static let alphabet: StaticString = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

    private static func digit(_ character: UInt8) -> UInt8? {
        let upper = character >= UInt8(ascii: "a") ? character &- 32 : character
        for index in 0 ..< 32 where Self.alphabet.utf8Start[index] == upper {
            return UInt8(index)
        }
        return nil
    }
}
