import Bytes
import Testing

@testable import Profiles

/// The rules of Track, one by one.
@Suite struct TrackTests {
    static let second = TrackFixture.second
    static let day: Int64 = 86_400 * second

    // MARK: Existence and creation

    @Test func unknownCustomIDCreatesAnIdentifiedProfile() throws {
        let fixture = TrackFixture()
        let response = try fixture.track()
        #expect(response.revision == 1)
        let profile = try #require(fixture.read("ann"))
        #expect(profile.state == .identified)
        #expect(profile.id == response.profileID)
        #expect(profile.customID == "ann")
        #expect(profile.installations.isEmpty)
        #expect(profile.createdAt == fixture.now && profile.updatedAt == fixture.now)
        #expect(
            profile.counters == [
                .init(name: "visit", count: 1, first: fixture.now, last: fixture.now)
            ])
        #expect(fixture.read(.profileID, response.profileID.binary) == profile)
        #expect(fixture.store.profileCount == 1)
    }

    @Test func unknownInstallationCreatesAnAnonymousProfileThatListsIt() throws {
        let fixture = TrackFixture()
        try fixture.track(.installation("phone"))
        let created = fixture.now
        try fixture.track(.installation("phone"), after: 5)
        let profile = try #require(fixture.read(.installationID, Array("phone".utf8)))
        #expect(profile.state == .anonymous)
        #expect(profile.customID.isEmpty)
        #expect(
            profile.installations == [
                .init(
                    id: "phone", platform: Platform.web.rawValue, attachedAt: created,
                    lastSeenAt: created + 5)
            ])
    }

    @Test func sameBytesAsAnotherKindOrInAnotherProjectAreAnotherIdentifier() throws {
        let fixture = TrackFixture()
        try fixture.track()
        #expect(fixture.read(.installationID, Array("ann".utf8)) == nil)
        #expect(fixture.read(.customID, Array("ann".utf8), project: 2) == nil)
        #expect(fixture.read("anne") == nil)
    }

    @Test func unknownProjectIsRejected() throws {
        let fixture = TrackFixture()
        #expect(
            try fixture.track(TrackSpec().with { $0.project = 9 }).rejection == .projectNotFound)
        #expect(fixture.store.profileCount == 0)
    }

    @Test func unknownProfileIDAndMustExistAreRejected() throws {
        let fixture = TrackFixture()
        #expect(
            try fixture.track(.profile(ProfileID(high: 1, low: 1))).rejection == .profileNotFound)
        let mustExist = TrackSpec().with { $0.flags = .mustExist }
        #expect(try fixture.track(mustExist).rejection == .profileNotFound)
        #expect(fixture.store.profileCount == 0)
        try fixture.track()
        #expect(try fixture.track(mustExist).rejection == .none)
    }

    @Test func expectedRevisionComesBeforeExistence() throws {
        let fixture = TrackFixture()
        let spec = TrackSpec().with {
            $0.flags = .mustExist
            $0.expectedRevision = 3
        }
        let response = try fixture.track(spec)
        #expect(response.rejection == .revisionMismatch)
        #expect(response.detail == 0)
        #expect(try fixture.track(TrackSpec().with { $0.expectedRevision = 0 }).revision == 1)
        #expect(try fixture.track(TrackSpec().with { $0.expectedRevision = 0 }).detail == 1)
        #expect(try fixture.track(TrackSpec().with { $0.expectedRevision = 1 }).revision == 2)
    }

    @Test func replayComesBeforeExpectedRevision() throws {
        let fixture = TrackFixture()
        let spec = TrackSpec().with {
            $0.requestID = "r"
            $0.expectedRevision = 0
        }
        let first = try fixture.track(spec)
        var second = try fixture.track(spec)
        #expect(second.isReplayed)
        second.isReplayed = false
        #expect(second == first)
    }

    // MARK: Order and revisions

    @Test func eventsOfACallHaveConsecutiveLSNsAndTheCallHasTheLast() throws {
        let fixture = TrackFixture()
        try fixture.track()
        let events = [EventSpec(id: "a"), EventSpec(id: "a"), EventSpec(id: "b", violation: "bad")]
        let response = try fixture.track(TrackSpec("ann", events).with { $0.flags = .allowPartial })
        #expect(response.events.map(\.lsn) == [2, 3, 4])
        #expect(response.lsn == 4)
        #expect(fixture.store.appliedLSN == 4)
    }

    @Test func oneCallOfManyEventsRaisesTheRevisionByOne() throws {
        let fixture = TrackFixture()
        try fixture.track()
        let response = try fixture.track(
            TrackSpec("ann", (0 ..< 15).map { EventSpec(id: "e\($0)") }))
        #expect(response.revision == 2)
        #expect(fixture.read("ann")?.lsn == response.lsn)
    }

    @Test func callThatOnlyRepeatsMovesLastSeenAndNothingElse() throws {
        let fixture = TrackFixture()
        try fixture.track(TrackSpec("ann", [EventSpec(id: "a")]))
        let before = try #require(fixture.read("ann"))
        let response = try fixture.track(TrackSpec("ann", [EventSpec(id: "a")]), after: 7)
        var after = try #require(fixture.read("ann"))
        #expect(response.revision == 1)
        #expect(after.lastSeenAt == before.lastSeenAt + 7)
        after.lastSeenAt = before.lastSeenAt
        #expect(after == before)
    }

    @Test func historicalCallDoesNotMoveLastSeen() throws {
        let fixture = TrackFixture()
        try fixture.track()
        let seen = fixture.now
        try fixture.track(TrackSpec().with { $0.flags = .historical }, after: 7)
        #expect(fixture.read("ann")?.lastSeenAt == seen)
        #expect(fixture.read("ann")?.revision == 2)
    }

    @Test func derivedIDsAreDistinctAndAscendByMillisecond() throws {
        let fixture = TrackFixture()
        var ids: [ProfileID] = []
        for number in 0 ..< 50 {
            ids.append(try fixture.track(TrackSpec("c\(number)"), after: 1_000).profileID)
        }
        #expect(zip(ids, ids.dropFirst()).allSatisfy { ($0.high, $0.low) < ($1.high, $1.low) })
    }

    // MARK: Time

    /// Offsets in microseconds from `received_at`; late 24 h and ahead 5 min, at the bound and one
    /// past.
    @Test(arguments: [
        (-day, false, true), (-day - 1, false, false), (300 * second, false, true),
        (300 * second + 1, false, false),
        (-90 * day, true, true), (-90 * day - 1, true, false), (-2 * day, true, true),
        (300 * second + 1, true, false),
    ])
    func timeWindowHoldsAtItsBoundAndNotOnePast(offset: Int64, historical: Bool, accepted: Bool)
        throws
    {
        let fixture = TrackFixture()
        let spec = TrackSpec("ann", [EventSpec(occurredAt: fixture.now + offset)])
            .with { $0.flags = historical ? .historical : [] }
        let response = try fixture.track(spec)
        #expect(response.rejection == (accepted ? .none : .timeWindow))
        if accepted { #expect(response.events[0].effectiveTime == fixture.now + min(offset, 0)) }
        #expect(fixture.store.profileCount == (accepted ? 1 : 0))
    }

    @Test func wrongClientClockIsCorrectedBySentAt() throws {
        let fixture = TrackFixture()
        let response = try fixture.track(
            TrackSpec("ann", [EventSpec(occurredAt: 5 * Self.second)]).with {
                $0.sentAt = 8 * Self.second
            })
        #expect(response.events[0].effectiveTime == fixture.now - 3 * Self.second)
    }

    @Test func sentAtBeforeOccurredAtIsIgnored() throws {
        let fixture = TrackFixture()
        let occurred = fixture.now - 10
        let response = try fixture.track(
            TrackSpec("ann", [EventSpec(occurredAt: occurred)]).with { $0.sentAt = occurred - 1 })
        #expect(response.events[0].effectiveTime == occurred)
    }

    @Test func lateEventCountsButDoesNotMoveLastBack() throws {
        let fixture = TrackFixture()
        try fixture.track()
        let late = fixture.now - 100
        try fixture.track(TrackSpec("ann", [EventSpec(occurredAt: late)]))
        #expect(
            fixture.read("ann")?.counters == [
                .init(name: "visit", count: 2, first: late, last: fixture.now)
            ])
    }

    // MARK: Duplicates

    @Test func secondEventWithTheIDIsADuplicateAndTheFirstWins() throws {
        let fixture = TrackFixture()
        let first = try fixture.track(TrackSpec("ann", [EventSpec(id: "a", label: "x")]))
        let same = try fixture.track(TrackSpec("ann", [EventSpec(id: "a", label: "x")]), after: 9)
        #expect(same.events[0].outcome == .duplicate)
        #expect(!same.events[0].contentDiffers)
        #expect(same.events[0].effectiveTime == first.events[0].effectiveTime)
        let other = try fixture.track(TrackSpec("ann", [EventSpec(id: "a", label: "y")]))
        #expect(other.events[0].outcome == .duplicate)
        #expect(other.events[0].contentDiffers)
        #expect(fixture.read("ann")?.counters[0].count == 1)
    }

    @Test(arguments: [
        EventSpec(name: "other", id: "a"), EventSpec(id: "a", tags: ["t"]),
        EventSpec(id: "a", label: "l"),
        EventSpec(id: "a", attributes: [("known", 2)]),
        EventSpec(id: "a", attributes: [("unknown", 1)]),
    ])
    func contentDiffersInEachOfItsParts(event: EventSpec) throws {
        let fixture = TrackFixture()
        try fixture.track(TrackSpec("ann", [EventSpec(id: "a", attributes: [("known", 1)])]))
        #expect(try fixture.track(TrackSpec("ann", [event])).events[0].contentDiffers)
    }

    @Test func twoPeopleMayUseTheSameEventID() throws {
        let fixture = TrackFixture()
        try fixture.track(TrackSpec("ann", [EventSpec(id: "a")]))
        #expect(
            try fixture.track(TrackSpec("bob", [EventSpec(id: "a")])).events[0].outcome == .stored)
        #expect(
            try fixture.track(.installation("ann", [EventSpec(id: "a")])).events[0].outcome
                == .stored)
    }

    @Test func twiceInOneRequestTheSecondIsTheDuplicate() throws {
        let fixture = TrackFixture()
        let response = try fixture.track(
            TrackSpec("ann", [EventSpec(id: "a"), EventSpec(name: "z", id: "a")]))
        #expect(response.events.map(\.outcome) == [.stored, .duplicate])
        #expect(response.events[1].contentDiffers)
        #expect(fixture.store.project.names.count == 1)
    }

    @Test func serverMadeEventIDIsKnownWhenItIsSentBack() throws {
        let fixture = TrackFixture()
        let made = try fixture.track().events[0].id
        #expect(made.utf8.count == 26)
        #expect(
            try fixture.track(TrackSpec("ann", [EventSpec(id: made)])).events[0].outcome
                == .duplicate)
    }

    @Test func retryThatHasBecomeLateIsStillADuplicate() throws {
        let fixture = TrackFixture()
        let spec = TrackSpec("ann", [EventSpec(id: "a", occurredAt: fixture.now)])
        try fixture.track(spec)
        let response = try fixture.track(spec, after: 2 * Self.day)
        #expect(response.rejection == .none)
        #expect(response.events[0].outcome == .duplicate)
    }

    @Test func eventIDIsFreeAgainOnceTheFirstIsNotRetained() throws {
        let fixture = TrackFixture()
        let spec = TrackSpec("ann", [EventSpec(id: "a")])
        try fixture.track(spec)
        #expect(try fixture.track(spec, after: 90 * Self.day).events[0].outcome == .duplicate)
        #expect(try fixture.track(spec, after: 1).events[0].outcome == .stored)
        #expect(fixture.read("ann")?.counters[0].count == 2)
    }

    // MARK: All or nothing

    @Test func oneBadEventRefusesTheCallAndChangesNothing() throws {
        let fixture = TrackFixture()
        try fixture.track()
        let (before, names) = (fixture.read("ann"), fixture.store.project.names.count)
        let late = fixture.now - 2 * Self.day
        let events = [
            EventSpec(name: "fresh"), EventSpec(occurredAt: late), EventSpec(occurredAt: late),
        ]
        let response = try fixture.track(TrackSpec("ann", events), after: 3)
        #expect(response.rejection == .timeWindow)
        #expect(response.index == 1)
        #expect(response.bad.map(\.index) == [1, 2])
        #expect(response.bad[0].detail == fixture.now - Self.day)
        #expect(fixture.read("ann") == before)
        #expect(fixture.store.project.names.count == names)
    }

    @Test func allowPartialStoresTheGoodOnes() throws {
        let fixture = TrackFixture()
        let events = [
            EventSpec(occurredAt: 0), EventSpec(), EventSpec(id: "x", violation: "no name"),
        ]
        let response = try fixture.track(TrackSpec("ann", events).with { $0.flags = .allowPartial })
        #expect(response.rejection == .none)
        #expect(response.events.map(\.outcome) == [.rejected, .stored, .rejected])
        #expect(response.events.map(\.rejection) == [.timeWindow, .none, .invalidFields])
        #expect(response.events[2].violationBytes > 0)
    }

    @Test func allRejectedForAnUnknownIDMakesNoProfile() throws {
        let fixture = TrackFixture()
        let spec = TrackSpec("ann", [EventSpec(occurredAt: 0)]).with { $0.flags = .allowPartial }
        let response = try fixture.track(spec)
        #expect(response.rejection == .none)
        #expect(response.profileID == .none)
        #expect(response.revision == 0)
        #expect(fixture.store.profileCount == 0)
    }

    // MARK: Request ids

    @Test func otherMessageUnderTheSameRequestIDIsRejected() throws {
        let fixture = TrackFixture()
        try fixture.track(TrackSpec().with { $0.requestID = "r" })
        let other = TrackSpec("ann", [EventSpec(label: "x")]).with { $0.requestID = "r" }
        #expect(try fixture.track(other).rejection == .requestIDReused)
        #expect(fixture.read("ann")?.revision == 1)
    }

    @Test func failedCallDoesNotUseItsRequestIDUp() throws {
        let fixture = TrackFixture()
        let spec = TrackSpec().with {
            $0.requestID = "r"
            $0.flags = .mustExist
        }
        #expect(try fixture.track(spec).rejection == .profileNotFound)
        try fixture.track()
        #expect(try fixture.track(spec).rejection == .none)
    }

    @Test func requestIDIsRememberedForItsTimeAndNotOnePast() throws {
        let fixture = TrackFixture()
        let spec = TrackSpec().with { $0.requestID = "r" }
        try fixture.track(spec)
        #expect(try fixture.track(spec, after: Self.day).isReplayed)
        let again = try fixture.track(spec, after: 1)
        #expect(!again.isReplayed)
        #expect(again.revision == 2)
    }

    @Test func oldestRequestIDLeavesOverTheLimit() throws {
        var limits = StoreLimits()
        limits.requestIDsPerProject = 2
        let fixture = TrackFixture(limits: limits)
        for id in ["a", "b", "c"] { try fixture.track(TrackSpec().with { $0.requestID = id }) }
        #expect(try fixture.track(TrackSpec().with { $0.requestID = "c" }).isReplayed)
        #expect(try fixture.track(TrackSpec().with { $0.requestID = "b" }).isReplayed)
        #expect(try !fixture.track(TrackSpec().with { $0.requestID = "a" }).isReplayed)
    }

    // MARK: Limits of state

    @Test func eventNameOverTheCounterLimitIsRejected() throws {
        var limits = StoreLimits()
        limits.countersPerProfile = 2
        let fixture = TrackFixture(limits: limits)
        try fixture.track(TrackSpec("ann", [EventSpec(name: "a"), EventSpec(name: "b")]))
        let response = try fixture.track(TrackSpec("ann", [EventSpec(name: "c")]))
        #expect(response.rejection == .limitExceeded)
        #expect(response.detail == 2)
        #expect(fixture.store.project.names.count == 2)
        #expect(try fixture.track(TrackSpec("ann", [EventSpec(name: "b")])).rejection == .none)
    }

    @Test func nameOverTheProjectsLimitIsRejected() throws {
        var limits = StoreLimits()
        limits.namesPerProject = 2
        let fixture = TrackFixture(limits: limits)
        let response = try fixture.track(
            TrackSpec("ann", [EventSpec(name: "a", attributes: [("b", 1), ("c", 1)])]))
        #expect(response.rejection == .limitExceeded)
        #expect(fixture.store.project.names.count == 0)
        #expect(
            try fixture.track(TrackSpec("ann", [EventSpec(name: "a", attributes: [("c", 1)])]))
                .rejection == .none)
    }

    @Test func oldestEventLeavesOverTheLimitAndStaysCounted() throws {
        var limits = StoreLimits()
        limits.eventsPerProfile = 3
        let fixture = TrackFixture(limits: limits)
        for number in 0 ..< 5 {
            try fixture.track(TrackSpec("ann", [EventSpec(id: "e\(number)")]), after: 10)
        }
        let profile = try #require(fixture.read("ann"))
        #expect(profile.counters[0].count == 5)
        #expect(profile.truncatedBefore == TrackFixture.start + 20 + 1)
        #expect(fixture.store.memory.retainedEvents == 3)
        #expect(
            try fixture.track(TrackSpec("ann", [EventSpec(id: "e0")])).events[0].outcome == .stored)
    }

    // MARK: Records

    @Test func recordsThatCannotBeUnderstoodThrowAndChangeNothing() throws {
        let fixture = TrackFixture()
        try fixture.track()
        let digest = fixture.store.digest()
        let good = TrackSpec().record
        let unknownKind = good.enumerated().map { $0.offset == 4 ? UInt8(200) : $0.element }
        let unknownVersion = good.enumerated().map { $0.offset == 5 ? UInt8(2) : $0.element }
        #expect(throws: ApplyError.unknownKind(200, lsn: 2)) { try fixture.apply(unknownKind) }
        #expect(throws: ApplyError.unknownVersion(2, lsn: 2)) { try fixture.apply(unknownVersion) }
        #expect(throws: ApplyError.outOfOrder(lsn: 1)) {
            try TrackFixture.apply(good, to: fixture.store, firstLSN: 1, receivedAt: fixture.now)
        }
        #expect(throws: ApplyError.outOfOrder(lsn: 2)) {
            try TrackFixture.apply(
                good, to: fixture.store, firstLSN: 2, receivedAt: fixture.now - 1)
        }
        #expect(fixture.store.digest() == digest)
    }

    /// Every prefix of the payload, announced as the whole, must be refused and leave no name
    /// behind.
    @Test func everyTruncatedTrackThrows() throws {
        let whole = TrackSpec("ann", [EventSpec(id: "a", tags: ["t"], attributes: [("x", 1)])])
            .record
        let payloadBytes = Int(whole[0]) | Int(whole[1]) << 8
        for kept in 0 ..< payloadBytes {
            let fixture = TrackFixture()
            var buffer = ByteBuffer()
            let start = beginRecord(.track, in: &buffer)
            whole[8 ..< 8 + kept].withUnsafeBytes { buffer.append($0) }
            endRecord(at: start, operations: 1, in: &buffer)
            let empty = fixture.store.digest()
            #expect(throws: ApplyError.malformed(lsn: 1)) { try fixture.apply(Array(buffer.bytes)) }
            #expect(fixture.store.digest() == empty)
        }
    }
}
