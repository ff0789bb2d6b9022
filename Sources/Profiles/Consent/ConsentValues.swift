// The contract's enumerations of consent. Raw values are the contract's; they stand in the log, the
// ledger and stored responses.

/// A way to reach a person.
package enum Channel: UInt8, Sendable, CaseIterable {
    case email = 1
    case sms = 2
    case push = 3
}

/// What a person agreed to.
package enum SubscriptionState: UInt8, Sendable, CaseIterable {
    case unset = 1
    /// Waits for a confirmation; never set by a client.
    case pending = 2
    case subscribed = 3
    case unsubscribed = 4
}

/// Who made a change of consent.
package enum ConsentSource: UInt8, Sendable, CaseIterable {
    case user = 1
    case oneClick = 2
    case smsKeyword = 3
    case preferenceCenter = 4
    case api = 5
    case imported = 6
    case support = 7
    case system = 8

    /// Whether a SUBSCRIBED or UNSET by it is a person's own act.
    var opensForPerson: Bool {
        switch self {
        case .user, .smsKeyword, .preferenceCenter: true
        case .oneClick, .api, .imported, .support, .system: false
        }
    }

    /// Whether an UNSUBSCRIBED by it is a person's own act: opting out also counts by one click or
    /// through support.
    var closesForPerson: Bool { self.opensForPerson || self == .oneClick || self == .support }
}

/// Why an address is not sent to.
package enum SuppressionReason: UInt8, Sendable, CaseIterable {
    case hardBounce = 1
    case complaint = 2
    case invalid = 3
    case manual = 4
}

/// The reasons that an address is suppressed for, as bits `1 << reason`.
package struct SuppressionReasons: OptionSet, Sendable, BitwiseCopyable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    package static let hardBounce = SuppressionReasons(.hardBounce)
    package static let complaint = SuppressionReasons(.complaint)
    package static let invalid = SuppressionReasons(.invalid)
    package static let manual = SuppressionReasons(.manual)

    package init(_ reason: SuppressionReason) { self.rawValue = 1 << reason.rawValue }
}

/// What kind of message is to be sent.
package enum MessageClass: UInt8, Sendable {
    case marketing = 1
    case transactional = 2
}

/// Why a message may or may not be sent.
package enum SendableReason: UInt8, Sendable {
    case ok = 1
    case noAddress = 2
    case hardBounce = 3
    case invalid = 4
    case manual = 5
    case complaint = 6
    case channelNotSubscribed = 7
    case topicUnsubscribed = 8
    case topicDefault = 9
}
