/// Reads the words of a filter one after the other.
///
/// The grammar cannot be cut into tokens beforehand: `-` negates a term and begins a number, `*` is
/// a word or a part of one, depending on what is expected.
struct FilterLexer {
    private let scalars: [UInt32]
    /// Index of the next scalar.
    private(set) var position = 0

    init(_ text: String) {
        self.scalars = text.unicodeScalars.map(\.value)
    }

    /// Scalars of the whole text.
    var count: Int { self.scalars.count }
    var column: Int { self.position + 1 }
    var isAtEnd: Bool { self.position == self.scalars.count }

    /// The next scalar; `nil` at the end.
    var next: UInt32? { self.isAtEnd ? nil : self.scalars[self.position] }

    func isNext(_ character: Unicode.Scalar) -> Bool { self.next == character.value }

    mutating func skipBlanks() {
        while let next = self.next, Self.isBlank(next) { self.position += 1 }
    }

    /// Moves past a character; false if another one is next.
    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard self.isNext(character) else { return false }
        self.position += 1
        return true
    }

    /// Moves back to where the lexer has been.
    mutating func rewind(to position: Int) {
        precondition(position <= self.position, "only what was read can be read again")
        self.position = position
    }

    static func isBlank(_ scalar: UInt32) -> Bool {
        scalar == 0x20 || scalar == 0x09 || scalar == 0x0A || scalar == 0x0D
    }

    /// Whether a scalar may be part of a word without quotes: letters and digits of any script and
    /// `_ - . * + @ /`. Every other character of ASCII is an operator, or is kept for one.
    private static func isWord(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x30 ... 0x39, 0x41 ... 0x5A, 0x61 ... 0x7A: true
        case 0x5F, 0x2D, 0x2E, 0x2A, 0x2B, 0x40, 0x2F: true
        default: scalar >= 0x80
        }
    }

    /// Reads a word without quotes; empty if none is next.
    mutating func readWord() -> [UInt32] {
        let start = self.position
        while let next = self.next, Self.isWord(next) { self.position += 1 }
        return Array(self.scalars[start ..< self.position])
    }

    /// The word without quotes that is next, which stays unread.
    func peekWord() -> [UInt32] {
        var copy = self
        return copy.readWord()
    }

    /// Reads a comparator; `nil` if none is next.
    mutating func readComparator() -> FilterComparator? {
        if self.take("=") { return .equal }
        if self.take(":") { return .has }
        if self.take("<") { return self.take("=") ? .lessOrEqual : .less }
        if self.take(">") { return self.take("=") ? .greaterOrEqual : .greater }
        if self.isNext("!"), self.position + 1 < self.count,
            self.scalars[self.position + 1] == ("=" as Unicode.Scalar).value
        {
            self.position += 2
            return .notEqual
        }
        return nil
    }

    /// What is next, for an error: never a value.
    var found: String {
        guard let next = self.next else { return "the end" }
        if next == 0x22 || next == 0x27 { return "a text" }
        if Self.isWord(next) { return FilterWord(self.peekWord()).found }
        guard next > 0x20, next < 0x7F, let scalar = Unicode.Scalar(next) else {
            return "a character that is not allowed"
        }
        return "`\(scalar)`"
    }

    // MARK: Texts in quotes

    /// Reads a text in quotes, of which the opening one is next.
    mutating func readQuoted() throws(FilterError) -> FilterWord {
        let column = self.column
        let quote = self.scalars[self.position]
        self.position += 1
        var word = FilterWord([])
        word.isQuoted = true
        while let next = self.next {
            if next == quote {
                self.position += 1
                return word
            }
            guard next == ("\\" as Unicode.Scalar).value else {
                word.append(next, isStar: next == FilterWord.star)
                self.position += 1
                continue
            }
            word.append(try self.readEscape(), isStar: false)
        }
        throw FilterError(column: column, "found a text without its closing quote")
    }

    private static let escapesExpected =
        #"`\\`, `\"`, `\'`, `\*`, `\n`, `\r`, `\t`, or `\u` and four hexadecimal digits"#

    /// Reads an escape, of which the backslash is next.
    private mutating func readEscape() throws(FilterError) -> UInt32 {
        let column = self.column
        self.position += 1
        let escaped = self.next.flatMap(Unicode.Scalar.init)
        if escaped != nil { self.position += 1 }
        switch escaped {
        case "\\", "\"", "'", "*": return self.scalars[self.position - 1]
        case "n": return 0x0A
        case "r": return 0x0D
        case "t": return 0x09
        case "u":
            let digits = self.scalars[self.position...].prefix(4)
            var value: UInt32 = 0
            for digit in digits {
                guard let scalar = Unicode.Scalar(digit), scalar.isASCII,
                    let hex = Character(scalar).hexDigitValue
                else { break }
                value = value << 4 | UInt32(hex)
                self.position += 1
            }
            // Neither half of a surrogate pair is a character; NUL is in no value.
            if self.position == digits.endIndex, digits.count == 4, value != 0,
                Unicode.Scalar(value) != nil
            {
                return value
            }
            fallthrough
        default:
            throw FilterError(
                column: column, found: "an unknown escape", expected: Self.escapesExpected)
        }
    }
}

