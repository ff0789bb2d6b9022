// The whole table of consent as one function over values: what is stored, what is asked, what comes
// of it. Nothing else decides on consent. Source: docs/rules.md, section 5.

/// What is stored of one (channel, topic).
struct StoredConsent: Equatable {
    var state = SubscriptionState.unset
    var source = ConsentSource.system
    /// Microseconds since 1970; `neverSet` for a key that is not stored.
    var effectiveTime = Self.neverSet
    /// Opted out by an SMS keyword: only a keyword opens it again.
    var isByKeyword = false
    /// Of a PENDING: the opt-out before it holds until the opt-in is confirmed.
    var isAfterOptOut = false

    /// Older than any effective time.
    static let neverSet = Int64.min

    /// The person's own act, which a machine cannot undo or renew.
    var isPersonsAct: Bool {
        self.state == .unsubscribed ? self.source.closesForPerson : self.source.opensForPerson
    }
}

/// One change that is asked for.
struct ConsentChange: Equatable {
    var channel: Channel
    /// Not `.pending`.
    var state: SubscriptionState
    var source: ConsentSource
    /// Microseconds since 1970.
    var effectiveTime: Int64
    /// `evidence.reference` is given.
    var hasReference = false
    /// The project demands double opt-in on the channel.
    var needsConfirmation = false
    /// By an import, which never makes PENDING; a SUBSCRIBED or UNSET has its source.
    var isImported = false
}

/// What comes of a change.
enum ConsentOutcome: Equatable {
    /// Recorded, and nothing else: older than what is stored, or equally old and weaker.
    case stale
    /// Carried out; what is stored now, which may be what was. With a token if it waits for a
    /// confirmation.
    case applied(StoredConsent, needsToken: Bool)
    /// Only the person may do this: the whole call is rejected.
    case rejected
    /// An import of an opt-in that needs a confirmation, without the reference to one that was
    /// given elsewhere: the whole call is rejected.
    case unconfirmed
}

extension StoredConsent {
    /// What comes of `change`: the time rule first, then the table.
    func evaluate(_ change: ConsentChange, rules: Rules) -> ConsentOutcome {
        guard change.state != .unsubscribed else { return self.evaluateOptOut(change, rules) }
        let isOlder = change.effectiveTime < self.effectiveTime
        let loses = change.effectiveTime == self.effectiveTime && self.state == .unsubscribed
        guard !isOlder, !loses else { return .stale }
        return change.state == .subscribed
            ? self.evaluateOptIn(change, rules) : self.evaluateUnset(change, rules)
    }

    /// Any state → UNSUBSCRIBED: always, unless the person subscribed strictly later.
    private func evaluateOptOut(_ change: ConsentChange, _ rules: Rules) -> ConsentOutcome {
        var next = StoredConsent(
            state: .unsubscribed, source: change.source, effectiveTime: change.effectiveTime,
            isByKeyword: change.channel == .sms && change.source == .smsKeyword)
        if self.isAfterOptOut, self.isByKeyword { next.isByKeyword = true }
        guard self.state == .unsubscribed else {
            let isOverruled =
                self.state == .subscribed && self.effectiveTime > change.effectiveTime
                && self.isPersonsAct
            return isOverruled ? .stale : .applied(next, needsToken: false)
        }
        let isNewer = change.effectiveTime >= self.effectiveTime
        next =
            isNewer ? next.joined(withOlder: self, rules) : self.joined(withOlder: next, rules)
        return .applied(next, needsToken: false)
    }

    /// What two opt-outs of one key leave, this one being the newer: the later time, so that no
    /// opt-in between the two undoes them, and the source of the newer one, unless only the older
    /// is a person's act, since a person's choice is never weakened. A keyword's opt-out remains
    /// one.
    private func joined(withOlder older: StoredConsent, _ rules: Rules) -> StoredConsent {
        var joined = self.isPersonsAct || !older.isPersonsAct ? self : older
        if rules.joinsOptOuts { joined.effectiveTime = self.effectiveTime }
        joined.isByKeyword = self.isByKeyword || older.isByKeyword
        return joined
    }

    private func evaluateOptIn(_ change: ConsentChange, _ rules: Rules) -> ConsentOutcome {
        let subscribed = StoredConsent(
            state: .subscribed, source: change.source, effectiveTime: change.effectiveTime)
        if change.isImported { return self.evaluateImport(subscribed, change) }
        var pending = StoredConsent(
            state: .pending, source: change.source, effectiveTime: change.effectiveTime)
        if rules.guardsUnset, self.holdsOptOut {
            pending.isAfterOptOut = true
            pending.isByKeyword = self.isByKeyword
        }
        switch self.state {
        case .subscribed:
            let keeps = self.isPersonsAct && !change.source.opensForPerson
            return .applied(keeps ? self : subscribed, needsToken: false)
        case .unset:
            return change.needsConfirmation
                ? .applied(pending, needsToken: true) : .applied(subscribed, needsToken: false)
        case .pending:
            return .applied(pending, needsToken: true)
        case .unsubscribed:
            guard !self.isByKeyword || change.source == .smsKeyword else { return .rejected }
            let isBySupport = change.source == .support && change.hasReference
            guard change.source.opensForPerson || isBySupport else { return .rejected }
            return change.needsConfirmation
                ? .applied(pending, needsToken: true) : .applied(subscribed, needsToken: false)
        }
    }

