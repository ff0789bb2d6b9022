import Bytes
import Testing

@testable import Profiles

/// Changes of consent through `apply`.
@Suite struct StoreConsentTests {
    static let day: Int64 = 86_400 * TrackFixture.second

    @Test func doubleOptInIsPendingUntilItsTokenConfirmsIt() throws {
        let fixture = TrackFixture()
        fixture.store.project.options.doubleOptIn = 1 << Channel.email.rawValue
        let lookup = try fixture.consent(
            [(.email, "", .subscribed), (.sms, "", .subscribed)], by: .api)
        #expect(
            lookup.states == [.pending, .subscribed] && lookup.tokens[0].count > 20
                && lookup.tokens[1].isEmpty)
        fixture.now += 7 * Self.day
        let confirmed = try fixture.confirm(lookup.tokens[0])
        #expect(
            confirmed.rejection == .none && confirmed.states == [.subscribed]
                && confirmed.revision == 2)
        let subscription = try #require(fixture.subscriptions("ann").first)
        #expect(
            subscription.state == .subscribed && subscription.source == .user
                && subscription.time == fixture.now)
        let again = try fixture.confirm(lookup.tokens[0])
        #expect(again.rejection == .none && again.states.isEmpty && again.revision == 2)
        _ = try fixture.consent([(.email, "", .unsubscribed)], by: .api)
        #expect(try fixture.confirm(lookup.tokens[0]).rejection == .userUnsubscribed)
    }

    @Test func tokenExpiresAfterSevenDaysAndANewRequestGivesANewOne() throws {
        let fixture = TrackFixture()
        fixture.store.project.options.doubleOptIn = 1 << Channel.email.rawValue
        let first = try fixture.consent([(.email, "news", .subscribed)], by: .user)
        fixture.now += 7 * Self.day + 1
        #expect(try fixture.confirm(first.tokens[0]).rejection == .tokenExpired)
        let second = try fixture.consent([(.email, "news", .subscribed)], by: .user)
        #expect(second.states == [.pending] && second.tokens[0] != first.tokens[0])
        #expect(try fixture.confirm(second.tokens[0]).states == [.subscribed])
    }

    @Test func tokenFromBeforeAnOptOutDoesNotConfirmALaterRequest() throws {
        let fixture = TrackFixture()
        fixture.store.project.options.doubleOptIn = 1 << Channel.email.rawValue
        let first = try fixture.consent([(.email, "", .subscribed)], by: .user)
        fixture.now += 1
        _ = try fixture.consent([(.email, "", .unsubscribed)], by: .user)
        fixture.now += 1
        let second = try fixture.consent([(.email, "", .subscribed)], by: .user)
        #expect(try fixture.confirm(first.tokens[0]).rejection == .userUnsubscribed)
        #expect(try fixture.confirm(second.tokens[0]).states == [.subscribed])
    }

    @Test func rejectedChangeLeavesNothingOfItsCall() throws {
        let fixture = TrackFixture()
        _ = try fixture.consent([(.email, "", .unsubscribed)], by: .user)
        let digest = fixture.store.digest()
        let rejected = try fixture.consent(
            [(.sms, "", .subscribed), (.email, "", .subscribed)], by: .api, after: 1)
        #expect(rejected.rejection == .userUnsubscribed && rejected.index == 1)
        #expect(fixture.subscriptions("ann").count == 1)
        #expect(fixture.store.digest() != digest, "the lsn is part of the state")
        #expect(fixture.revision("ann") == 1)
    }

    @Test func revisionMovesOnlyWithWhatAReaderSees() throws {
        let fixture = TrackFixture()
        #expect(try fixture.consent([(.email, "", .subscribed)], by: .user).revision == 1)
        #expect(try fixture.consent([(.email, "", .subscribed)], by: .api, after: 1).revision == 1)
        #expect(
            try fixture.consent([(.email, "", .unset)], by: .api, occurredAt: fixture.now - 5)
                .revision == 1)
        #expect(try fixture.consent([(.email, "", .subscribed)], by: .user, after: 1).revision == 2)
        #expect(
            try fixture.consent([(.email, "", .unset), (.email, "a", .unset)], by: .api, after: 1)
                .revision == 3)
    }

    @Test(arguments: [false, true])
    func changedAddressTakesItsConsentBackWhereTheProjectWantsThat(wants: Bool) throws {
        let fixture = TrackFixture()
        fixture.store.project.options.resetConsentOnAddressChange = wants
        try fixture.setEmail("a@example.org")
        _ = try fixture.consent(
            [(.email, "", .subscribed), (.email, "x", .unsubscribed), (.sms, "", .subscribed)],
            by: .user)
        try fixture.setEmail("A@example.org")
        #expect(
            fixture.subscriptions("ann").map(\.state) == [.subscribed, .unsubscribed, .subscribed],
            "the same address")
        try fixture.setEmail("b@example.org")
        #expect(
            fixture.subscriptions("ann").map(\.state) == [
                wants ? .unset : .subscribed, .unsubscribed, .subscribed,
            ])
        #expect(fixture.subscriptions("ann")[0].source == (wants ? .system : .user))
        #expect(
            try fixture.consent([(.email, "", .subscribed)], by: .api, after: 1).states == [
                .subscribed
            ])
    }

    @Test func tokenOfAnUnknownProfileIsRedeemedWithoutEffect() throws {
        let fixture = TrackFixture()
        let token = ConsentToken(
            kind: .unsubscribe, project: ProjectID(rawValue: 1),
            profileID: ProfileID(high: 9, low: 9), channel: .email,
            topic: .none)
        let response = try fixture.token(.redeemUnsubscribe, token)
        #expect(
            response.rejection == .none && response.states.isEmpty
                && fixture.store.profileCount == 0)
    }

    @Test func replayComesToTheSameState() throws {
        let fixture = TrackFixture()
        fixture.store.project.options.doubleOptIn = 1 << Channel.push.rawValue
        for number in 0 ..< 200 {
            let channel = Channel.allCases[number % 3]
            let state: SubscriptionState = number % 5 == 0 ? .unsubscribed : .subscribed
            let source = ConsentSource.allCases[number % 7]
            if !(state == .subscribed && source == .oneClick) {
                _ = try fixture.consent(
                    [(channel, number % 4 == 0 ? "t\(number % 30)" : "", state)], by: source,
                    after: 1_000,
                    of: "person\(number % 5)")
            }
            try fixture.suppress(UInt64(number % 17), number % 3 == 0 ? nil : .manual)
        }
        let replayed = Store(genesis: TrackFixture.genesis())
        replayed.project.options.doubleOptIn = 1 << Channel.push.rawValue
        for entry in fixture.log {
            let result = try TrackFixture.apply(
                entry.record, to: replayed, firstLSN: entry.firstLSN, receivedAt: entry.receivedAt)
            #expect(result == entry.result)
        }
        #expect(replayed.digest() == fixture.store.digest())
    }
}

