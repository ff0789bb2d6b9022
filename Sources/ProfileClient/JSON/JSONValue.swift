// A JSON type in which numbers keep their digits (an int64 does not fit in a Double) and members
// keep their order; Foundation's JSON loses both.

/// One JSON value.
package indirect enum JSONValue: Equatable, Sendable {
    case null
    case bool(Bool)
    /// The digits as written.
    case number(String)
    case string(String)
    case array([JSONValue])
    /// In the order written; names are distinct.
    case object([JSONMember])

    /// One name with its value.
    package struct JSONMember: Equatable, Sendable {
        package let name: String
        package let value: JSONValue

        package init(_ name: String, _ value: JSONValue) {
            self.name = name
            self.value = value
        }
    }

    /// An object from pairs; a pair without a value is omitted.
    package static func object(of members: [(String, JSONValue?)]) -> JSONValue {
        .object(members.compactMap { name, value in value.map { JSONMember(name, $0) } })
    }

    /// The member of an object; `nil` for other values and unknown names.
    package subscript(_ name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }

    /// The text of a string.
    package var text: String? {
        guard case .string(let text) = self else { return nil }
        return text
    }

    /// The elements of an array; empty for other values.
    package var items: [JSONValue] {
        guard case .array(let items) = self else { return [] }
        return items
    }

    /// The members of an object; empty for other values.
    package var members: [JSONMember] {
        guard case .object(let members) = self else { return [] }
        return members
    }

    /// An integer, including one written as a string, which is proto3 JSON's form for 64 bits.
    package var integer: Int64? {
        switch self {
        case .number(let digits), .string(let digits): Int64(digits)
        default: nil
        }
    }

    /// Whether it is `true`.
    package var isTrue: Bool { self == .bool(true) }
}

extension JSONValue: CustomStringConvertible {
    /// On one line, without blanks.
    package var description: String {
        var text = ""
        self.write(to: &text)
        return text
    }

    private func write(to text: inout String) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .number(let digits): text += digits
        case .string(let value): Self.write(value, to: &text)
        case .array(let items):
            text += "["
            for (index, item) in items.enumerated() {
                if index > 0 { text += "," }
                item.write(to: &text)
            }
            text += "]"
        case .object(let members):
            text += "{"
            for (index, member) in members.enumerated() {
                if index > 0 { text += "," }
                Self.write(member.name, to: &text)
                text += ":"
                member.value.write(to: &text)
            }
            text += "}"
        }
    }

    private static func write(_ value: String, to text: inout String) {
        text += "\""
        // Fast path: nearly all texts need no escaping, and a dump writes millions of them.
        guard value.utf8.contains(where: self.mayNeedEscape) else {
            text += value
            text += "\""
            return
        }
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case _ where self.isEscaped(scalar):
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }

    /// Whether a byte is, or begins the UTF-8 of, a character that may have to be escaped.
    private static func mayNeedEscape(_ byte: UInt8) -> Bool {
        switch byte {
        case 0 ..< 0x20, UInt8(ascii: "\""), UInt8(ascii: "\\"), 0x7F: true
        // The first bytes of U+0080 to U+00BF, U+0600 to U+063F, U+2000 to U+2FFF, U+F000 to
        // U+FFFF.
        case 0xC2, 0xD8, 0xE2, 0xEF: true
        default: false
        }
    }

    /// Beyond what JSON requires: C1 controls, which terminals obey; line and paragraph separators,
    /// at which some readers of lines split; bidirectional controls and the byte order mark, which
    /// make text look like another. All are below U+10000.
    private static func isEscaped(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0 ..< 0x20, 0x7F ... 0x9F, 0x61C, 0x200E, 0x200F, 0x2028 ... 0x202E,
            0x2066 ... 0x2069, 0xFEFF:
            true
        default: false
        }
    }
}
