/// One comparison of a compiled filter, and what follows when it holds or does not.
///
/// A filter is decided by its comparisons alone: `AND`, `OR` and `NOT` are where each of them leads
/// to, always forward. Evaluation needs no stack, and at most as many steps as there are nodes.
struct FilterNode: BitwiseCopyable {
    /// The index of the next node, or one of these.
    static let accept: UInt8 = .max
    static let reject: UInt8 = .max - 1

    enum Field: UInt8, BitwiseCopyable {
        case anywhere
        case state
        case customID
        case createdAt
        case updatedAt
        case lastSeenAt
        case installations
        case attribute
        case counterCount
        case counterFirst
        case counterLast
        case subscription
        case suppressed
        case event
        case eventLabel
        case eventTags
    }

    /// What the constant can be compared with.
    struct Constant: OptionSet, BitwiseCopyable {
        let rawValue: UInt8

        static let text = Constant(rawValue: 1)
        static let isOpenAtStart = Constant(rawValue: 2)
        static let isOpenAtEnd = Constant(rawValue: 4)
        /// A text that is also a time.
        static let time = Constant(rawValue: 8)
        static let isRelative = Constant(rawValue: 16)
        static let integer = Constant(rawValue: 32)
        static let number = Constant(rawValue: 64)
        static let boolean = Constant(rawValue: 128)
    }

    var field: Field
    var comparator: FilterComparator
    /// Empty: `*`.
    var constant: Constant = []
    /// A `Channel`; 0: the field has none.
    var channel: UInt8 = 0
    var onTrue: UInt8 = Self.accept
    var onFalse: UInt8 = Self.reject
    /// Names in the path: prefixed texts among the constants.
    var nameCount: UInt8 = 0
    /// Offsets among the constants.
    var nameStart: UInt16 = 0
    var textStart: UInt16 = 0
    var textBytes: UInt16 = 0
    /// The bits of an integer, a number, a boolean (0 or 1), a `ProfileState` or a
    /// `SubscriptionState`.
    var bits: UInt64 = 0
    /// Microseconds, as of `FilterTime`.
    var time: Int64 = 0

    var filterTime: FilterTime {
        FilterTime(microseconds: self.time, isRelative: self.constant.contains(.isRelative))
    }
}
