/// What the left side of a comparison names.
enum FilterField: Equatable {
    /// A literal without a field: every text, number and boolean of the subject.
    case anywhere
    case state
    case customID
    case createdAt
    case updatedAt
    case lastSeenAt
    case installations
    /// A custom or native attribute, in lower case.
    case attribute(String)
    /// An event name in lower case.
    case counter(String, CounterPart)
    /// The topic in lower case; empty: the whole channel.
    case subscription(Channel, topic: String)
    case suppressed(Channel)
    /// An attribute of the event and names inside of it, in lower case; 1 ...
    /// `FilterLimits.pathNamesMax`.
    case event([String])
    case eventLabel
    case eventTags

    enum CounterPart: UInt8, BitwiseCopyable, CaseIterable {
        case count
        case first
        case last

        var name: String {
            switch self {
            case .count: "count"
            case .first: "first"
            case .last: "last"
            }
        }
    }

    /// What its values are.
    enum Kind: Equatable {
        /// What a value is, is known when it is looked at.
        case value
        case text
        /// A time that every profile has.
        case time
        /// A time that may be absent.
        case counterTime
        case count
        case state
        case subscription
        case boolean
        /// Texts, of which `:` finds one.
        case texts
    }

    var kind: Kind {
        switch self {
        case .anywhere, .event: .value
        case .attribute(let name): Self.isNative(name) ? .text : .value
        case .customID, .eventLabel: .text
        case .createdAt, .updatedAt, .lastSeenAt: .time
        case .counter(_, .count): .count
        case .counter(_, .first), .counter(_, .last): .counterTime
        case .state: .state
        case .subscription: .subscription
        case .suppressed: .boolean
        case .installations, .eventTags: .texts
        }
    }

    static func isNative(_ name: String) -> Bool {
        NativeAttribute.allCases.contains { $0.name.description == name }
    }

    /// As it is written in the canonical form.
    var text: String {
        switch self {
        case .anywhere: ""
        case .state: "state"
        case .customID: "custom_id"
        case .createdAt: "created_at"
        case .updatedAt: "updated_at"
        case .lastSeenAt: "last_seen_at"
        case .installations: "installations"
        case .attribute(let name): Self.isNative(name) ? name : "attributes.\(name)"
        case .counter(let name, let part): "events.\(name).\(part.name)"
        case .subscription(let channel, let topic):
            "subscriptions.\(channel.filterName)" + (topic.isEmpty ? "" : ".\(topic)")
        case .suppressed(let channel): "suppressed.\(channel.filterName)"
        case .event(let names): "event.attributes." + names.joined(separator: ".")
        case .eventLabel: "event.label"
        case .eventTags: "event.tags"
        }
    }
}

extension Channel {
    /// As the contract writes it.
    var filterName: String {
        switch self {
        case .email: "EMAIL"
        case .sms: "SMS"
        case .push: "PUSH"
        }
    }
}

extension SubscriptionState {
    /// As the contract writes it.
    var filterName: String {
        switch self {
        case .unset: "UNSET"
        case .pending: "PENDING"
        case .subscribed: "SUBSCRIBED"
        case .unsubscribed: "UNSUBSCRIBED"
        }
    }
}

extension ProfileState {
    /// As the contract writes it.
    var filterName: String {
        switch self {
        case .anonymous: "ANONYMOUS"
        case .identified: "IDENTIFIED"
        }
    }
}
