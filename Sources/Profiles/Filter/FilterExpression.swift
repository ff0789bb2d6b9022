/// A filter as it was written, grouped by the precedence of its operators.
indirect enum FilterExpression: Equatable {
    /// Of an empty text: everything matches.
    case all
    case comparison(FilterComparison)
    case not(FilterExpression)
    /// Two or more, none of which is an `and` itself.
    case and([FilterExpression])
    /// Two or more, none of which is an `or` itself.
    case or([FilterExpression])

    /// One that holds if all of them hold.
    static func all(of items: [FilterExpression]) -> FilterExpression {
        let flat = items.flatMap { item in
            if case .and(let inner) = item { inner } else { [item] }
        }
        return flat.count == 1 ? flat[0] : .and(flat)
    }

    /// One that holds if any of them holds.
    static func any(of items: [FilterExpression]) -> FilterExpression {
        let flat = items.flatMap { item in
            if case .or(let inner) = item { inner } else { [item] }
        }
        return flat.count == 1 ? flat[0] : .or(flat)
    }

    var comparisonCount: Int {
        switch self {
        case .all: 0
        case .comparison: 1
        case .not(let item): item.comparisonCount
        case .and(let items), .or(let items): items.reduce(0) { $0 + $1.comparisonCount }
        }
    }
}

/// One field compared with one constant.
struct FilterComparison: Equatable {
    var field: FilterField
    var comparator: FilterComparator
    var constant: FilterConstant
}

/// How a field is compared.
enum FilterComparator: UInt8, BitwiseCopyable, CaseIterable {
    case equal
    case notEqual
    case less
    case lessOrEqual
    case greater
    case greaterOrEqual
    case has

    var text: String {
        switch self {
        case .equal: "="
        case .notEqual: "!="
        case .less: "<"
        case .lessOrEqual: "<="
        case .greater: ">"
        case .greaterOrEqual: ">="
        case .has: ":"
        }
    }

    /// Whether it asks which of two values comes first.
    var isOrdering: Bool {
        switch self {
        case .less, .lessOrEqual, .greater, .greaterOrEqual: true
        case .equal, .notEqual, .has: false
        }
    }

    /// Whether it holds between a value and a constant.
    ///
    /// - Parameter order: Below 0 if the value is the smaller one, 0 if both are equal.
    @inline(__always)
    func holds(_ order: Int) -> Bool {
        switch self {
        case .equal, .has: order == 0
        case .notEqual: order != 0
        case .less: order < 0
        case .lessOrEqual: order <= 0
        case .greater: order > 0
        case .greaterOrEqual: order >= 0
        }
    }
}

/// The right side of a comparison.
enum FilterConstant: Equatable {
    /// The `*` of `field:*`.
    case anything
    case text(FilterText)
    case integer(Int64)
    /// Finite.
    case number(Double)
    case boolean(Bool)
}

/// A text, and which of its ends are open.
struct FilterText: Equatable {
    /// UTF-8, escapes resolved.
    var bytes: [UInt8]
    /// Anything may precede the text.
    var isOpenAtStart = false
    /// Anything may follow the text.
    var isOpenAtEnd = false
}
