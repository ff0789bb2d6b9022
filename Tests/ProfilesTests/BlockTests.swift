import Bytes
import Testing

@testable import Profiles

/// The identifiers of erased people cannot be used for a while, and their kept responses are gone.
@Suite struct BlockTests {
    static let day: Int64 = 86_400 * TrackFixture.second

    /// Ann with a phone, erased.
    private static func erased(limits: StoreLimits = StoreLimits()) throws -> (
        fixture: TrackFixture, until: Int64
    ) {
        let fixture = TrackFixture(limits: limits)
        try fixture.apply(IdentifySpec(device: "phone", person: "ann").record)
        try fixture.erase("ann")
        return (fixture, fixture.now + 30 * Self.day)
    }

    @Test func everyWriteWithABlockedIdentifierIsRejectedAndMakesNobody() throws {
        let (fixture, until) = try Self.erased()
        for spec in [
            TrackSpec("ann"), .installation("phone"),
            TrackSpec("ann").with { $0.expectedRevision = 0 },
        ] {
            let response = try fixture.track(spec)
            #expect(response.rejection == .identifierErased && response.detail == UInt64(until))
        }
        for spec in [
            IdentifySpec(person: "ann"), IdentifySpec(device: "phone"),
            IdentifySpec(device: "phone", isLogOut: true),
            IdentifySpec(device: "phone", person: "bob"),
            IdentifySpec(device: "tablet", person: "ann"),
        ] {
            #expect(try fixture.outcome(spec.record) == (.identifierErased, UInt64(until)))
        }
        #expect(
            try fixture.consent([(.email, "", .unsubscribed)], by: .user).rejection
                == .identifierErased)
        #expect(
            try fixture.outcome(fixture.batch([TrackSpec("bob"), TrackSpec("ann")])).rejection
                == .identifierErased)
        #expect(fixture.store.profileCount == 0)
        #expect(
            try fixture.outcome(
                fixture.batch([TrackSpec("bob"), TrackSpec("ann")], isBestEffort: true)
            ).rejection == .none)
        #expect(fixture.store.profileCount == 1, "the other write of the batch stands")
    }

    /// Its bytes are in the log: snapshots are due until they are not.
    @Test func rejectedCallCountsAsTheLastErasure() throws {
        let (fixture, _) = try Self.erased()
        let erased = fixture.lsn
        try fixture.track(TrackSpec("bob"))
        #expect(fixture.store.lastEraseLSN == erased)
        for record in [
            TrackSpec("ann").record, fixture.batch([TrackSpec("bob"), TrackSpec("ann")]),
            fixture.batch([TrackSpec("bob"), TrackSpec("ann")], isBestEffort: true),
        ] {
            try fixture.apply(record)
            #expect(
                fixture.store.lastEraseLSN == fixture.lsn, "also where a batch was rolled back")
        }
    }

    @Test func loopSeesABlockBeforeTheLog() throws {
        let (fixture, until) = try Self.erased()
        func blockedUntil(_ record: [UInt8]) -> Int64? {
            record.withUnsafeBytes {
                RecordView($0).flatMap { fixture.store.blockedUntil($0, now: fixture.now) }
            }
        }
        #expect(blockedUntil(TrackSpec("ann").record) == until)
        #expect(blockedUntil(TrackSpec.installation("phone").record) == until)
        #expect(blockedUntil(IdentifySpec(device: "phone", person: "bob").record) == until)
        #expect(blockedUntil(IdentifySpec(device: "other", person: "ann").record) == until)
        #expect(blockedUntil(TrackSpec("bob").record) == nil)
        fixture.now = until
        #expect(blockedUntil(TrackSpec("ann").record) == nil)
    }

    @Test func blockEndsByTimeWithOrWithoutATick() throws {
        let (fixture, until) = try Self.erased()
        fixture.now = until - 1
        #expect(try fixture.track(TrackSpec("ann")).rejection == .identifierErased)
        fixture.now = until
        #expect(fixture.store.tickDue(at: until))
        #expect(try fixture.track(TrackSpec("ann")).rejection == .none)
        #expect(fixture.store.blockedIdentifierCount == 2, "no tick has run")
        try fixture.tick()
        #expect(fixture.store.blockedIdentifierCount == 0)
        #expect(
            try fixture.outcome(IdentifySpec(device: "phone", person: "ann").record).rejection
                == .none)
    }

    @Test func identifierErasedAgainBeforeATickIsBlockedAgain() throws {
        let (fixture, until) = try Self.erased()
        fixture.now = until
        try fixture.track(TrackSpec("ann"))
        try fixture.erase("ann", after: 7)
        #expect(try fixture.track(TrackSpec("ann")).detail == UInt64(until + 7 + 30 * Self.day))
        try fixture.tick()
        #expect(fixture.store.blockedIdentifierCount == 1)
        #expect(try fixture.track(TrackSpec("ann")).rejection == .identifierErased)
    }

    @Test func overTheBoundTheOldestBlocksLeave() throws {
        var limits = StoreLimits()
        limits.blocksPerProject = 3
        let (fixture, _) = try Self.erased(limits: limits)
        for name in ["bob", "cid"] {
            try fixture.track(TrackSpec(name), after: 1)
            try fixture.erase(name, after: 1)
        }
        #expect(fixture.store.blockedIdentifierCount == 3)
        #expect(
            try fixture.track(TrackSpec("ann")).rejection == .none,
            "the custom id was blocked first")
        #expect(try fixture.track(.installation("phone")).rejection == .identifierErased)
        #expect(try fixture.track(TrackSpec("bob")).rejection == .identifierErased)
    }

    @Test func deviceThatMovedToSomebodyElseStaysTheirs() throws {
        let fixture = TrackFixture()
        try fixture.track(.installation("phone"))
        try fixture.apply(IdentifySpec(person: "ann").record)
        try fixture.apply(IdentifySpec(device: "phone", person: "ann").record)
        fixture.now += 1
        try fixture.apply(IdentifySpec(device: "phone", person: "bob").record)
        try fixture.erase("ann")
        #expect(try fixture.track(.installation("phone")).rejection == .none)
        #expect(fixture.store.blockedIdentifierCount == 1)
    }

    @Test func lateEventOfAnErasedHolderIsRejectedAndSoIsALatePatch() throws {
        let fixture = TrackFixture()
        try fixture.apply(IdentifySpec(device: "phone", person: "ann").record)
        let then = fixture.now + 1
        fixture.now += 10
        try fixture.apply(IdentifySpec(device: "phone", person: "bob").record)
        try fixture.erase("ann")
        fixture.now += 10
        let late = EventSpec(occurredAt: then)
        let rejected = try fixture.track(.installation("phone", [EventSpec(), late]))
        #expect(
            rejected.rejection == .identifierErased && rejected.index == 1
                && rejected.bad.map(\.index) == [1])
        let partial = try fixture.track(
            .installation("phone", [EventSpec(), late]).with { $0.flags = .allowPartial })
        #expect(partial.events.map(\.outcome) == [.stored, .rejected])
        #expect(
            partial.events[1].rejection == .identifierErased && partial.events[1].holder == .none)
        let patch = IdentifySpec(device: "phone", occurredAt: then, patch: [("a", .set, 1, [])])
        #expect(try fixture.outcome(patch.record).rejection == .identifierErased)
    }

    @Test func eventIDsOfTheErasedAreFreeOnceTheBlockEnds() throws {
        let fixture = TrackFixture()
        try fixture.track(TrackSpec("ann", [EventSpec(id: "one")]))
        try fixture.erase("ann")
        fixture.now += 30 * Self.day
        #expect(
            try fixture.track(TrackSpec("ann", [EventSpec(id: "one")])).events[0].outcome == .stored
        )
    }

    // MARK: Kept responses

    @Test func storedResponsesThatNameThePersonAreErasedAndTheirIDsStayKnown() throws {
        let fixture = TrackFixture()
        let ann = TrackSpec("ann").with { $0.requestID = "of-ann" }
        let bob = TrackSpec("bob").with { $0.requestID = "of-bob" }
        let id = try fixture.track(ann).profileID
        let original = try fixture.track(bob)
        let both = fixture.batch([TrackSpec("bob"), TrackSpec("ann")], requestID: "of-both")
        try fixture.apply(both)
        let byID = TrackSpec.profile(id).with { $0.requestID = "by-id" }
        try fixture.track(byID)
        try fixture.erase("ann", requestID: "erase")
        #expect(try fixture.track(ann).rejection == .identifierErased)
        #expect(try fixture.outcome(both) == (.identifierErased, 0))
        #expect(try fixture.track(byID).rejection == .identifierErased)
        #expect(
            try fixture.track(
                byID.with {
                    $0.identifier = Array("eve".utf8)
                    $0.kind = .customID
                }
            ).rejection == .identifierErased)
        let replayed = try fixture.track(bob)
        #expect(replayed.isReplayed && replayed.lsn == original.lsn)
        let again = try fixture.erase("ann", requestID: "erase", after: 3)
        #expect(
            again.isReplayed && again.existed && again.logPurgeDue == fixture.now - 3 + Self.day)
        #expect(try fixture.erase("bob", requestID: "erase").rejection == .requestIDReused)
        #expect(fixture.store.project.requests.count == 5)
        for text in ["of-ann", "of-both", "by-id"] { #expect(!fixture.slabContains(text)) }
        fixture.now += Self.day + 1
        try fixture.tick()
        #expect(fixture.store.project.requests.count == 0)
        #expect(
            try fixture.track(TrackSpec("eve").with { $0.requestID = "by-id" }).rejection == .none)
    }

    @Test func responseThatNamesAFormerHolderIsErasedWithThem() throws {
        let fixture = TrackFixture()
        try fixture.apply(IdentifySpec(device: "phone", person: "ann").record)
        let then = fixture.now + 1
        fixture.now += 10
        try fixture.apply(IdentifySpec(device: "phone", person: "bob").record)
        fixture.now += 10
        let spec = TrackSpec.installation("phone", [EventSpec(), EventSpec(occurredAt: then)]).with
        { $0.requestID = "late" }
        let response = try fixture.track(spec)
        try #require(response.events[0].holder != response.events[1].holder)
        try fixture.erase("ann")
        #expect(try fixture.track(spec).rejection == .identifierErased)
    }

    @Test func responseGivenBeforeAMergeIsErasedWithTheSurvivor() throws {
        let fixture = TrackFixture()
        let spec = TrackSpec.installation("phone").with { $0.requestID = "before" }
        try fixture.track(spec)
        try fixture.apply(IdentifySpec(person: "ann").record)
        try fixture.apply(IdentifySpec(device: "phone", person: "ann").record)
        try fixture.erase("ann")
        fixture.now += 1
        #expect(!fixture.slabContains("before"))
        #expect(
            try fixture.track(spec.with { $0.identifier = Array("other".utf8) }).rejection
                == .identifierErased)
    }

    // MARK: Tokens

    @Test func unsubscribeLinkOfTheErasedSucceedsAndAConfirmationDoesNot() throws {
        let fixture = TrackFixture()
        fixture.store.project.options.doubleOptIn = 1 << Channel.email.rawValue
        let lookup = try fixture.consent([(.email, "", .subscribed)], by: .user)
        let profile = try #require(EraseTests.only(fixture))
        let token = ConsentToken(
            kind: .unsubscribe, project: ProjectID(rawValue: 1),
            profileID: fixture.store.pool.header(profile).pointee.id,
            channel: .email, topic: .none)
        #expect(fixture.store.isKnown(token))
        try fixture.erase("ann")
        #expect(!fixture.store.isKnown(token))
        let redeemed = try fixture.token(.redeemUnsubscribe, token)
        #expect(redeemed.rejection == .none && redeemed.states.isEmpty)
        #expect(try fixture.confirm(lookup.tokens[0]).rejection == .tokenInvalid)
        #expect(fixture.store.profileCount == 0)
    }

    /// The response that named the person is erased, and the request id is still known. A link in
    /// an e-mail must work all the same, and its response is not kept: it would name the person.
    @Test func unsubscribeLinkWithTheRequestIDOfAnErasedCallSucceeds() throws {
        let fixture = TrackFixture()
        _ = try fixture.consent([(.email, "", .subscribed)], by: .user)
        let profile = try #require(EraseTests.only(fixture))
        let token = ConsentToken(
            kind: .unsubscribe, project: ProjectID(rawValue: 1),
            profileID: fixture.store.pool.header(profile).pointee.id,
            channel: .email, topic: .none)
        let first = try fixture.token(.redeemUnsubscribe, token, requestID: "link")
        #expect(first.rejection == .none && first.states == [.unsubscribed])
        try fixture.erase("ann")
        let requests = fixture.store.project.requests.count
        let erased = fixture.store.lastEraseLSN
        for _ in 0 ..< 2 {
            let again = try fixture.token(.redeemUnsubscribe, token, requestID: "link")
            #expect(again.rejection == .none && again.states.isEmpty && !again.isReplayed)
        }
        #expect(fixture.store.project.requests.count == requests)
        #expect(fixture.store.lastEraseLSN == erased)
    }
}
