/// Whether a message may be sent, and why: a pure function of what is known.
///
/// Source: docs/rules.md, section 5, "CheckSendable": the reasons in this order.
package struct SendableCheck: Equatable, Sendable {
    /// The person has an address on the channel; for PUSH: an app or web installation.
    package var hasAddress = false
    /// What the address is suppressed for.
    package var reasons = SuppressionReasons()
    package var messageClass = MessageClass.marketing
    package var channelState = SubscriptionState.unset
    /// `nil`: the message has no topic.
    package var topicState: SubscriptionState?
    package var isTopicUnsubscribedByDefault = false

    package init() {}

    package var verdict: (isSendable: Bool, reason: SendableReason) {
        guard self.hasAddress else { return (false, .noAddress) }
        if self.reasons.contains(.hardBounce) { return (false, .hardBounce) }
        if self.reasons.contains(.invalid) { return (false, .invalid) }
        if self.reasons.contains(.manual) { return (false, .manual) }
        if self.messageClass == .transactional { return (true, .ok) }
        if self.reasons.contains(.complaint) { return (false, .complaint) }
        guard self.channelState == .subscribed else { return (false, .channelNotSubscribed) }
        switch self.topicState {
        // A topic that waits for its confirmation is no more agreed to than one that was declined.
        case .unsubscribed, .pending: return (false, .topicUnsubscribed)
        case .unset: return (!self.isTopicUnsubscribedByDefault, .topicDefault)
        case .subscribed, nil: return (true, .ok)
        }
    }
}
