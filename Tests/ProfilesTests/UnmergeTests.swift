import Testing

@testable import Profiles

/// What an un-merge gives back, case by case.
@Suite struct UnmergeTests {
    private static let day: Int64 = 86_400 * TrackFixture.second

    /// Ann and old, each with a device, attributes and events.
    private static func world(_ limits: StoreLimits = StoreLimits()) throws -> TrackFixture {
        let fixture = TrackFixture(limits: limits)
        try fixture.identify(
            "old", device: "d", set: [("a", 1), ("b", 1)], lists: [("l", .set, ["x", "y"])])
        try fixture.track(.installation("d", [EventSpec(name: "e")]), after: 1_000)
        try fixture.identify(
            "ann", device: "p", set: [("b", 2), ("c", 2)], lists: [("l", .set, ["z", "y"])])
        try fixture.track(
            TrackSpec("ann", [EventSpec(name: "e"), EventSpec(name: "f")]), after: 1_000)
        _ = try fixture.consent([(.email, "", .subscribed)], by: .user, after: 1_000, of: "old")
        _ = try fixture.consent([(.sms, "", .subscribed)], by: .user, after: 1_000)
        return fixture
    }

    @Test func nothingBetweenGivesBothBackAsTheyWere() throws {
        let fixture = try Self.world()
        let before = [fixture.parts(.person("old")), fixture.parts(.person("ann"))]
        let merge = try fixture.merge(.person("old"), into: .person("ann"))
        #expect(fixture.attributes(.person("ann"))["l"] == "z,y,x")
        let undone = try fixture.unmerge(merge.mergeID)
        #expect(undone.rejection == .none && undone.warnings.isEmpty)
        #expect(undone.profileID == fixture.id(.person("ann")))
        #expect(undone.otherID == fixture.id(.person("old")))
        #expect([fixture.parts(.person("old")), fixture.parts(.person("ann"))] == before)
        #expect(fixture.revision("old") == 4 && fixture.revision("ann") == 5)
        #expect(fixture.id(.device("d")) == undone.otherID)
        #expect(fixture.store.profileCount == 2)
    }

    @Test func loginMergesAreUndoneToo() throws {
        let fixture = TrackFixture()
        try fixture.track(.installation("d", [EventSpec(name: "e")]))
        try fixture.identify("ann", device: "p", set: [("a", 1)])
        let before = [fixture.parts(.device("d")), fixture.parts(.person("ann"))]
        let merge = try fixture.identify("ann", device: "d")
        #expect(merge.outcome == .merged)
        try fixture.unmerge(merge.mergeID)
        #expect([fixture.parts(.device("d")), fixture.parts(.person("ann"))] == before)
    }

