import Testing

@testable import Profiles

/// The table of docs/rules.md, section 5, row by row: what is stored, what is asked, what comes of
/// it.
@Suite struct ConsentTransitionTests {
    /// One line: a state stored at time 100, a change, and what is stored after it.
    struct Row: CustomTestStringConvertible {
        var stored: StoredConsent
        var change: ConsentChange
        var outcome: ConsentOutcome

        init(
            _ from: SubscriptionState, _ by: ConsentSource, to: SubscriptionState,
            _ source: ConsentSource, at time: Int64 = 200,
            channel: Channel = .email, keyword: Bool = false, reference: Bool = false,
            confirms: Bool = false,
            _ outcome: Expected
        ) {
            self.stored = StoredConsent(
                state: from, source: by, effectiveTime: 100, isByKeyword: keyword)
            self.change = ConsentChange(
                channel: channel, state: to, source: source, effectiveTime: time,
                hasReference: reference,
                needsConfirmation: confirms)
            switch outcome {
            case .stale: self.outcome = .stale
            case .rejected: self.outcome = .rejected
            case .kept: self.outcome = .applied(self.stored, needsToken: false)
            case .pending:
                self.outcome = .applied(
                    StoredConsent(
                        state: .pending, source: source, effectiveTime: time,
                        isByKeyword: keyword, isAfterOptOut: from == .unsubscribed),
                    needsToken: true)
            case .joined(let source):
                self.outcome = .applied(
                    StoredConsent(
                        state: .unsubscribed, source: source, effectiveTime: max(time, 100),
                        isByKeyword: keyword),
                    needsToken: false)
            case .taken:
                let isByKeyword =
                    to == .unsubscribed && (keyword || channel == .sms && source == .smsKeyword)
                self.outcome = .applied(
                    StoredConsent(
                        state: to, source: source, effectiveTime: time, isByKeyword: isByKeyword),
                    needsToken: false)
            }
        }

        var testDescription: String { "\(self.stored) ← \(self.change)" }
    }

    enum Expected {
        /// The change stands.
        case taken
        /// Applied, and what was stored stands.
        case kept
        case pending
        /// Both opt-outs hold: the later time, and this source.
        case joined(ConsentSource)
        case stale
        case rejected
    }