    /// An opt-in by an import. It cannot ask the person, so where a confirmation is needed, or
    /// awaited, one that was given elsewhere must be named; no opt-out is undone by any.
    private func evaluateImport(
        _ subscribed: StoredConsent, _ change: ConsentChange
    ) -> ConsentOutcome {
        guard !self.holdsOptOut else { return .rejected }
        guard change.hasReference || !(change.needsConfirmation || self.state == .pending) else {
            return .unconfirmed
        }
        let keeps = self.state == .subscribed && self.isPersonsAct
        return .applied(keeps ? self : subscribed, needsToken: false)
    }

    /// An opt-out, or a PENDING whose opt-out still holds.
    private var holdsOptOut: Bool { self.state == .unsubscribed || self.isAfterOptOut }

    private func evaluateUnset(_ change: ConsentChange, _ rules: Rules) -> ConsentOutcome {
        if self.holdsOptOut {
            guard change.source.opensForPerson else { return .rejected }
            let needsKeyword = rules.guardsUnset && self.isByKeyword
            guard !needsKeyword || change.source == .smsKeyword else { return .rejected }
        }
        return .applied(
            StoredConsent(
                state: .unset, source: change.source, effectiveTime: change.effectiveTime),
            needsToken: false)
    }

    /// Which of two states of one key is kept after a merge.
    ///
    /// - Parameter other: Of the profile that is merged away; this one is the survivor's.
    func merged(with other: StoredConsent, rules: Rules) -> StoredConsent {
        if self.state == .unsubscribed, other.state == .unsubscribed {
            return other.effectiveTime > self.effectiveTime
                ? other.joined(withOlder: self, rules) : self.joined(withOlder: other, rules)
        }
        guard !rules.mergesByAct else { return self.mergedByAct(with: other) }
        var winner = self
        if other.effectiveTime > self.effectiveTime { winner = other }
        if other.effectiveTime == self.effectiveTime, other.state == .unsubscribed,
            self.state != .unsubscribed
        {
            winner = other
        }
        let loser = winner == self ? other : self
        guard loser.state == .unsubscribed else { return winner }
        let isOverruled =
            winner.state == .subscribed && winner.effectiveTime > loser.effectiveTime
            && winner.isPersonsAct
        return isOverruled ? winner : loser
    }
}

extension StoredConsent {
    /// The newer of two states, the survivor's if they are equally old; but an opt-out, and a
    /// PENDING that represents one, yield only to a strictly newer act of the person, and a
    /// keyword's opt-out remains one.
    private func mergedByAct(with other: StoredConsent) -> StoredConsent {
        let isOtherNewer = other.effectiveTime > self.effectiveTime
        var (winner, loser) = isOtherNewer ? (other, self) : (self, other)
        let isByKeyword = winner.isByKeyword || loser.isByKeyword
        if loser.state == .unsubscribed || loser.isAfterOptOut && !winner.holdsOptOut {
            let isStrictlyNewer = winner.effectiveTime > loser.effectiveTime
            guard isStrictlyNewer, winner.isPersonsAct else {
                loser.isByKeyword = isByKeyword
                return loser
            }
        }
        if winner.state == .pending, loser.holdsOptOut { winner.isAfterOptOut = true }
        if winner.holdsOptOut { winner.isByKeyword = isByKeyword }
        return winner
    }

    /// What is left of an opt-in that the service withdraws: nothing, or the opt-out that a PENDING
    /// has not undone yet.
    func withdrawn(at time: Int64) -> StoredConsent {
        StoredConsent(
            state: self.isAfterOptOut ? .unsubscribed : .unset, source: .system,
            effectiveTime: max(time, self.effectiveTime), isByKeyword: self.isByKeyword)
    }
}

/// How a confirmation ends.
enum ConfirmationOutcome: Equatable {
    case confirmed
    /// The token was used before, or the person is subscribed otherwise: OK, and nothing changes.
    case alreadySubscribed
    case rejected(Rejection)

    /// Days that a confirmation token is good for.
    private static let daysMax: Int64 = 7

    /// - Parameters:
    ///   - pendingSince: The lsn of the first request of the present PENDING.
    ///   - tokenLSN: The lsn of the request that the token was made for.
    ///   - age: Of the token, in microseconds.
    static func evaluate(
        _ stored: StoredConsent, pendingSince: UInt64, tokenLSN: UInt64, age: Int64
    ) -> ConfirmationOutcome {
        switch stored.state {
        case .unsubscribed: return .rejected(.userUnsubscribed)
        case .subscribed: return .alreadySubscribed
        case .unset: return .rejected(.tokenInvalid)
        case .pending:
            // The person opted out after this token was made, and asked anew: the old link does not
            // speak for that.
            guard tokenLSN >= pendingSince else { return .rejected(.userUnsubscribed) }
            return age > Self.daysMax * 86_400 * 1_000_000 ? .rejected(.tokenExpired) : .confirmed
        }
    }
}
