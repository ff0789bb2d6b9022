/// Base 64 with the URL-safe alphabet and without padding, the text form of tokens.
///
/// Source: RFC 4648, section 5.
public enum Base64URL {
    private static let alphabet: StaticString =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

    /// Appends the encoding of `bytes`.
    public static func encode(_ bytes: UnsafeRawBufferPointer, into buffer: inout ByteBuffer) {
        var bits: UInt32 = 0
        var count: UInt32 = 0
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            count += 8
            while count >= 6 {
                count -= 6
                buffer.append(Self.alphabet.utf8Start[Int(bits >> count & 63)])
            }
        }
        if count > 0 { buffer.append(Self.alphabet.utf8Start[Int(bits << (6 - count) & 63)]) }
    }

    /// Appends the bytes that `text` encodes; false if `text` is invalid. The encoding is
    /// canonical: each byte string has exactly one valid text.
    public static func decode(_ text: UnsafeRawBufferPointer, into buffer: inout ByteBuffer) -> Bool
    {
        guard text.count % 4 != 1 else { return false }
        var bits: UInt32 = 0
        var count: UInt32 = 0
        for character in text {
            guard let digit = Self.digit(character) else { return false }
            bits = bits << 6 | digit
            count += 6
            guard count >= 8 else { continue }
            count -= 8
            buffer.append(UInt8(truncatingIfNeeded: bits >> count))
        }
        return bits & (1 << count - 1) == 0
    }

    private static func digit(_ character: UInt8) -> UInt32? {
        switch character {
        case UInt8(ascii: "A") ... UInt8(ascii: "Z"): UInt32(character - UInt8(ascii: "A"))
        case UInt8(ascii: "a") ... UInt8(ascii: "z"): UInt32(character - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0") ... UInt8(ascii: "9"): UInt32(character - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "-"): 62
        case UInt8(ascii: "_"): 63
        default: nil
        }
    }
}