    static let rows: [Row] = [
        // The time rule.
        Row(.subscribed, .user, to: .subscribed, .user, at: 99, .stale),
        Row(.subscribed, .api, to: .unset, .user, at: 99, .stale),
        Row(.unset, .api, to: .subscribed, .user, at: 99, .stale),
        Row(.unsubscribed, .api, to: .subscribed, .user, at: 99, .stale),
        Row(.unsubscribed, .user, to: .subscribed, .api, at: 99, .stale),
        Row(.unsubscribed, .api, to: .subscribed, .user, at: 100, .stale),
        Row(.unsubscribed, .api, to: .unset, .user, at: 100, .stale),
        Row(.subscribed, .user, to: .unset, .user, at: 100, .taken),
        Row(.subscribed, .user, to: .unsubscribed, .api, at: 100, .taken),
        // A late opt-out.
        Row(.subscribed, .user, to: .unsubscribed, .user, at: 99, .stale),
        Row(.subscribed, .preferenceCenter, to: .unsubscribed, .api, at: 99, .stale),
        Row(.subscribed, .api, to: .unsubscribed, .api, at: 99, .taken),
        Row(.subscribed, .support, to: .unsubscribed, .imported, at: 99, .taken),
        Row(.pending, .user, to: .unsubscribed, .user, at: 99, .taken),
        Row(.unset, .user, to: .unsubscribed, .api, at: 99, .taken),
        // Any → UNSUBSCRIBED.
        Row(.subscribed, .user, to: .unsubscribed, .api, .taken),
        Row(.unset, .user, to: .unsubscribed, .oneClick, .taken),
        Row(.unsubscribed, .api, to: .unsubscribed, .user, .taken),
        Row(.unsubscribed, .api, to: .unsubscribed, .user, at: 99, .joined(.user)),
        Row(.unsubscribed, .user, to: .unsubscribed, .api, .joined(.user)),
        Row(.unsubscribed, .oneClick, to: .unsubscribed, .imported, .joined(.oneClick)),
        Row(.unsubscribed, .user, to: .unsubscribed, .support, .taken),
        Row(.unsubscribed, .api, to: .unsubscribed, .imported, at: 99, .kept),
        Row(.unsubscribed, .user, to: .unsubscribed, .user, at: 99, .kept),
        Row(
            .unsubscribed, .smsKeyword, to: .unsubscribed, .user, channel: .sms, keyword: true,
            .taken),
        Row(
            .unsubscribed, .smsKeyword, to: .unsubscribed, .api, channel: .sms, keyword: true,
            .joined(.smsKeyword)),
        Row(.unset, .system, to: .unsubscribed, .smsKeyword, channel: .sms, .taken),
        // SUBSCRIBED → SUBSCRIBED.
        Row(.subscribed, .user, to: .subscribed, .api, .kept),
        Row(.subscribed, .smsKeyword, to: .subscribed, .imported, .kept),
        Row(.subscribed, .user, to: .subscribed, .support, .kept),
        Row(.subscribed, .user, to: .subscribed, .preferenceCenter, .taken),
        Row(.subscribed, .api, to: .subscribed, .imported, .taken),
        Row(.subscribed, .api, to: .subscribed, .support, .taken),
        Row(.subscribed, .support, to: .subscribed, .api, .taken),
        Row(.subscribed, .api, to: .subscribed, .user, confirms: true, .taken),
        // UNSET → SUBSCRIBED.
        Row(.unset, .user, to: .subscribed, .api, .taken),
        Row(.unset, .user, to: .subscribed, .user, confirms: true, .pending),
        Row(.unset, .user, to: .subscribed, .api, confirms: true, .pending),
        // PENDING → SUBSCRIBED.
        Row(.pending, .user, to: .subscribed, .user, confirms: true, .pending),
        Row(.pending, .user, to: .subscribed, .api, confirms: true, .pending),
        Row(.pending, .user, to: .subscribed, .user, confirms: false, .pending),
        // UNSUBSCRIBED → SUBSCRIBED.
        Row(.unsubscribed, .api, to: .subscribed, .user, .taken),
        Row(.unsubscribed, .user, to: .subscribed, .preferenceCenter, .taken),
        Row(.unsubscribed, .user, to: .subscribed, .user, confirms: true, .pending),
        Row(.unsubscribed, .api, to: .subscribed, .api, .rejected),
        Row(.unsubscribed, .api, to: .subscribed, .imported, .rejected),
        Row(.unsubscribed, .user, to: .subscribed, .support, .rejected),
        Row(.unsubscribed, .user, to: .subscribed, .support, reference: true, .taken),
        Row(.unsubscribed, .user, to: .subscribed, .api, reference: true, .rejected),
        // By keyword.
        Row(
            .unsubscribed, .smsKeyword, to: .subscribed, .user, channel: .sms, keyword: true,
            .rejected),
        Row(
            .unsubscribed, .user, to: .subscribed, .support, channel: .sms, keyword: true,
            reference: true, .rejected),
        Row(
            .unsubscribed, .user, to: .subscribed, .smsKeyword, channel: .sms, keyword: true, .taken
        ),
        Row(
            .unsubscribed, .smsKeyword, to: .subscribed, .smsKeyword, channel: .sms, keyword: true,
            confirms: true, .pending),
        // → UNSET.
        Row(.unsubscribed, .api, to: .unset, .api, .rejected),
        Row(.unsubscribed, .api, to: .unset, .support, reference: true, .rejected),
        Row(.unsubscribed, .api, to: .unset, .oneClick, .rejected),
        Row(.unsubscribed, .api, to: .unset, .user, .taken),
        Row(
            .unsubscribed, .smsKeyword, to: .unset, .user, channel: .sms, keyword: true, .rejected),
        Row(
            .unsubscribed, .smsKeyword, to: .unset, .smsKeyword, channel: .sms, keyword: true,
            .taken),
        Row(.subscribed, .user, to: .unset, .api, .taken),
        Row(.pending, .user, to: .unset, .api, .taken),
        Row(.unset, .user, to: .unset, .imported, .taken),
    ]