/// A result of a change of consent, taken apart.
struct ConsentResponse {
    var rejection = Rejection.none
    var isReplayed = false
    var index: UInt8 = 0
    var revision: UInt64 = 0
    var states: [SubscriptionState] = []
    var applied: [Bool] = []
    var tokens: [[UInt8]] = []

    init?(_ bytes: [UInt8]) {
        let isWhole = bytes.withUnsafeBytes { bytes -> Bool in
            var reader = ByteReader(bytes)
            guard let header = ResultHeader(from: &reader), header.totalBytes == bytes.count else {
                return false
            }
            (self.rejection, self.index) = (header.rejection, header.index)
            self.isReplayed = header.flags.contains(.replayed)
            guard header.rejection == .none else { return true }
            guard let body = SubscriptionResultBody(from: &reader) else { return false }
            self.revision = body.revision
            for _ in 0 ..< body.changeCount {
                guard let change = SubscriptionResultView(from: &reader) else { return false }
                self.states.append(change.state)
                self.applied.append(change.applied)
                self.tokens.append(Array(change.token))
            }
            SubscriptionView.forEach(in: &reader) { _ in }
            return reader.isAtCleanEnd
        }
        guard isWhole else { return nil }
    }
}

extension TrackFixture {
    func consent(
        _ changes: [(Channel, String, SubscriptionState)], by source: ConsentSource,
        after: Int64 = 0,
        occurredAt: Int64? = nil, kind: IdentifierKind = .customID, of customID: String = "ann"
    ) throws -> ConsentResponse {
        self.now += after
        var buffer = ByteBuffer()
        let start = beginRecord(.updateSubscription, in: &buffer)
        withBytes(customID) { identifier in
            SubscriptionHeader(
                project: ProjectID(rawValue: 1), source: source, changeCount: changes.count,
                identifier: IdentifierView(kind: kind, bytes: identifier), requestID: .none,
                occurredAt: occurredAt,
                sentAt: nil, expectedRevision: nil, evidence: nil
            ).write(into: &buffer)
        }
        for (channel, topic, state) in changes {
            withBytes(topic) {
                SubscriptionChangeView(channel: channel, topic: $0, state: state).write(
                    into: &buffer)
            }
        }
        endRecord(at: start, operations: changes.count, in: &buffer)
        guard let response = ConsentResponse(try self.apply(Array(buffer.bytes))) else {
            throw ApplyError.malformed(lsn: 0)
        }
        return response
    }

