// SAFETY: the text is borrowed for the call; a word is loaded only where eight bytes are left.
/// What text must be, byte by byte.
enum UTF8Rules {
    /// What text on the wire is.
    enum Validity {
        case valid
        case holdsNUL
        case invalid
    }

    /// Whether text is well-formed UTF-8 without NUL; eight ASCII characters at a time, then one by
    /// one, where it can.
    static func validity(_ text: UnsafeRawBufferPointer) -> Validity {
        var index = 0
        while index + 8 <= text.count {
            let word = text.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            // A byte is zero exactly where the borrow of the subtraction reaches its clear top bit.
            let zeros = (word &- 0x0101_0101_0101_0101) & ~word & 0x8080_8080_8080_8080
            guard word & 0x8080_8080_8080_8080 == 0, zeros == 0 else { break }
            index += 8
        }
        while index < text.count, text[index] &- 1 < 0x7F { index += 1 }
        guard index < text.count else { return .valid }
        let rest = UnsafeRawBufferPointer(rebasing: text[index...])
        guard Self.isValid(rest) else { return .invalid }
        return rest.contains(0) ? .holdsNUL : .valid
    }

    /// Whether the bytes are well-formed UTF-8: no overlong form, no surrogate, nothing above
    /// U+10FFFF.
    ///
    /// Source: Unicode 15, table 3-7.
    static func isValid(_ text: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        while index < text.count {
            let first = text[index]
            if first < 0x80 {
                index += 1
                continue
            }
            let (length, secondMin, secondMax): (Int, UInt8, UInt8) =
                switch first {
                case 0xC2 ... 0xDF: (2, 0x80, 0xBF)
                case 0xE0: (3, 0xA0, 0xBF)
                case 0xED: (3, 0x80, 0x9F)
                case 0xE1 ... 0xEF: (3, 0x80, 0xBF)
                case 0xF0: (4, 0x90, 0xBF)
                case 0xF1 ... 0xF3: (4, 0x80, 0xBF)
                case 0xF4: (4, 0x80, 0x8F)
                default: (0, 0, 0)
                }
            guard length > 0, text.count - index >= length else { return false }
            guard text[index + 1] >= secondMin, text[index + 1] <= secondMax else { return false }
            for rest in 2 ..< max(length, 2) where text[index + rest] & 0xC0 != 0x80 {
                return false
            }
            index += length
        }
        return true
    }

    /// Unicode scalars of valid UTF-8.
    static func scalarCount(_ text: UnsafeRawBufferPointer) -> Int {
        var count = 0
        for byte in text where byte & 0xC0 != 0x80 { count += 1 }
        return count
    }

    /// What one scalar is, as far as the rules ask.
    struct Traits {
        /// All scalars have the property White_Space.
        var isBlank = true
        /// One is a line break: LF, VT, FF, CR, NEL, LS or PS.
        var hasLineBreak = false
        /// One has the property White_Space.
        var hasWhiteSpace = false
        var scalars = 0
    }

    /// Traits of valid UTF-8, in one pass.
    static func traits(_ text: UnsafeRawBufferPointer) -> Traits {
        var traits = Traits()
        var index = 0
        while index < text.count {
            let first = text[index]
            // Printable ASCII, which is most text, is neither.
            if first > 0x20, first < 0x7F {
                traits.isBlank = false
                traits.scalars += 1
                index += 1
                continue
            }
            var scalar = UInt32(first)
            var length = 1
            if first >= 0xF0 {
                (scalar, length) = (UInt32(first & 0x07), 4)
            } else if first >= 0xE0 {
                (scalar, length) = (UInt32(first & 0x0F), 3)
            } else if first >= 0x80 {
                (scalar, length) = (UInt32(first & 0x1F), 2)
            }
            for rest in 1 ..< max(length, 1) {
                scalar = scalar << 6 | UInt32(text[index + rest] & 0x3F)
            }
            index += length
            traits.scalars += 1
            if Self.isWhiteSpace(scalar) {
                traits.hasWhiteSpace = true
            } else {
                traits.isBlank = false
            }
            if (0x0A ... 0x0D).contains(scalar) || scalar == 0x85 || scalar == 0x2028
                || scalar == 0x2029
            {
                traits.hasLineBreak = true
            }
        }
        return traits
    }

    /// The property White_Space of Unicode 15.
    private static func isWhiteSpace(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x09 ... 0x0D, 0x20, 0x85, 0xA0, 0x1680, 0x2000 ... 0x200A, 0x2028, 0x2029, 0x202F,
            0x205F, 0x3000:
            true
        default: false
        }
    }
}