/// A word or a text in quotes, with what a constant of it may be.
struct FilterWord {
    static let star = ("*" as Unicode.Scalar).value

    private(set) var scalars: [UInt32]
    var isQuoted = false
    /// Whether the first and the last scalar are stars that are not escaped.
    private(set) var beginsWithStar: Bool
    private(set) var endsWithStar: Bool

    init(_ scalars: [UInt32]) {
        self.scalars = scalars
        self.beginsWithStar = scalars.first == Self.star
        self.endsWithStar = scalars.last == Self.star
    }

    mutating func append(_ scalar: UInt32, isStar: Bool) {
        if self.scalars.isEmpty { self.beginsWithStar = isStar }
        self.endsWithStar = isStar
        self.scalars.append(scalar)
    }

    var string: String {
        var text = String.UnicodeScalarView()
        text.append(contentsOf: self.scalars.lazy.compactMap { Unicode.Scalar($0) })
        return String(text)
    }

    /// The keyword that it is without quotes; `nil`: none.
    var keyword: String? {
        guard !self.isQuoted else { return nil }
        let string = self.string
        return ["AND", "OR", "NOT"].contains(string) ? string : nil
    }

    /// For an error: never a value.
    var found: String {
        if self.isQuoted { return "a text" }
        let string = self.string
        if ["AND", "OR", "NOT", "true", "false", "null", "*"].contains(string) {
            return "`\(string)`"
        }
        if self.scalars.first == ("-" as Unicode.Scalar).value, self.number == nil { return "`-`" }
        return self.number == nil ? "a word" : "a number"
    }

    /// As a text that matches whole values.
    var text: FilterText { FilterText(bytes: Array(self.string.utf8)) }

    /// As a text whose stars at the ends stand for anything.
    var pattern: FilterText {
        var rest = self.scalars[...]
        if self.beginsWithStar { rest.removeFirst() }
        let isOpenAtEnd = self.endsWithStar && !rest.isEmpty
        if isOpenAtEnd { rest.removeLast() }
        return FilterText(
            bytes: Array(FilterWord(Array(rest)).string.utf8), isOpenAtStart: self.beginsWithStar,
            isOpenAtEnd: isOpenAtEnd)
    }

    /// What kind of number it is without quotes.
    enum Number: Equatable {
        case integer(Int64)
        case number(Double)
        /// Written as a number, but of none that a value can have.
        case outOfRange
    }

    /// The number that it is without quotes; `nil`: none.
    ///
    /// As in JSON: a word that begins with a superfluous zero, as postal codes do, is a text.
    var number: Number? {
        guard !self.isQuoted, let first = self.scalars.first, first < 0x80 else { return nil }
        let bytes = Array(self.string.utf8)
        var reader = bytes[...]
        _ = Self.take(&reader, "-")
        let whole = Self.takeDigits(&reader)
        guard whole == 1 || whole > 1 && bytes[reader.startIndex - whole] != UInt8(ascii: "0")
        else { return nil }
        var isInteger = true
        if Self.take(&reader, ".") {
            guard Self.takeDigits(&reader) > 0 else { return nil }
            isInteger = false
        }
        if Self.take(&reader, "e") || Self.take(&reader, "E") {
            if !Self.take(&reader, "-") { _ = Self.take(&reader, "+") }
            guard Self.takeDigits(&reader) > 0 else { return nil }
            isInteger = false
        }
        guard reader.isEmpty else { return nil }
        if isInteger { return Int64(self.string).map { .integer($0) } ?? .outOfRange }
        guard let number = Double(self.string), number.isFinite else { return .outOfRange }
        return .number(number)
    }

    private static func take(_ bytes: inout ArraySlice<UInt8>, _ scalar: Unicode.Scalar) -> Bool {
        guard bytes.first == UInt8(ascii: scalar) else { return false }
        bytes.removeFirst()
        return true
    }

    private static func takeDigits(_ bytes: inout ArraySlice<UInt8>) -> Int {
        let start = bytes.startIndex
        while let byte = bytes.first, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") {
            bytes.removeFirst()
        }
        return bytes.startIndex - start
    }
}
