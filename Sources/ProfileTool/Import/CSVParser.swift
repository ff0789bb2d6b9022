/// Reads the rows of RFC 4180: fields between commas, in double quotes where they have commas,
/// quotes (doubled) or line breaks.
package struct CSVParser {
    package enum Outcome: Equatable {
        case complete([String])
        /// A quote is open: the row continues on the next line.
        case open
        case invalid
    }

    private static let quote = UInt8(ascii: "\"")
    private static let comma = UInt8(ascii: ",")
    private static let carriageReturn: UInt8 = 0x0D

    private var fields: [String] = []
    private var field: [UInt8] = []
    private var isQuoted = false

    package init() {}

    /// Reads a line.
    ///
    /// - Parameters:
    ///   - line: Without its line feed; a carriage return at its end is ignored.
    ///   - isContinued: The line before ended inside of quotes.
    package mutating func read(_ line: [UInt8], isContinued: Bool) -> Outcome {
        if isContinued { self.field.append(0x0A) }
        var index = 0
        while index < line.count {
            let byte = line[index]
            index += 1
            if self.isQuoted {
                guard byte == Self.quote else {
                    self.field.append(byte)
                    continue
                }
                if index < line.count, line[index] == Self.quote {
                    self.field.append(byte)
                    index += 1
                    continue
                }
                self.isQuoted = false
                let isEnd =
                    index == line.count || line[index] == Self.comma
                    || line[index] == Self.carriageReturn && index + 1 == line.count
                guard isEnd else { return .invalid }
                continue
            }
            switch byte {
            case Self.comma:
                guard self.endField() else { return .invalid }
            case Self.quote:
                guard self.field.isEmpty else { return .invalid }
                self.isQuoted = true
            case Self.carriageReturn where index == line.count: break
            default: self.field.append(byte)
            }
        }
        if self.isQuoted { return .open }
        guard self.endField() else { return .invalid }
        return .complete(self.fields)
    }

    /// - Returns: Whether the field is UTF-8.
    private mutating func endField() -> Bool {
        guard let text = String(validating: self.field, as: UTF8.self) else { return false }
        self.fields.append(text)
        self.field.removeAll(keepingCapacity: true)
        return true
    }
}
