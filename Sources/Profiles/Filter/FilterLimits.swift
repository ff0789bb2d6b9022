/// Bounds of one filter, and with them of the work to compile and to evaluate it.
///
/// Source: docs/rules.md, section 9.
package enum FilterLimits {
    /// Longest text, in Unicode scalars.
    package static let charactersMax = 2_000
    /// Comparisons, literals included: the nodes of a compiled filter.
    package static let comparisonsMax = 40
    /// Parentheses in each other, which bound the recursion of the parser.
    package static let levelsMax = 10

    /// Longest name of an attribute or event, in bytes.
    static let nameBytesMax = 30
    /// Longest name of a topic, in bytes.
    static let topicBytesMax = 300
    /// Names behind `event.`: an event has objects on three levels, the attributes themselves being
    /// the first.
    static let pathNamesMax = 3
}

/// What a filter may speak of.
package enum FilterScope: Sendable {
    /// A profile: CountProfiles, ListProfiles.
    case profile
    /// A profile and the event that was stored last: triggers.
    case trigger
}

/// Why a text is no filter.
///
/// The text quotes words of the grammar and names of fields, never a value of the filter.
package struct FilterError: Error, Equatable {
    /// Where, in Unicode scalars from 1 on.
    package var column: Int
    /// What is wrong there, and what is allowed.
    package var problem: String

    /// Such as ``column 9: found `<`, expected `=` or `!=` ``.
    package var description: String { "column \(self.column): \(self.problem)" }

    init(column: Int, _ problem: String) {
        self.column = column
        self.problem = problem
    }

    init(column: Int, found: String, expected: String) {
        self.init(column: column, "found \(found), expected \(expected)")
    }
}
