/// Whole numbers in the only form that settings and headers accept.
enum DecimalNumber {
    /// Ten digits exceed every limit here and stay far below 2^63.
    private static let digitsMax = 10

    /// Reads a number in 0...`max`, without sign, blanks, separators or leading zeros; `nil` for
    /// anything else.
    static func parse(_ text: Substring, max: Int) -> Int? {
        guard !text.isEmpty, text.utf8.count <= Self.digitsMax,
            text.utf8.allSatisfy(Self.isDigit), text == "0" || text.first != "0",
            let value = Int(text), value <= max
        else { return nil }
        return value
    }

    static func isDigit(_ byte: UInt8) -> Bool {
        byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
    }
}
