/// A part of a filter that an index responds to: what does not satisfy it does not match.
///
/// The index narrows the profiles down; the whole filter is still evaluated on each of them.
package enum FilterLookup: Equatable, Sendable {
    /// A custom ID or an installation, byte for byte.
    case identifier(IdentifierKind, [UInt8])
    /// An e-mail address or a phone number, in any spelling.
    case address(Channel, [UInt8])

    /// Longest text that is looked up as an address, in bytes: an address has at most 254
    /// characters.
    static let addressBytesMax = 254 * 4
}

extension FilterExpression {
    /// The narrowest lookup that every match satisfies; `nil`: there is none, as of a filter whose
    /// parts are joined by OR.
    var lookup: FilterLookup? {
        switch self {
        case .comparison(let comparison): return comparison.lookup
        case .and(let items):
            let lookups = items.compactMap { item -> FilterLookup? in
                if case .comparison(let comparison) = item { comparison.lookup } else { nil }
            }
            // An identifier has one profile, an address may have any number.
            return lookups.first { if case .identifier = $0 { true } else { false } }
                ?? lookups.first
        case .all, .not, .or: return nil
        }
    }
}

extension FilterComparison {
    fileprivate var lookup: FilterLookup? {
        guard self.comparator == .equal || self.comparator == .has,
            case .text(let text) = self.constant, !text.isOpenAtStart, !text.isOpenAtEnd
        else { return nil }
        switch self.field {
        case .customID: return .identifier(.customID, text.bytes)
        case .installations: return .identifier(.installationID, text.bytes)
        case .attribute(NativeAttribute.emailAddress.name.description):
            return Self.address(.email, text)
        case .attribute(NativeAttribute.phoneNumber.name.description):
            return Self.address(.sms, text)
        default: return nil
        }
    }

    private static func address(_ channel: Channel, _ text: FilterText) -> FilterLookup? {
        text.bytes.count <= FilterLookup.addressBytesMax ? .address(channel, text.bytes) : nil
    }
}

extension FilterNode.Field {
    /// The parts of a profile that a comparison of the field reads.
    var parts: ProfileParts {
        switch self {
        case .state, .customID, .installations: .identity
        case .attribute, .suppressed: .attributes
        case .counterCount, .counterFirst, .counterLast: .counters
        case .subscription: .consent
        case .anywhere: [.identity, .attributes]
        case .createdAt, .updatedAt, .lastSeenAt, .event, .eventLabel, .eventTags: []
        }
    }
}