    func confirm(_ text: [UInt8]) throws -> ConsentResponse {
        var content = ByteBuffer()
        let token = text.withUnsafeBytes {
            self.store.verify($0, .confirmation, in: ProjectID(rawValue: 1), into: &content)
        }
        guard let token else { throw ApplyError.malformed(lsn: 0) }
        return try self.token(.confirmSubscription, token)
    }

    func token(_ kind: RecordKind, _ token: ConsentToken, requestID: String = "") throws
        -> ConsentResponse
    {
        var buffer = ByteBuffer()
        let start = beginRecord(kind, in: &buffer)
        withBytes(requestID) {
            TokenCommand(project: token.project, requestID: $0, token: token, evidence: nil)
                .write(into: &buffer)
        }
        endRecord(at: start, operations: 1, in: &buffer)
        guard let response = ConsentResponse(try self.apply(Array(buffer.bytes))) else {
            throw ApplyError.malformed(lsn: 0)
        }
        return response
    }

    /// Suppresses an address for a reason, or removes all reasons.
    func suppress(_ address: UInt64, _ reason: SuppressionReason?) throws {
        let kind: RecordKind = reason == nil ? .removeSuppression : .addSuppression
        var buffer = ByteBuffer()
        let start = beginRecord(kind, in: &buffer)
        SuppressionCommand(
            project: ProjectID(rawValue: 1), reason: reason,
            address: AddressHash(low: address, high: ~address),
            requestID: .none
        ).write(into: &buffer)
        endRecord(at: start, operations: 1, in: &buffer)
        try self.apply(Array(buffer.bytes))
    }

    /// Gives "ann" an e-mail address.
    func setEmail(_ address: String) throws {
        self.now += 1
        var buffer = ByteBuffer()
        let start = beginRecord(.identify, in: &buffer)
        withBytes("ann") { person in
            IdentifyHeader(
                project: ProjectID(rawValue: 1), flags: [], platform: 0, installationID: .none,
                customID: person,
                requestID: .none, sourceName: .none, occurredAt: 0, sentAt: 0, expectedRevision: 0
            ).write(into: &buffer)
        }
        buffer.appendVarint(1)
        withBytes("email_address") { buffer.appendPrefixed($0) }
        buffer.append(PatchAction.set.rawValue)
        withBytes(address) { buffer.appendPacked(text: $0, isURL: false) }
        endRecord(at: start, operations: 1, in: &buffer)
        try self.apply(Array(buffer.bytes))
    }

    func revision(_ customID: String) -> UInt64? {
        var buffer = ByteBuffer()
        withBytes(customID) {
            _ = self.store.read(
                project: ProjectID(rawValue: 1),
                identifier: IdentifierView(kind: .customID, bytes: $0), now: self.now,
                into: &buffer)
        }
        return ProfileImage(buffer.bytes)?.revision
    }

    func subscriptions(
        _ customID: String
    ) -> [(
        channel: Channel, topic: String, state: SubscriptionState, source: ConsentSource,
        time: Int64
    )] {
        var buffer = ByteBuffer()
        withBytes(customID) {
            _ = self.store.read(
                project: ProjectID(rawValue: 1),
                identifier: IdentifierView(kind: .customID, bytes: $0), now: self.now,
                into: &buffer)
        }
        var found:
            [(
                channel: Channel, topic: String, state: SubscriptionState, source: ConsentSource,
                time: Int64
            )] = []
        ProfileImage(buffer.bytes)?.forEachSubscription {
            found.append(
                (
                    $0.channel, String(decoding: $0.topic, as: UTF8.self), $0.state, $0.source,
                    $0.effectiveTime
                ))
        }
        return found
    }
}
