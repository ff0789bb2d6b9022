/// The rules for names and texts of section 1 of the contract. Each says what is wrong, or nothing.
///
/// Input is valid UTF-8 without NUL: `WireCheck` has seen it.
enum TextRules {
    /// Names of attributes and events.
    static let nameBytesMax = 30
    /// String values, in scalars.
    static let stringScalarsMax = 300
    static let urlScalarsMax = 2_048
    static let identifierScalarsMax = 512
    static let identifierBytesMax = 1_024
    /// `event_id` and `request_id`.
    static let idBytesMax = 100
    static let labelScalarsMax = 200
    static let tagScalarsMax = 64
    /// `source.name`: decision 0101.
    static let sourceNameScalarsMax = 100
    static let projectBytesMax = 63

    /// `^[a-zA-Z0-9_]{1,30}$`.
    static func isName(_ text: UnsafeRawBufferPointer) -> Bool {
        guard text.count >= 1 && text.count <= Self.nameBytesMax else { return false }
        return text.allSatisfy { Self.isAlphanumeric($0) || $0 == UInt8(ascii: "_") }
    }

    /// `^[a-z0-9][a-z0-9_-]{0,62}$`.
    static func isProject(_ text: UnsafeRawBufferPointer) -> Bool {
        guard text.count >= 1 && text.count <= Self.projectBytesMax else { return false }
        for (index, byte) in text.enumerated() {
            let isLetter = byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z")
            let isDigit = byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
            let isMark = byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
            guard isLetter || isDigit || (isMark && index > 0) else { return false }
        }
        return true
    }

    /// What is wrong with a string value; in events it is one line.
    static func stringError(
        _ text: UnsafeRawBufferPointer, scalarsMax: Int = stringScalarsMax, oneLine: Bool
    ) -> String? {
        let traits = UTF8Rules.traits(text)
        if traits.scalars > scalarsMax {
            return "\(traits.scalars) characters, at most \(scalarsMax) are allowed"
        }
        if traits.isBlank { return text.isEmpty ? "empty" : "blank" }
        if oneLine, traits.hasLineBreak { return "holds a line break, one line is allowed" }
        return nil
    }

    /// Words that stand for "no value" somewhere, in any case.
    private static let reservedWords: [StaticString] = [
        "undefined", "null", "nil", "(null)", "[object object]", "true", "false", "nan", "infinity",
        "-infinity",
    ]

    /// What is wrong with a custom or installation id.
    static func identifierError(_ text: UnsafeRawBufferPointer) -> String? {
        if text.isEmpty { return "empty" }
        if text.count > Self.identifierBytesMax {
            return "\(text.count) bytes, at most \(Self.identifierBytesMax) are allowed"
        }
        if let error = Self.stringError(text, scalarsMax: Self.identifierScalarsMax, oneLine: true)
        {
            return error
        }
        return Self.isReserved(text)
            ? "a word that stands for no value, an identifier is needed" : nil
    }

    /// Whether a text is a word that stands for no value.
    static func isReserved(_ text: UnsafeRawBufferPointer) -> Bool {
        Self.reservedWords.contains { Self.equalsIgnoringCase(text, $0) }
    }

    /// What is wrong with an URL: a scheme, `://`, and a host that is not empty.
    static func urlError(_ text: UnsafeRawBufferPointer) -> String? {
        let traits = UTF8Rules.traits(text)
        if traits.scalars > Self.urlScalarsMax {
            return "\(traits.scalars) characters, at most \(Self.urlScalarsMax) are allowed"
        }
        guard !text.contains(where: { $0 <= 0x20 || $0 == 0x7F }), Self.hasSchemeAndHost(text)
        else {
            return "not a URL with a scheme and a host"
        }
        return nil
    }

    private static func hasSchemeAndHost(_ text: UnsafeRawBufferPointer) -> Bool {
        guard let first = text.first, Self.isLetter(first),
            let colon = text.firstIndex(of: UInt8(ascii: ":"))
        else {
            return false
        }
        let isScheme = text[..<colon].allSatisfy {
            Self.isAlphanumeric($0) || $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "-")
                || $0 == UInt8(ascii: ".")
        }
        guard isScheme, text.count > colon + 3, text[colon + 1] == UInt8(ascii: "/"),
            text[colon + 2] == UInt8(ascii: "/")
        else { return false }
        var authority = text[(colon + 3)...].prefix {
            $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#")
        }
        if let at = authority.lastIndex(of: UInt8(ascii: "@")) {
            authority = authority[(at + 1)...]
        }
        return authority.first.map { $0 != UInt8(ascii: ":") } ?? false
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        let lower = byte | 0x20
        return lower >= UInt8(ascii: "a") && lower <= UInt8(ascii: "z")
    }

    static func isAlphanumeric(_ byte: UInt8) -> Bool {
        Self.isLetter(byte) || (byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9"))
    }

    /// An ASCII letter in lower case, any other byte as it is.
    static func lower(_ byte: UInt8) -> UInt8 {
        byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") ? byte | 0x20 : byte
    }

    private static func equalsIgnoringCase(_ text: UnsafeRawBufferPointer, _ word: StaticString)
        -> Bool
    {
        guard text.count == word.utf8CodeUnitCount else { return false }
        for index in 0 ..< text.count where Self.lower(text[index]) != word.utf8Start[index] {
            return false
        }
        return true
    }
}