    @Test func writesSinceGoToTheSideThroughWhichTheyCame() throws {
        let fixture = try Self.world()
        let merge = try fixture.merge(.person("old"), into: .person("ann"))
        try fixture.identify("old", set: [("b", 7), ("n", 7)])
        try fixture.identify("ann", set: [("a", 8), ("m", 8)])
        try fixture.identify("", device: "d", lists: [("l", .add, ["d1"]), ("l2", .set, ["q"])])
        try fixture.identify("", device: "p", lists: [("l", .remove, ["y"])])
        // The person decides, not the device that she holds.
        try fixture.identify("ann", device: "d", set: [("k", 9)])
        try fixture.track(.installation("d", [EventSpec(name: "e")]), after: 1_000)
        try fixture.track(TrackSpec("old", [EventSpec(name: "g")]), after: 1_000)
        try fixture.track(.installation("p", [EventSpec(name: "g")]), after: 1_000)
        try fixture.unmerge(merge.mergeID)
        #expect(
            fixture.attributes(.person("old")) == [
                "a": "1", "b": "7", "n": "7", "l": "x,y,d1", "l2": "q",
            ])
        #expect(
            fixture.attributes(.person("ann")) == [
                "a": "8", "b": "2", "c": "2", "m": "8", "k": "9", "l": "z",
            ])
        #expect(fixture.counts(.person("old")) == ["e": 2, "g": 1])
        #expect(fixture.counts(.person("ann")) == ["e": 1, "f": 1, "g": 1])
    }

    @Test func eventsThatAreNoLongerRetainedStayInTheRightCounters() throws {
        var limits = StoreLimits()
        limits.eventsPerProfile = 4
        let fixture = try Self.world(limits)
        let merge = try fixture.merge(.person("old"), into: .person("ann"))
        for _ in 0 ..< 9 {
            try fixture.track(.installation("d", [EventSpec(name: "e")]), after: 1_000)
            try fixture.track(TrackSpec("ann", [EventSpec(name: "e")]), after: 1_000)
        }
        try fixture.unmerge(merge.mergeID)
        #expect(fixture.counts(.person("old")) == ["e": 10])
        #expect(fixture.counts(.person("ann")) == ["e": 10, "f": 1])
        #expect(fixture.parts(.person("old"))?.events.count == 2)
        #expect(fixture.header(.person("old"))?.eventsTruncatedBefore ?? 0 > 0)
    }

    /// Old was merged into ann and ann into bob before the events came: whoever is restored first,
    /// each event is counted once.
    @Test func droppedEventsAreOfTheRestoredProfileAlone() throws {
        var limits = StoreLimits()
        limits.eventsPerProfile = 4
        let fixture = try Self.world(limits)
        try fixture.identify("bob", device: "b")
        let first = try fixture.merge(.person("old"), into: .person("ann"))
        for _ in 0 ..< 3 {
            try fixture.track(.installation("d", [EventSpec(name: "e")]), after: 1_000)
            try fixture.track(TrackSpec("ann", [EventSpec(name: "e")]), after: 1_000)
        }
        let second = try fixture.merge(.person("ann"), into: .person("bob"))
        // Older than all others, so it is dropped at once.
        let early = fixture.now - 100_000
        try fixture.track(.installation("d", [EventSpec(name: "e", occurredAt: early)]))
        for _ in 0 ..< 5 {
            try fixture.track(.installation("d", [EventSpec(name: "e")]), after: 1_000)
            try fixture.track(TrackSpec("ann", [EventSpec(name: "e")]), after: 1_000)
            try fixture.track(TrackSpec("bob", [EventSpec(name: "e")]), after: 1_000)
        }
        try fixture.unmerge(first.mergeID)
        #expect(fixture.counts(.person("old")) == ["e": 10])
        #expect(fixture.counts(.person("bob")) == ["e": 14, "f": 1])
        #expect(fixture.counters(.person("old"))["e"]?.first == early)
        try fixture.unmerge(second.mergeID)
        #expect(fixture.counts(.person("old")) == ["e": 10])
        #expect(fixture.counts(.person("ann")) == ["e": 9, "f": 1])
        #expect(try #require(fixture.counters(.person("ann"))["e"]).first > early)
        #expect(fixture.counts(.person("bob")) == ["e": 5])
    }

    /// What an un-merge took out of the noted events has left its times in them.
    @Test(
        arguments: [
            (1 ... 9, 3 ... 7), (4 ... 5, 4 ... 5), (1 ... 2, 3 ... 3), (8 ... 9, 7 ... 7),
        ] as [(ClosedRange<Int64>, ClosedRange<Int64>)])
    func droppedEventsAreWithinTheTimesOfTheWhole(
        noted: ClosedRange<Int64>, wanted: ClosedRange<Int64>
    ) {
        let whole = CounterEntry(name: 1, count: 9, first: 3, last: 7)
        let counter = CounterEntry(
            name: 1, count: 2, first: noted.lowerBound, last: noted.upperBound
        ).within(whole)
        #expect(counter.first ... counter.last == wanted && counter.count == 2)
    }

    /// Cleo had the device of old before. What it sends late of that time is hers, and stays hers
    /// when one of the two has absorbed the other since: also if the event is no longer retained.
    @Test(arguments: [(true, 10), (true, 2), (false, 10), (false, 2)])
    func lateEventsOfAFormerHolderStayWithIt(absorbs: Bool, eventsMax: UInt64) throws {
        var limits = StoreLimits()
        limits.eventsPerProfile = eventsMax
        let fixture = TrackFixture(limits: limits)
        try fixture.identify("cleo", device: "d")
        let then = fixture.now
        try fixture.identify("old", device: "d", after: 10_000)
        try fixture.identify("ann")
        let first = try fixture.merge(.person("old"), into: .person("ann"))
        let late = try fixture.track(
            .installation("d", [EventSpec(name: "e", occurredAt: then)]), after: 1_000)
        #expect(late.events[0].holder == fixture.id(.person("cleo")))
        try fixture.track(.installation("d", [EventSpec(name: "e")]), after: 1_000)
        let second =
            absorbs
            ? try fixture.merge(.person("cleo"), into: .person("ann"))
            : try fixture.merge(.person("ann"), into: .person("cleo"))
        for _ in 0 ..< 2 {
            try fixture.track(.installation("d", [EventSpec(name: "e")]), after: 1_000)
        }
        try fixture.unmerge(first.mergeID)
        #expect(fixture.counts(.person("old")) == ["e": 3])
        #expect(fixture.counts(.person("cleo")) == ["e": 1])
        try fixture.unmerge(second.mergeID)
        #expect(
            fixture.counts(.person("cleo")) == ["e": 1] && fixture.counts(.person("ann")) == [:])
        #expect(fixture.parts(.person("old"))?.events.count == min(3, Int(eventsMax)))
        #expect(fixture.parts(.person("cleo"))?.events.count == (eventsMax == 2 ? 0 : 1))
    }

    @Test func lateEventsFindTheirProfileAgain() throws {
        let fixture = try Self.world()
        let then = fixture.now
        let merge = try fixture.merge(.person("old"), into: .person("ann"), after: 10_000)
        let between = fixture.now + 100
        try fixture.unmerge(merge.mergeID, after: 10_000)
        for time in [then, between] {
            let late = try fixture.track(
                .installation("d", [EventSpec(occurredAt: time)]), after: 1_000)
            #expect(late.events[0].holder == fixture.id(.person("old")))
        }
    }

    @Test func devicesGoWhereTheyWereAttachedThrough() throws {
        let fixture = try Self.world()
        let merge = try fixture.merge(.person("old"), into: .person("ann"))
        try fixture.identify("old", device: "by-alias")
        try fixture.identify("ann", device: "by-ann")
        try fixture.identify("bob", device: "d")
        try fixture.unmerge(merge.mergeID)
        let (old, ann) = (fixture.id(.person("old")), fixture.id(.person("ann")))
        #expect(fixture.id(.device("by-alias")) == old && fixture.id(.device("by-ann")) == ann)
        #expect(fixture.id(.device("p")) == ann)
        #expect(fixture.id(.device("d")) == fixture.id(.person("bob")))
    }

    /// Whoever absorbed the survivor since is not credited with what is sent from a device that
    /// came in the meantime, whenever it happened.
    @Test func devicesThatCameSinceForgetLaterSurvivors() throws {
        let fixture = try Self.world()
        try fixture.identify("bob", device: "b")
        let merge = try fixture.merge(.person("old"), into: .person("ann"), after: 10_000)
        let before = fixture.now + 100
        try fixture.identify("old", device: "by-alias", after: 10_000)
        let attached = fixture.now + 100
        _ = try fixture.merge(.person("ann"), into: .person("bob"), after: 10_000)
        let absorbed = fixture.now + 100
        try fixture.unmerge(merge.mergeID, after: 10_000)
        for time in [before, attached, absorbed, fixture.now] {
            let event = try fixture.track(
                .installation("by-alias", [EventSpec(occurredAt: time)]), after: 1_000)
            #expect(event.events[0].holder == fixture.id(.person("old")))
        }
    }

    @Test func devicesThatTheMergePushedOutComeBack() throws {
        var limits = StoreLimits()
        limits.installationsPerProfile = 2
        let fixture = TrackFixture(limits: limits)
        try fixture.identify("ann", device: "a1")
        try fixture.identify("ann", device: "a2")
        try fixture.identify("old", device: "o1")
        try fixture.identify("old", device: "o2")
        let before = [fixture.parts(.person("old")), fixture.parts(.person("ann"))]
        let merge = try fixture.merge(.person("old"), into: .person("ann"))
        #expect(merge.warnings == ["INSTALLATION_DETACHED a1", "INSTALLATION_DETACHED a2"])
        #expect(fixture.ref(.device("a1")) == nil)
        try fixture.unmerge(merge.mergeID)
        #expect([fixture.parts(.person("old")), fixture.parts(.person("ann"))] == before)
        #expect(fixture.id(.device("a1")) == fixture.id(.person("ann")))
    }

    @Test func customIDOfAnAnonymousSurvivorReturnsToTheLoser() throws {
        let fixture = TrackFixture()
        try fixture.track(.installation("d"))
        try fixture.identify("ann", device: "p", set: [("a", 1)])
        let before = [fixture.parts(.device("d")), fixture.parts(.person("ann"))]
        let merge = try fixture.merge(.person("ann"), into: .device("d"))
        try fixture.unmerge(merge.mergeID)
        #expect([fixture.parts(.device("d")), fixture.parts(.person("ann"))] == before)
        #expect(fixture.id(.person("ann")) != fixture.id(.device("d")))
        // What is written in between through the custom id is its own.
        let again = try fixture.merge(.person("ann"), into: .device("d"))
        try fixture.identify("ann", set: [("b", 2)])
        try fixture.track(TrackSpec("ann"), after: 1_000)
        try fixture.unmerge(again.mergeID)
        #expect(fixture.attributes(.person("ann")) == ["a": "1", "b": "2"])
        #expect(fixture.counts(.person("ann")) == ["visit": 1])
        #expect(fixture.attributes(.device("d")).isEmpty)
    }

    @Test func platformsNamedSinceStayAlsoIfNobodyWasSeen() throws {
        func platform(_ fixture: TrackFixture) -> UInt8? {
            fixture.read(.installationID, Array("t".utf8))?.installations.first?.platform
        }
        func name(_ platform: Platform, _ fixture: TrackFixture) throws {
            let spec = TrackSpec.installation("t").with { $0.platform = platform }
            try fixture.track(spec.with { $0.flags = .historical }, after: 1_000)
        }
        for (named, expected) in [
            (nil, Platform.appIOS), (.api, .appIOS), (.web, .appIOS), (.appAndroid, .appAndroid),
        ] as [(Platform?, Platform)] {
            let fixture = try Self.world()
            try fixture.track(.installation("t").with { $0.platform = .appIOS }, after: 1_000)
            // The login names the web.
            let merge = try fixture.identify("ann", device: "t")
            #expect(merge.outcome == .merged)
            if let named { try name(named, fixture) }
            let loaded = try SnapshotTests.load(SnapshotTests.blocks(of: fixture.store))
            #expect(loaded.digest() == fixture.store.digest())
            try fixture.unmerge(merge.mergeID)
            #expect(platform(fixture) == expected.rawValue, "\(String(describing: named))")
        }
        let fixture = try Self.world()
        try fixture.track(.installation("t").with { $0.platform = .appIOS }, after: 1_000)
        let merge = try fixture.merge(.device("t"), into: .person("ann"))
        try name(.web, fixture)
        try fixture.unmerge(merge.mergeID)
        #expect(platform(fixture) == Platform.web.rawValue)
    }

    // MARK: Consent

    @Test func optOutSinceTheMergeHoldsOnBoth() throws {
        let fixture = try Self.world()
        let merge = try fixture.merge(.person("old"), into: .person("ann"))
        _ = try fixture.consent([(.email, "", .unsubscribed)], by: .user, after: 1_000)
        _ = try fixture.consent([(.sms, "n", .subscribed)], by: .user, after: 1_000)
        try fixture.unmerge(merge.mergeID)
        #expect(fixture.subscriptions("old").map(\.state) == [.unsubscribed])
        #expect(
            fixture.subscriptions("ann").map(\.state) == [
                .unsubscribed, .subscribed, .subscribed,
            ])
    }

    @Test func opposingOptOutThatChangesNothingStoredStillHoldsOnBoth() throws {
        let fixture = try Self.world()
        let early = fixture.now - 500_000
        _ = try fixture.consent([(.push, "", .subscribed)], by: .user, occurredAt: early - 9)
        _ = try fixture.consent([(.push, "", .unsubscribed)], by: .user, after: 1_000, of: "old")
        let merge = try fixture.merge(.person("old"), into: .person("ann"))
        // Older than the one that came with the merge.
        _ = try fixture.consent([(.push, "", .unsubscribed)], by: .user, occurredAt: early)
        try fixture.unmerge(merge.mergeID)
        let states = fixture.subscriptions("ann").filter { $0.channel == .push }.map(\.state)
        #expect(states == [.unsubscribed])
    }

    @Test func optOutThatOnlyTheLoserHadLeavesWithIt() throws {
        let fixture = try Self.world()
        _ = try fixture.consent([(.sms, "", .unsubscribed)], by: .user, after: 1_000, of: "old")
        let before = [fixture.parts(.person("old")), fixture.parts(.person("ann"))]
        let merge = try fixture.merge(.person("old"), into: .person("ann"))
        try fixture.unmerge(merge.mergeID)
        #expect([fixture.parts(.person("old")), fixture.parts(.person("ann"))] == before)
    }

    // MARK: When it ends

    @Test func unknownUsedExpiredAndForeignIDs() throws {
        let fixture = try Self.world()
        let merge = try fixture.merge(.person("old"), into: .person("ann"))
        let unknown = ProfileID(high: merge.mergeID.high, low: merge.mergeID.low ^ 1 << 40)
        #expect(try fixture.unmerge(unknown).rejection == .mergeNotFound)
        #expect(!fixture.store.ids.isMerge(merge.mergeID, of: ProjectID(rawValue: 2)))
        let first = try fixture.unmerge(merge.mergeID, requestID: "r")
        #expect(first.rejection == .none)
        #expect(try fixture.unmerge(merge.mergeID).rejection == .mergeExpired)
        let again = try fixture.unmerge(merge.mergeID, requestID: "r")
        #expect(again.isReplayed && again.otherID == first.otherID)
        let late = try fixture.merge(.person("old"), into: .person("ann"))
        #expect(try fixture.unmerge(late.mergeID, after: 30 * Self.day).rejection == .none)
        let later = try fixture.merge(.person("old"), into: .person("ann"))
        let expired = try fixture.unmerge(later.mergeID, after: 30 * Self.day + 1)
        #expect(expired.rejection == .mergeExpired)
        try fixture.tick()
        #expect(try fixture.unmerge(later.mergeID).rejection == .mergeExpired)
    }

    @Test(arguments: ["old", "ann"])
    func erasureOfEitherEndsIt(name: String) throws {
        let fixture = try Self.world()
        let merge = try fixture.merge(.person("old"), into: .person("ann"))
        try fixture.erase(name)
        #expect(try fixture.unmerge(merge.mergeID).rejection == .mergeExpired)
        #expect(fixture.store.profileCount == 0)
    }

    @Test func mergesOfOlderRulesAreExpired() throws {
        let fixture = TrackFixture()
        fixture.rulesVersion = 2
        try fixture.track(.installation("d"))
        try fixture.identify("ann")
        let merge = try fixture.identify("ann", device: "d")
        fixture.rulesVersion = Store.rulesVersion
        #expect(try fixture.unmerge(merge.mergeID).rejection == .mergeExpired)
    }

    // MARK: Others

    @Test func firingsOfBeforeGoBack() throws {
        let fixture = try Self.world()
        _ = try fixture.trigger(on: "t") { $0.delaySeconds = 60 }
        try fixture.track(.installation("d", [EventSpec(name: "t")]), after: 1_000)
        try fixture.track(TrackSpec("ann", [EventSpec(name: "t")]), after: 1_000)
        let digest = fixture.store.digest()
        let merge = try fixture.merge(.person("old"), into: .person("ann"))
        try fixture.unmerge(merge.mergeID)
        #expect(fixture.store.digest() != digest)
        let loaded = try SnapshotTests.load(SnapshotTests.blocks(of: fixture.store))
        #expect(loaded.digest() == fixture.store.digest())
        try fixture.erase("old")
        #expect(fixture.store.triggers.totals.firings == 1)
    }

    @Test func changesNameTheRestoredProfile() throws {
        let fixture = try Self.world()
        let recorder = fixture.record()
        let merge = try fixture.merge(.person("old"), into: .person("ann"))
        _ = try recorder.takeChanges()
        try fixture.unmerge(merge.mergeID)
        let changes = try recorder.takeChanges()
        let (old, ann) = (fixture.id(.person("old")), fixture.id(.person("ann")))
        #expect(changes.first?.kind == .unmerged)
        #expect(changes.first?.id == ann && changes.first?.other == old)
        let moved = changes.filter { $0.kind == .installationMoved }
        #expect(moved.map(\.installation) == ["d"] && moved.map(\.id) == [old])
        let set = changes.filter { $0.kind == .attributesChanged && $0.id == old }.map(\.set)
        #expect(set.map { $0.keys.sorted() } == [["a", "b", "l"]])
        let chain = withBytes("old") {
            fixture.store.chain(
                ProjectID(rawValue: 1), IdentifierView(kind: .customID, bytes: $0))
        }
        #expect(chain == [old].compactMap { $0 })
    }

    @Test func changesNameTheProfilesThatMergesHadLedThrough() throws {
        let fixture = TrackFixture()
        try fixture.track(.installation("d"))
        for name in ["old", "ann", "eve"] { try fixture.identify(name) }
        let ids = ["old", "ann", "eve"].map { fixture.id(.person($0)) }
        let (device, recorder) = (fixture.id(.device("d")), fixture.record())
        // The anonymous one takes the custom id, and keeps it as an alias of the next.
        let merge = try fixture.merge(.person("old"), into: .device("d"))
        try fixture.merge(.person("old"), into: .person("ann"))
        try fixture.merge(.person("ann"), into: .person("eve"))
        _ = try recorder.takeChanges()
        try fixture.unmerge(merge.mergeID)
        let changes = try recorder.takeChanges()
        let unmerged = try #require(changes.first { $0.kind == .unmerged })
        #expect([unmerged.id, unmerged.other] == [ids[2], ids[0]])
        #expect(unmerged.between == [device, ids[1]].compactMap(\.self))
        let identified = try #require(changes.first { $0.kind == .identified })
        #expect([identified.id, identified.other] == [ids[0], ids[2]])
        #expect(identified.between == [device].compactMap(\.self))
    }
}