    @Test(arguments: Self.rows)
    func rowOfTheTableHasItsOutcome(row: Row) {
        #expect(row.stored.evaluate(row.change, rules: .current) == row.outcome)
    }

    @Test func keyThatWasNeverSetHasNoTime() {
        let change = ConsentChange(
            channel: .push, state: .subscribed, source: .api, effectiveTime: -5)
        #expect(
            StoredConsent().evaluate(change, rules: .current)
                == .applied(
                    StoredConsent(state: .subscribed, source: .api, effectiveTime: -5),
                    needsToken: false))
    }

    // MARK: Confirmation

    /// A state, the lsn that it is pending since, the token's lsn and age, and how its confirmation
    /// ends.
    struct ConfirmationRow {
        var state: SubscriptionState
        var pendingSince: UInt64
        var tokenLSN: UInt64
        var age: Int64
        var outcome: ConfirmationOutcome

        init(
            _ state: SubscriptionState, _ pendingSince: UInt64, _ tokenLSN: UInt64, days: Int64,
            _ outcome: ConfirmationOutcome
        ) {
            self.state = state
            self.pendingSince = pendingSince
            self.tokenLSN = tokenLSN
            self.age = days * 86_400_000_000
            self.outcome = outcome
        }
    }

    static let confirmations: [ConfirmationRow] = [
        ConfirmationRow(.pending, 10, 10, days: 0, .confirmed),
        ConfirmationRow(.pending, 10, 12, days: 7, .confirmed),
        ConfirmationRow(.pending, 10, 12, days: 8, .rejected(.tokenExpired)),
        ConfirmationRow(.pending, 10, 9, days: 0, .rejected(.userUnsubscribed)),
        ConfirmationRow(.subscribed, 0, 9, days: 30, .alreadySubscribed),
        ConfirmationRow(.unsubscribed, 0, 9, days: 0, .rejected(.userUnsubscribed)),
        ConfirmationRow(.unset, 0, 9, days: 0, .rejected(.tokenInvalid)),
    ]

    @Test(arguments: Self.confirmations)
    func confirmationHasItsOutcome(row: ConfirmationRow) {
        let stored = StoredConsent(state: row.state, source: .user, effectiveTime: 100)
        let outcome = ConfirmationOutcome.evaluate(
            stored, pendingSince: row.pendingSince, tokenLSN: row.tokenLSN, age: row.age)
        #expect(outcome == row.outcome)
    }

    // MARK: Merge

    /// Two states of one key, and whether the survivor's stands.
    struct MergeRow {
        var survivor: StoredConsent
        var loser: StoredConsent
        var isSurvivor: Bool

        init(
            _ survivor: (SubscriptionState, ConsentSource, Int64),
            _ loser: (SubscriptionState, ConsentSource, Int64),
            _ isSurvivor: Bool
        ) {
            self.survivor = StoredConsent(
                state: survivor.0, source: survivor.1, effectiveTime: survivor.2)
            self.loser = StoredConsent(state: loser.0, source: loser.1, effectiveTime: loser.2)
            self.isSurvivor = isSurvivor
        }
    }

    static let merges: [MergeRow] = [
        MergeRow((.subscribed, .user, 100), (.subscribed, .api, 99), true),
        MergeRow((.subscribed, .user, 100), (.subscribed, .api, 101), false),
        MergeRow((.subscribed, .user, 100), (.subscribed, .api, 100), true),
        MergeRow((.subscribed, .user, 100), (.unsubscribed, .api, 100), false),
        MergeRow((.unsubscribed, .api, 100), (.subscribed, .user, 100), true),
        MergeRow((.subscribed, .user, 101), (.unsubscribed, .user, 100), true),
        MergeRow((.subscribed, .api, 101), (.unsubscribed, .api, 100), false),
        MergeRow((.unsubscribed, .user, 100), (.subscribed, .user, 101), false),
        MergeRow((.unsubscribed, .user, 100), (.subscribed, .support, 101), true),
        MergeRow((.unsubscribed, .user, 100), (.unset, .user, 101), false),
        MergeRow((.unset, .preferenceCenter, 101), (.unsubscribed, .user, 100), true),
        MergeRow((.unsubscribed, .user, 100), (.unset, .user, 100), true),
        MergeRow((.unsubscribed, .api, 100), (.unset, .api, 101), true),
        MergeRow((.unset, .system, 101), (.unsubscribed, .api, 100), false),
        MergeRow((.unsubscribed, .api, 100), (.pending, .api, 101), true),
        MergeRow((.unsubscribed, .user, 100), (.unsubscribed, .user, 101), false),
        MergeRow((.unsubscribed, .user, 100), (.unsubscribed, .user, 100), true),
    ]

    @Test(arguments: Self.merges)
    func mergeKeepsTheNewerAndNeverForgetsAnOptOut(row: MergeRow) {
        #expect(
            row.survivor.merged(with: row.loser, rules: .current)
                == (row.isSurvivor ? row.survivor : row.loser))
    }

    @Test func mergedOptOutsKeepTheLaterTimeAndThePersonsSource() {
        let person = StoredConsent(state: .unsubscribed, source: .user, effectiveTime: 100)
        let machine = StoredConsent(state: .unsubscribed, source: .api, effectiveTime: 101)
        let joined = StoredConsent(state: .unsubscribed, source: .user, effectiveTime: 101)
        #expect(person.merged(with: machine, rules: .current) == joined)
        #expect(machine.merged(with: person, rules: .current) == joined)
    }

    @Test func pendingRepresentsTheOptOutThatItBeatInAMerge() throws {
        let optOut = StoredConsent(
            state: .unsubscribed, source: .smsKeyword, effectiveTime: 100, isByKeyword: true)
        let pending = StoredConsent(state: .pending, source: .user, effectiveTime: 101)
        for merged in [
            optOut.merged(with: pending, rules: .current),
            pending.merged(with: optOut, rules: .current),
        ] {
            #expect(merged.state == .pending && merged.isAfterOptOut && merged.isByKeyword)
        }
    }

    @Test func noMachinesStateBeatsAPendingThatRepresentsAnOptOut() {
        let pending = StoredConsent(
            state: .pending, source: .smsKeyword, effectiveTime: 101, isByKeyword: true,
            isAfterOptOut: true)
        for state in [SubscriptionState.unset, .subscribed, .pending] {
            let machine = StoredConsent(state: state, source: .api, effectiveTime: 200)
            #expect(pending.merged(with: machine, rules: .current) == pending)
            #expect(machine.merged(with: pending, rules: .current) == pending)
        }
        let person = StoredConsent(state: .subscribed, source: .user, effectiveTime: 200)
        #expect(pending.merged(with: person, rules: .current) == person)
        let optOut = StoredConsent(state: .unsubscribed, source: .api, effectiveTime: 200)
        let kept = optOut.merged(with: pending, rules: .current)
        #expect(kept.state == .unsubscribed && kept.isByKeyword)
        let change = ConsentChange(
            channel: .sms, state: .unsubscribed, source: .api, effectiveTime: 200)
        #expect(pending.evaluate(change, rules: .current) == .applied(kept, needsToken: false))
    }

    @Test(arguments: [ConsentSource.api, .imported, .support, .oneClick])
    func noMachineWithdrawsTheOptOutThatAPendingRepresents(source: ConsentSource) throws {
        let optOut = StoredConsent(state: .unsubscribed, source: .user, effectiveTime: 100)
        var change = ConsentChange(
            channel: .email, state: .subscribed, source: .user, effectiveTime: 200,
            needsConfirmation: true)
        guard
            case .applied(let pending, needsToken: true) = optOut.evaluate(change, rules: .current)
        else {
            Issue.record("the opt-in does not wait for a confirmation")
            return
        }
        (change.state, change.source, change.effectiveTime) = (.unset, source, 300)
        #expect(pending.evaluate(change, rules: .current) == .rejected)
        change.source = .preferenceCenter
        #expect(pending.evaluate(change, rules: .current) != .rejected)
        #expect(pending.withdrawn(at: 300).state == .unsubscribed)
        // Without an opt-out before it nothing is lost.
        let fresh = StoredConsent(state: .pending, source: .user, effectiveTime: 200)
        change.source = source
        #expect(fresh.evaluate(change, rules: .current) != .rejected)
        #expect(fresh.withdrawn(at: 300).state == .unset)
    }

    @Test func framesOfVersion1KeepTheirOutcome() {
        let person = StoredConsent(state: .unsubscribed, source: .user, effectiveTime: 100)
        let machine = StoredConsent(state: .unsubscribed, source: .api, effectiveTime: 101)
        #expect(person.merged(with: machine, rules: Rules(version: 1)) == person)
        let unset = StoredConsent(state: .unset, source: .user, effectiveTime: 101)
        #expect(person.merged(with: unset, rules: Rules(version: 1)) == person)
        let change = ConsentChange(
            channel: .email, state: .unsubscribed, source: .api, effectiveTime: 200)
        let kept = ConsentOutcome.applied(person, needsToken: false)
        #expect(person.evaluate(change, rules: Rules(version: 1)) == kept)
    }

    @Test func keyThatOnlyOneHasIsTaken() {
        let stored = StoredConsent(state: .unset, source: .user, effectiveTime: 5)
        #expect(StoredConsent().merged(with: stored, rules: .current) == stored)
    }

    @Test func keywordBindsAfterAMergeWhoeverOptedOutLast() {
        let keyword = StoredConsent(
            state: .unsubscribed, source: .smsKeyword, effectiveTime: 1, isByKeyword: true)
        let later = StoredConsent(state: .unsubscribed, source: .user, effectiveTime: 2)
        #expect(
            later.merged(with: keyword, rules: .current).isByKeyword
                && keyword.merged(with: later, rules: .current).isByKeyword)
    }

    // MARK: Verdicts

    @Test func verdictsFollowTheOrderOfTheContract() {
        var check = SendableCheck()
        check.reasons = [.hardBounce, .invalid, .manual, .complaint]
        check.channelState = .unsubscribed
        check.topicState = .unsubscribed
        func verdict() -> String { "\(check.verdict.isSendable) \(check.verdict.reason)" }
        #expect(verdict() == "false noAddress")
        check.hasAddress = true
        #expect(verdict() == "false hardBounce")
        check.reasons.remove(.hardBounce)
        #expect(verdict() == "false invalid")
        check.reasons.remove(.invalid)
        #expect(verdict() == "false manual")
        check.reasons.remove(.manual)
        check.messageClass = .transactional
        #expect(verdict() == "true ok")
        check.messageClass = .marketing
        #expect(verdict() == "false complaint")
        check.reasons = []
        #expect(verdict() == "false channelNotSubscribed")
        check.channelState = .subscribed
        #expect(verdict() == "false topicUnsubscribed")
        check.topicState = .unset
        #expect(verdict() == "true topicDefault")
        check.isTopicUnsubscribedByDefault = true
        #expect(verdict() == "false topicDefault")
        check.topicState = .subscribed
        #expect(verdict() == "true ok")
        check.topicState = nil
        #expect(verdict() == "true ok")
    }
}
