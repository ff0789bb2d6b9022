/// Which comparators and constants a field allows.
///
/// What is known of a field is checked when the filter is compiled; a comparison with a value of
/// another kind, which only an attribute can have, does not hold.
enum FilterRules {
    /// Checks a comparator.
    ///
    /// - Parameter column: Of the comparator.
    static func check(
        _ comparator: FilterComparator, _ column: Int, _ field: FilterField
    ) throws(FilterError) {
        let expected: String? =
            switch field.kind {
            case .value, .text, .counterTime: nil
            case .time, .count: comparator == .has ? "`=`, `!=`, `<`, `<=`, `>` or `>=`" : nil
            case .state, .subscription, .boolean:
                comparator == .equal || comparator == .notEqual ? nil : "`=` or `!=`"
            case .texts: comparator == .has ? nil : "`:`"
            }
        guard let expected else { return }
        throw FilterError(
            column: column, found: "`\(comparator.text)` behind `\(field.text)`",
            expected: expected)
    }

    /// The constant that a word is on the right of a field.
    ///
    /// - Parameter column: Of the word.
    static func constant(
        _ word: FilterWord, _ column: Int, _ field: FilterField, _ comparator: FilterComparator
    ) throws(FilterError) -> FilterConstant {
        func error(_ expected: String) -> FilterError {
            FilterError(column: column, found: word.found, expected: expected)
        }
        let isStar = !word.isQuoted && word.scalars == [FilterWord.star]
        if comparator == .has, isStar { return .anything }
        switch field.kind {
        case .value: return try self.value(word, column, comparator)
        case .text, .texts:
            guard self.isText(word) else {
                throw error(
                    comparator == .has ? "a text in quotes or `*`" : "a text in quotes")
            }
            return .text(self.text(word, comparator))
        case .time, .counterTime:
            guard comparator != .has else { throw error("`*`") }
            guard self.isText(word), FilterTime(word.text.bytes) != nil else {
                throw error("a time such as \"2026-01-31T12:00:00Z\" or \"-30d\"")
            }
            return .text(word.text)
        case .count:
            switch word.number {
            case .integer(let integer): return .integer(integer)
            case .number(let number): return .number(number)
            case .outOfRange, nil: throw error("a number")
            }
        case .state:
            guard ["ANONYMOUS", "IDENTIFIED"].contains(word.string) else {
                throw error("`ANONYMOUS` or `IDENTIFIED`")
            }
            return .text(word.text)
        case .subscription:
            guard SubscriptionState.allCases.contains(where: { $0.filterName == word.string })
            else { throw error("`SUBSCRIBED`, `UNSUBSCRIBED`, `PENDING` or `UNSET`") }
            return .text(word.text)
        case .boolean:
            guard let boolean = self.boolean(word) else { throw error("`true` or `false`") }
            return .boolean(boolean)
        }
    }

    /// The constant of a word without a field.
    static func literal(
        _ word: FilterWord, _ column: Int, _ scope: FilterScope
    ) throws(FilterError) -> FilterConstant {
        if FilterNames.isField(word) {
            throw FilterError(
                column: column + word.scalars.count, found: "a field alone",
                expected: "a comparator behind it")
        }
        // In lower case they would be searched for, and silently nothing would be found.
        if !word.isQuoted, ["and", "or", "not"].contains(word.string.lowercased()) {
            throw FilterError(
                column: column, found: "`\(word.string)`",
                expected: "`\(word.string.uppercased())`, or a text in quotes")
        }
        return try self.value(word, column, .equal)
    }

    /// The constant that is compared with a value of any kind.
    private static func value(
        _ word: FilterWord, _ column: Int, _ comparator: FilterComparator
    ) throws(FilterError) -> FilterConstant {
        if let boolean = self.boolean(word) {
            guard !comparator.isOrdering else {
                throw FilterError(
                    column: column, found: word.found, expected: "a text, a number or a time")
            }
            return .boolean(boolean)
        }
        switch word.number {
        case .integer(let integer): return .integer(integer)
        case .number(let number): return .number(number)
        case .outOfRange:
            throw FilterError(
                column: column, found: "a number out of range",
                expected: "an integer of 64 bits or a finite number")
        case nil: break
        }
        guard word.isQuoted || word.string != "null" else {
            throw FilterError(
                column: column, found: "`null`",
                expected: "a value; `NOT attributes.NAME:*` holds without one")
        }
        return .text(self.text(word, comparator))
    }

    /// Whether a word is neither a number nor a boolean without quotes, nor `null`.
    private static func isText(_ word: FilterWord) -> Bool {
        word.isQuoted
            || word.number == nil && self.boolean(word) == nil && word.string != "null"
    }

    private static func boolean(_ word: FilterWord) -> Bool? {
        guard !word.isQuoted else { return nil }
        switch word.string {
        case "true": return true
        case "false": return false
        default: return nil
        }
    }

    /// Stars stand for a part of the text with `=` and its opposite only.
    private static func text(_ word: FilterWord, _ comparator: FilterComparator) -> FilterText {
        switch comparator {
        case .equal, .notEqual: word.pattern
        case .less, .lessOrEqual, .greater, .greaterOrEqual, .has: word.text
        }
    }
}
