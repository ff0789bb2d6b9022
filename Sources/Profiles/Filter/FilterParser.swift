/// Parses the text of a filter.
///
/// ```
/// filter     = [expression]
/// expression = sequence {AND sequence}
/// sequence   = factor {factor}              bare sequence: all of them
/// factor     = term {OR term}               binds tighter than AND
/// term       = [NOT | "-"] simple
/// simple     = comparison | literal | "(" expression ")"
/// comparison = field comparator constant
/// ```
///
/// Source: AIP-160; docs/filters.md for fields, constants and what is left out.
struct FilterParser {
    private var lexer: FilterLexer
    private let scope: FilterScope
    private var comparisonCount = 0

    private init(_ text: String, _ scope: FilterScope) {
        self.lexer = FilterLexer(text)
        self.scope = scope
    }

    /// - Parameter charactersMax: Only what this module printed itself may be longer than allowed.
    /// - Throws: The first thing that is wrong.
    static func parse(
        _ text: String, _ scope: FilterScope, charactersMax: Int = FilterLimits.charactersMax
    ) throws(FilterError) -> FilterExpression {
        var parser = FilterParser(text, scope)
        guard parser.lexer.count <= charactersMax else {
            throw FilterError(
                column: charactersMax + 1,
                "\(parser.lexer.count) characters, at most \(charactersMax) are allowed")
        }
        parser.lexer.skipBlanks()
        guard !parser.lexer.isAtEnd else { return .all }
        let expression = try parser.parseExpression(level: 0)
        guard parser.lexer.isAtEnd else {
            throw parser.unexpected("`AND`, `OR`, a comparison or the end")
        }
        return expression
    }

    private func unexpected(_ expected: String) -> FilterError {
        FilterError(column: self.lexer.column, found: self.lexer.found, expected: expected)
    }

    /// Reads a keyword; false if it is not next.
    private mutating func take(keyword: String) -> Bool {
        let word = self.lexer.peekWord()
        guard FilterWord(word).keyword == keyword else { return false }
        _ = self.lexer.readWord()
        return true
    }

    private mutating func parseExpression(level: Int) throws(FilterError) -> FilterExpression {
        var items = [try self.parseSequence(level: level)]
        while self.take(keyword: "AND") { items.append(try self.parseSequence(level: level)) }
        return .all(of: items)
    }

    private mutating func parseSequence(level: Int) throws(FilterError) -> FilterExpression {
        var items: [FilterExpression] = []
        repeat {
            items.append(try self.parseFactor(level: level))
        } while !self.isAtEndOfSequence
        return .all(of: items)
    }

    private var isAtEndOfSequence: Bool {
        self.lexer.isAtEnd || self.lexer.isNext(")")
            || FilterWord(self.lexer.peekWord()).keyword == "AND"
    }

    private mutating func parseFactor(level: Int) throws(FilterError) -> FilterExpression {
        var items = [try self.parseTerm(level: level)]
        while self.take(keyword: "OR") { items.append(try self.parseTerm(level: level)) }
        return .any(of: items)
    }

    /// Parses a term and moves past the blanks behind it.
    private mutating func parseTerm(level: Int) throws(FilterError) -> FilterExpression {
        self.lexer.skipBlanks()
        if self.lexer.take("-") { return .not(try self.parseSimple(level: level)) }
        guard self.take(keyword: "NOT") else { return try self.parseSimple(level: level) }
        self.lexer.skipBlanks()
        return .not(try self.parseSimple(level: level))
    }

    private static let termExpected = "a comparison such as `state = IDENTIFIED`"

    private mutating func parseSimple(level: Int) throws(FilterError) -> FilterExpression {
        let column = self.lexer.column
        guard self.lexer.take("(") else {
            let comparison = try self.parseComparison()
            // Without a blank, `a = "x"b = 1` would be two comparisons.
            guard self.isAtBoundary else {
                throw self.unexpected("a blank between comparisons")
            }
            self.lexer.skipBlanks()
            return .comparison(comparison)
        }
        guard level < FilterLimits.levelsMax else {
            throw FilterError(
                column: column,
                "more than \(FilterLimits.levelsMax) levels of parentheses")
        }
        let expression = try self.parseExpression(level: level + 1)
        guard self.lexer.take(")") else {
            throw self.unexpected("`AND`, `OR`, a comparison or `)`")
        }
        self.lexer.skipBlanks()
        return expression
    }

    private var isAtBoundary: Bool {
        guard let next = self.lexer.next else { return true }
        return FilterLexer.isBlank(next) || self.lexer.isNext(")")
    }

    // MARK: Comparisons and literals

    private mutating func parseComparison() throws(FilterError) -> FilterComparison {
        let column = self.lexer.column
        let word = try self.parseLeftSide()
        self.comparisonCount += 1
        guard self.comparisonCount <= FilterLimits.comparisonsMax else {
            throw FilterError(
                column: column, "more than \(FilterLimits.comparisonsMax) comparisons")
        }
        let end = self.lexer.position
        self.lexer.skipBlanks()
        let comparatorColumn = self.lexer.column
        guard let comparator = self.lexer.readComparator() else {
            self.lexer.rewind(to: end)
            return FilterComparison(
                field: .anywhere, comparator: .equal,
                constant: try FilterRules.literal(word, column, self.scope))
        }
        guard !word.isQuoted else {
            throw FilterError(
                column: column, found: "a text", expected: "a field on the left of a comparison")
        }
        let field = try FilterNames.field(word.scalars, column, self.scope)
        try FilterRules.check(comparator, comparatorColumn, field)
        self.lexer.skipBlanks()
        let constantColumn = self.lexer.column
        return FilterComparison(
            field: field, comparator: comparator,
            constant: try FilterRules.constant(
                try self.parseConstant(), constantColumn, field, comparator))
    }

    private mutating func parseLeftSide() throws(FilterError) -> FilterWord {
        if self.lexer.isNext("\"") || self.lexer.isNext("'") { return try self.lexer.readQuoted() }
        let column = self.lexer.column
        let word = FilterWord(self.lexer.peekWord())
        guard !word.scalars.isEmpty, word.keyword == nil, !self.lexer.isNext("-") else {
            throw self.unexpected(Self.termExpected)
        }
        _ = self.lexer.readWord()
        guard !self.lexer.isNext("(") else {
            throw FilterError(column: column, found: "a function", expected: Self.termExpected)
        }
        return word
    }

    private mutating func parseConstant() throws(FilterError) -> FilterWord {
        if self.lexer.isNext("\"") || self.lexer.isNext("'") { return try self.lexer.readQuoted() }
        let word = FilterWord(self.lexer.peekWord())
        guard !word.scalars.isEmpty, word.keyword == nil else {
            throw self.unexpected("a value, texts in quotes")
        }
        _ = self.lexer.readWord()
        return word
    }
}
