// SAFETY: words of the name are borrowed as bytes for the closure that reads them.

/// The public part of a key, its id: 16 characters of `[a-z0-9]`. Not a secret.
///
/// Layout: the characters as two big-endian words, so that words and texts have the same order.
package struct KeyName: Equatable, Sendable, BitwiseCopyable, CustomStringConvertible {
    /// The first eight characters.
    package let high: UInt64
    /// The last eight characters.
    package let low: UInt64

    /// Length of the text in bytes.
    package static let textBytes = 16

    /// Reads the text; `nil` unless it is 16 characters of `[a-z0-9]`.
    package init?(text: UnsafeRawBufferPointer) {
        guard text.count == Self.textBytes else { return nil }
        var (high, low): (UInt64, UInt64) = (0, 0)
        for character in text {
            guard Self.isAllowed(character) else { return nil }
            high = high << 8 | low >> 56
            low = low << 8 | UInt64(character)
        }
        (self.high, self.low) = (high, low)
    }

    /// Reads the two words of a record or a snapshot; `nil` unless they are such a text.
    package init?(high: UInt64, low: UInt64) {
        for shift in stride(from: UInt64(0), to: 64, by: 8) {
            guard Self.isAllowed(UInt8(truncatingIfNeeded: high >> shift)),
                Self.isAllowed(UInt8(truncatingIfNeeded: low >> shift))
            else { return nil }
        }
        (self.high, self.low) = (high, low)
    }

    /// The name that 128 random or derived bits stand for; 83 of them count.
    package init(bits: (UInt64, UInt64)) {
        self.high = Self.characters(of: bits.0)
        self.low = Self.characters(of: bits.1)
    }

    /// Calls `body` with the 16 characters.
    package func withText<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        withUnsafeBytes(of: (self.high.bigEndian, self.low.bigEndian)) { body($0) }
    }

    /// The 16 characters. Allocates.
    package var description: String {
        self.withText { String(decoding: $0, as: UTF8.self) }
    }

    /// Eight digits of base 36: at most 2^-22 away from an equal distribution.
    private static func characters(of bits: UInt64) -> UInt64 {
        var (rest, text): (UInt64, UInt64) = (bits, 0)
        for _ in 0 ..< 8 {
            let digit = UInt8(rest % 36)
            rest /= 36
            let character = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
            text = text << 8 | UInt64(character)
        }
        return text
    }

    private static func isAllowed(_ character: UInt8) -> Bool {
        UInt8(ascii: "a") ... UInt8(ascii: "z") ~= character
            || UInt8(ascii: "0") ... UInt8(ascii: "9") ~= character
    }
}
