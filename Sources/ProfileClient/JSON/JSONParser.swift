/// Why a text is not valid JSON, and where.
package struct JSONSyntaxError: Error, Equatable {
    /// Byte offset of the error.
    package let offset: Int
    package let reason: String

    package init(offset: Int, reason: String) {
        self.offset = offset
        self.reason = reason
    }
}

/// A strict parser for one JSON text (RFC 8259): no comments, trailing commas or duplicate names.
package struct JSONParser {
    private let bytes: [UInt8]
    private var offset = 0
    /// Most nested arrays and objects: far more than any message needs, far fewer than would
    /// overflow the stack.
    private static let depthMax = 64
    /// How many more values may begin.
    private var valuesLeft: Int
    private let valuesMax: Int

    private init(_ bytes: [UInt8], valuesMax: Int) {
        self.bytes = bytes
        self.valuesMax = valuesMax
        self.valuesLeft = valuesMax
    }

    /// Parses a whole text.
    ///
    /// - Parameter valuesMax: Most values, nested ones included. It bounds the memory, which is
    ///   about 100 bytes per value besides the texts.
    /// - Throws: `JSONSyntaxError` with the offset of the first error.
    package static func parse(_ text: some Sequence<UInt8>, valuesMax: Int = .max)
        throws(JSONSyntaxError) -> JSONValue
    {
        var parser = JSONParser(Array(text), valuesMax: valuesMax)
        let value = try parser.value(depth: 0)
        parser.skipBlanks()
        guard parser.offset == parser.bytes.count else {
            throw parser.error("unexpected text after the value")
        }
        return value
    }

    private func error(_ reason: String) -> JSONSyntaxError {
        JSONSyntaxError(offset: self.offset, reason: reason)
    }

    private var next: UInt8? { self.offset < self.bytes.count ? self.bytes[self.offset] : nil }

    private mutating func skipBlanks() {
        while let byte = self.next, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D {
            self.offset += 1
        }
    }

    private mutating func value(depth: Int) throws(JSONSyntaxError) -> JSONValue {
        guard depth < Self.depthMax else { throw self.error("more than \(Self.depthMax) levels") }
        self.skipBlanks()
        guard self.valuesLeft > 0 else { throw self.error("more than \(self.valuesMax) values") }
        self.valuesLeft -= 1
        switch self.next {
        case UInt8(ascii: "{"): return try self.object(depth: depth)
        case UInt8(ascii: "["): return try self.array(depth: depth)
        case UInt8(ascii: "\""): return .string(try self.string())
        case UInt8(ascii: "t"): return try self.word("true", .bool(true))
        case UInt8(ascii: "f"): return try self.word("false", .bool(false))
        case UInt8(ascii: "n"): return try self.word("null", .null)
        case nil: throw self.error("the value is missing")
        default: return try self.number()
        }
    }

    private mutating func word(_ word: String, _ value: JSONValue) throws(JSONSyntaxError)
        -> JSONValue
    {
        guard self.bytes[self.offset...].starts(with: word.utf8) else {
            throw self.error("expected \(word)")
        }
        self.offset += word.utf8.count
        return value
    }

    private mutating func object(depth: Int) throws(JSONSyntaxError) -> JSONValue {
        var members: [JSONValue.JSONMember] = []
        var names: Set<String> = []
        self.offset += 1
        self.skipBlanks()
        if self.take("}") { return .object([]) }
        repeat {
            self.skipBlanks()
            guard self.next == UInt8(ascii: "\"") else {
                throw self.error("expected a name in quotes")
            }
            let name = try self.string()
            guard names.insert(name).inserted else {
                throw self.error("duplicate name \(name)")
            }
            self.skipBlanks()
            guard self.take(":") else { throw self.error("expected a colon") }
            members.append(.init(name, try self.value(depth: depth + 1)))
            self.skipBlanks()
        } while self.take(",")
        guard self.take("}") else { throw self.error("expected a comma or the end of the object") }
        return .object(members)
    }

    private mutating func array(depth: Int) throws(JSONSyntaxError) -> JSONValue {
        var items: [JSONValue] = []
        self.offset += 1
        self.skipBlanks()
        if self.take("]") { return .array([]) }
        repeat {
            items.append(try self.value(depth: depth + 1))
            self.skipBlanks()
        } while self.take(",")
        guard self.take("]") else { throw self.error("expected a comma or the end of the array") }
        return .array(items)
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard self.next == UInt8(ascii: character) else { return false }
        self.offset += 1
        return true
    }

    private mutating func digits() -> Int {
        let start = self.offset
        while let byte = self.next, byte >= 0x30 && byte <= 0x39 { self.offset += 1 }
        return self.offset - start
    }

    private mutating func number() throws(JSONSyntaxError) -> JSONValue {
        let start = self.offset
        _ = self.take("-")
        let leadingZero = self.next == UInt8(ascii: "0")
        let whole = self.digits()
        guard whole > 0, !leadingZero || whole == 1 else { throw self.error("invalid value") }
        if self.take(".") {
            guard self.digits() > 0 else { throw self.error("digits are missing after the point") }
        }
        if self.take("e") || self.take("E") {
            if !self.take("-") { _ = self.take("+") }
            guard self.digits() > 0 else { throw self.error("digits are missing in the exponent") }
        }
        return .number(String(decoding: self.bytes[start ..< self.offset], as: UTF8.self))
    }

    private mutating func string() throws(JSONSyntaxError) -> String {
        self.offset += 1
        var text: [UInt8] = []
        while let byte = self.next {
            self.offset += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let valid = String(validating: text, as: UTF8.self) else {
                    throw self.error("the string is not UTF-8")
                }
                return valid
            case UInt8(ascii: "\\"): text += String(try self.escape()).utf8
            case 0 ..< 0x20: throw self.error("a control character in a string")
            default: text.append(byte)
            }
        }
        throw self.error("the string does not end")
    }

    private mutating func escape() throws(JSONSyntaxError) -> Unicode.Scalar {
        guard let byte = self.next else { throw self.error("the string does not end") }
        self.offset += 1
        switch Unicode.Scalar(byte) {
        case "\"", "\\", "/": return Unicode.Scalar(byte)
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "b": return "\u{8}"
        case "f": return "\u{C}"
        case "u": return try self.unicodeEscape()
        default: throw self.error("unknown escape")
        }
    }

    /// Reads the rest of a `\u` escape: four hexadecimal digits, or a surrogate pair of two escapes
    /// for a scalar above U+FFFF.
    private mutating func unicodeEscape() throws(JSONSyntaxError) -> Unicode.Scalar {
        let first = try self.hexadecimal()
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard first < 0xDC00, self.take("\\"), self.take("u") else {
            throw self.error("half of a surrogate pair")
        }
        let second = try self.hexadecimal()
        guard second >= 0xDC00, second < 0xE000,
            let scalar = Unicode.Scalar(0x1_0000 + (first - 0xD800) << 10 + (second - 0xDC00))
        else { throw self.error("half of a surrogate pair") }
        return scalar
    }

    private mutating func hexadecimal() throws(JSONSyntaxError) -> UInt32 {
        guard self.offset + 4 <= self.bytes.count,
            self.bytes[self.offset ..< self.offset + 4].allSatisfy({
                Character(Unicode.Scalar($0)).isHexDigit
            }),
            let value = UInt32(
                String(decoding: self.bytes[self.offset ..< self.offset + 4], as: UTF8.self),
                radix: 16)
        else { throw self.error("four hexadecimal digits are missing") }
        self.offset += 4
        return value
    }
}
