import Bytes

/// A change of consent that was evaluated.
struct EvaluatedChange {
    var channel: Channel
    /// Empty: the whole channel.
    var topic: UnsafeRawBufferPointer
    var before: SubscriptionState
    var after: SubscriptionState
    /// False: an older change than the stored one, which is recorded only.
    var applied: Bool
    var needsToken = false
    var source: ConsentSource
    /// Microseconds since 1970.
    var effectiveTime: Int64
    var lsn: UInt64
}

/// A call that changes consent: the consent of one profile, and the changes evaluated on it so far.
///
/// It needs nothing of the store but the profile's stored consent, and changes nothing there.
struct ConsentWork {
    var kind: RecordKind
    var call: CallContext
    var project: ProjectID
    var evidence: EvidenceView?
    /// Of the changes that the call makes.
    var origin = ChangeOrigin()
    /// What will be stored.
    var part = ConsentPart()
    var evaluated: [EvaluatedChange] = []
    /// A reader can see a difference.
    var isVisible = false

    /// Evaluates one change on what the changes before it left.
    ///
    /// - Returns: `.none`, or why the whole call is rejected.
    mutating func evaluate(
        _ change: ConsentChange, topic: UnsafeRawBufferPointer, lsn: UInt64
    ) -> Rejection {
        let known = self.part.find(change.channel, topic)
        let before = known ?? ConsentPart.Key(channel: change.channel, topic: topic)
        var evaluated = EvaluatedChange(
            channel: change.channel, topic: topic, before: before.stored.state,
            after: before.stored.state, applied: false,
            source: change.source, effectiveTime: change.effectiveTime, lsn: lsn)
        switch before.stored.evaluate(change, rules: self.call.rules) {
        case .rejected: return .userUnsubscribed
        case .unconfirmed: return .invalidFields
        case .stale: break
        case .applied(let stored, let needsToken):
            guard topic.count == 0 || self.hasHeadroom(change.channel, for: stored, known) else {
                return .limitExceeded
            }
            evaluated.after = stored.state
            evaluated.applied = true
            evaluated.needsToken = needsToken
            self.set(stored, before, lsn: lsn)
            if self.call.rules.countsSetTopicsOnly { self.part.dropOldestUnset(change.channel) }
        }
        self.evaluated.append(evaluated)
        return .none
    }

    /// Whether a topic's new state is within the limit of its channel.
    private func hasHeadroom(
        _ channel: Channel, for stored: StoredConsent, _ known: ConsentPart.Key?
    ) -> Bool {
        if stored.state == .unsubscribed {
            return known != nil
                || self.part.topicCount(channel) < ConsentPart.topicsPerChannelHeldMax
        }
        guard self.call.rules.countsSetTopicsOnly else {
            return known != nil || self.part.topicCount(channel) < ConsentPart.topicsPerChannelMax
        }
        let isAdded = stored.state != .unset && (known?.stored.state ?? .unset) == .unset
        return !isAdded || self.part.setTopicCount(channel) < ConsentPart.topicsPerChannelMax
    }

    /// Replaces the stored consent of a key.
    mutating func set(_ stored: StoredConsent, _ before: ConsentPart.Key, lsn: UInt64) {
        var after = before
        after.stored = stored
        if stored.state != .pending {
            after.pendingSince = 0
        } else if before.stored.state != .pending {
            after.pendingSince = lsn
        }
        if stored.state != before.stored.state || stored.source != before.stored.source
            || stored.effectiveTime != before.stored.effectiveTime
        {
            self.isVisible = true
        }
        self.part.set(after)
    }

    // MARK: Changes by the service, with source SYSTEM

    /// Takes over the consent of a profile that is merged away; what differs is a change.
    mutating func merge(_ lost: ConsentPart) {
        for other in lost.keys {
            let own =
                self.part.find(other.channel, other.topic)
                ?? ConsentPart.Key(channel: other.channel, topic: other.topic)
            var merged = own
            merged.stored = own.stored.merged(with: other.stored, rules: self.call.rules)
            #if CANARIES
                let isOptIn = other.stored.state == .subscribed
                if Canary.consentResubscribed.isActive, isOptIn { merged.stored = other.stored }
            #endif
            merged.pendingSince = Self.pendingSince(merged.stored, own, other)
            self.part.set(merged)
            guard merged.stored != own.stored else { continue }
            self.evaluated.append(self.bySystem(own, merged.stored))
        }
        guard self.call.rules.countsSetTopicsOnly else { return }
        for channel in Channel.allCases { self.part.dropOldestUnset(channel) }
    }

    /// Where both wait for a confirmation, either's link confirms.
    private static func pendingSince(
        _ merged: StoredConsent, _ own: ConsentPart.Key, _ other: ConsentPart.Key
    ) -> UInt64 {
        guard merged.state == .pending else { return 0 }
        guard own.pendingSince != 0, other.pendingSince != 0 else {
            return max(own.pendingSince, other.pendingSince)
        }
        return min(own.pendingSince, other.pendingSince)
    }

    /// Withdraws the opt-ins of a channel, pending ones included; opt-outs stay, also those that a
    /// PENDING has not undone.
    mutating func reset(_ channel: Channel) {
        for key in self.part.keys where key.channel == channel {
            guard key.stored.state == .subscribed || key.stored.state == .pending else { continue }
            var reset = key
            reset.stored = key.stored.withdrawn(at: self.call.receivedAt)
            reset.pendingSince = 0
            self.part.set(reset)
            self.evaluated.append(self.bySystem(key, reset.stored))
        }
    }

    /// A change by the service.
    func bySystem(_ before: ConsentPart.Key, _ after: StoredConsent) -> EvaluatedChange {
        EvaluatedChange(
            channel: before.channel, topic: before.topic, before: before.stored.state,
            after: after.state, applied: true,
            source: .system, effectiveTime: after.effectiveTime, lsn: self.call.lsn)
    }
}
