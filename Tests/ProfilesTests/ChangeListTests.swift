import Bytes
import Testing

@testable import Profiles

/// The change list names exactly what a record changed, in the order of the feed.
@Suite struct ChangeListTests {
    @Test func trackThatCreatesAProfileIsItsCreationAndThenItsEvents() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        let spec = TrackSpec.installation("d", [EventSpec(name: "a"), EventSpec(name: "b")])
        #expect(
            try fixture.changes(recorder, spec.record) == [
                ["1 created A r1 d", "1 eventStored A r1 a@1", "2 eventStored A r1 b@2"]
            ])
        #expect(
            try fixture.changes(
                recorder, TrackSpec.installation("d", [EventSpec(name: "c")]).record)
                == [["3 eventStored A r2 c@3"]])
    }

    @Test func historicalTrackIsMarked() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        let spec = TrackSpec("ann", [EventSpec(occurredAt: fixture.now - 86_400_000_000)])
            .with { $0.flags = .historical }
        #expect(
            try fixture.changes(recorder, spec.record) == [
                ["1 created A r1 historical", "1 eventStored A r1 historical visit@1"]
            ])
    }

    @Test func duplicatesAndRejectedEventsAreNoChange() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        try fixture.track(TrackSpec("ann", [EventSpec(id: "x")]))
        _ = recorder.take()
        #expect(try fixture.changes(recorder, TrackSpec("ann", [EventSpec(id: "x")]).record) == [])
        let bad = TrackSpec("ann", [EventSpec(violation: "no"), EventSpec(name: "good")])
            .with { $0.flags = .allowPartial }
        #expect(try fixture.changes(recorder, bad.record) == [["4 eventStored A r2 good@4"]])
        let late = TrackSpec("nobody").with { $0.flags = .mustExist }
        #expect(try fixture.changes(recorder, late.record) == [])
    }

    @Test func eventOverTheLimitIsDeliveredBeforeItsBlockIsFreed() throws {
        var limits = StoreLimits()
        limits.eventsPerProfile = 1
        let fixture = TrackFixture(limits: limits)
        let recorder = fixture.record()
        try fixture.track()
        _ = recorder.take()
        // The older of the two is dropped in the call that stores it.
        let early = EventSpec(name: "early", occurredAt: fixture.now - 1_000_000)
        #expect(
            try fixture.changes(recorder, TrackSpec("ann", [early, EventSpec(name: "new")]).record)
                == [["2 eventStored A r2 early@2", "3 eventStored A r2 new@3"]])
        #expect(fixture.store.memory.retainedEvents == 1)
    }

    @Test func lateEventIsAChangeOfTheProfileThatHeldTheDeviceThen() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        try fixture.apply(IdentifySpec(device: "d", person: "ann").record)
        fixture.now += 10_000_000
        try fixture.apply(IdentifySpec(device: "d", person: "bob").record)
        _ = recorder.take()
        let late = EventSpec(name: "late", occurredAt: fixture.now - 5_000_000)
        let spec = TrackSpec.installation("d", [late, EventSpec(name: "now"), late])
        #expect(
            try fixture.changes(recorder, spec.record) == [
                [
                    "3 eventStored A r3 late@3", "4 eventStored B r2 now@4",
                    "5 eventStored A r3 late@5",
                ]
            ])
    }

    @Test func identifyNamesAttributesSetAndDeleted() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        var spec = IdentifySpec(person: "ann")
        spec.patch = [("a", .set, 1, []), ("b", .set, 2, []), ("l", .add, 0, ["x"])]
        #expect(
            try fixture.changes(recorder, spec.record) == [["1 created A r1 (3 attributes)"]])
        fixture.now += 1
        spec.patch = [
            ("a", .delete, 0, []), ("b", .set, 2, []), ("c", .set, 3, []), ("l", .add, 0, ["y"]),
        ]
        #expect(
            try fixture.changes(recorder, spec.record) == [
                ["2 attributesChanged A r2 -a +c +l (3 attributes)"]
            ])
        // An equal value at a later time and a deletion of nothing change no revision.
        fixture.now += 1
        spec.patch = [("a", .delete, 0, []), ("b", .set, 2, [])]
        #expect(try fixture.changes(recorder, spec.record) == [])
        // An older write loses.
        spec.occurredAt = fixture.now - 1_000_000
        spec.patch = [("c", .set, 9, [])]
        #expect(try fixture.changes(recorder, spec.record) == [])
    }

    @Test func promotionAttachmentSwitchAndLogOutAreChangesOfBothProfiles() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        try fixture.track(.installation("d"))
        #expect(recorder.take() == [["1 created A r1 d", "1 eventStored A r1 visit@1"]])
        func step(_ spec: IdentifySpec) throws -> [[String]] {
            fixture.now += 1_000_000
            return try fixture.changes(recorder, spec.record)
        }
        var promotion = IdentifySpec(device: "d", person: "ann")
        promotion.patch = [("a", .set, 1, [])]
        #expect(
            try step(promotion) == [
                ["2 identified A r2", "2 attributesChanged A r2 +a (1 attributes)"]
            ])
        #expect(
            try step(IdentifySpec(device: "e", person: "ann")) == [["3 installationMoved A r3 e"]])
        #expect(
            try step(IdentifySpec(device: "d", person: "bob")) == [
                ["4 created B r1 d", "4 installationMoved B from A r1 d"]
            ])
        #expect(
            try step(IdentifySpec(device: "d", isLogOut: true)) == [
                ["5 created C r1 d", "5 installationMoved C from B r1 d"]
            ])
        #expect(
            try step(IdentifySpec(device: "e", person: "bob")) == [
                ["6 installationMoved B from A r3 e"]
            ])
        // Nothing but `lastSeenAt` moves.
        #expect(try step(IdentifySpec(device: "e", person: "bob")) == [])
    }

    @Test func mergeNamesTheLoserItsDevicesAndWhatItAdded() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        var device = IdentifySpec(device: "d")
        device.patch = [("a", .set, 1, []), ("b", .set, 1, [])]
        try fixture.apply(device.record)
        var person = IdentifySpec(person: "ann")
        person.patch = [("a", .set, 2, [])]
        try fixture.apply(person.record)
        _ = recorder.take()
        #expect(
            try fixture.changes(recorder, IdentifySpec(device: "d", person: "ann").record) == [
                [
                    "3 merged B from A r2", "3 installationMoved B from A r2 d",
                    "3 attributesChanged B r2 +b (2 attributes)",
                ]
            ])
    }

    @Test func mergeOfConsentListsTheEntriesOfTheSurvivor() throws {
        let fixture = TrackFixture()
        try fixture.apply(IdentifySpec(device: "d").record)
        let id = try #require(fixture.read(.installationID, Array("d".utf8))?.id)
        _ = try fixture.consent(
            [(.push, "news", .unsubscribed), (.email, "", .unsubscribed)], by: .user, of: "ann")
        let recorder = fixture.record()
        // The device's own consent, under its profile id.
        try fixture.apply(Self.consent(of: id, [(.push, "a"), (.push, "b")]))
        #expect(
            recorder.take().joined().map {
                $0.split(separator: " ").prefix(4).joined(separator: " ")
            }
                == ["4 subscriptionChanged A r2", "5 subscriptionChanged A r3"].map {
                    $0.replacing("r3", with: "r2")
                })
        let merged = try fixture.changes(recorder, IdentifySpec(device: "d", person: "ann").record)
        let entries = try #require(merged.first?.last)
        #expect(merged.count == 1 && entries.hasPrefix("6 subscriptionChanged B r2"))
        #expect(entries.contains("push/a") && entries.contains("push/b"))
    }

    private static func consent(of id: ProfileID, _ keys: [(Channel, String)]) -> [UInt8] {
        var buffer = ByteBuffer()
        let start = beginRecord(.updateSubscription, in: &buffer)
        id.binary.withUnsafeBytes {
            SubscriptionHeader(
                project: ProjectID(rawValue: 1), source: .user, changeCount: keys.count,
                identifier: IdentifierView(kind: .profileID, bytes: $0), requestID: .none,
                occurredAt: nil, sentAt: nil, expectedRevision: nil, evidence: nil
            ).write(into: &buffer)
        }
        for (channel, topic) in keys {
            withBytes(topic) {
                SubscriptionChangeView(channel: channel, topic: $0, state: .unsubscribed)
                    .write(into: &buffer)
            }
        }
        endRecord(at: start, operations: keys.count, in: &buffer)
        return Array(buffer.bytes)
    }

    @Test func onlyAppliedConsentIsAChange() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        _ = try fixture.consent([(.email, "", .subscribed), (.sms, "t", .subscribed)], by: .user)
        let first = recorder.take().joined().map {
            $0.split(separator: " ").prefix(5).joined(separator: " ")
        }
        #expect(
            first == [
                "1 created A r1", "1 subscriptionChanged A r1 email/",
                "2 subscriptionChanged A r1 sms/t",
            ])
        // Older than what is stored: an entry of the ledger, but not applied.
        _ = try fixture.consent(
            [(.email, "", .unsubscribed)], by: .user, occurredAt: fixture.now - 5_000_000)
        #expect(recorder.take() == [])
    }

    @Test func suppressionIsAChangeOfEveryProfileWithTheAddress() throws {
        let fixture = TrackFixture()
        try fixture.setEmail("ann@example.com")
        let recorder = fixture.record()
        let address = withBytes("Ann@example.com") {
            fixture.store.addressHash(ProjectID(rawValue: 1), .email, $0)
        }
        func change(_ kind: RecordKind, _ reason: SuppressionReason?) throws -> [[String]] {
            var buffer = ByteBuffer()
            let start = beginRecord(kind, in: &buffer)
            SuppressionCommand(
                project: ProjectID(rawValue: 1), reason: reason, address: address, requestID: .none
            ).write(into: &buffer)
            endRecord(at: start, operations: 1, in: &buffer)
            return try fixture.changes(recorder, Array(buffer.bytes))
        }
        #expect(
            try change(.addSuppression, .complaint) == [
                ["2 suppressionChanged A r1 email \(SuppressionReasons.complaint.rawValue)"]
            ])
        #expect(try change(.addSuppression, .complaint) == [], "the reasons are the same")
        #expect(try change(.removeSuppression, nil) == [["4 suppressionChanged A r1 email 0"]])
        try fixture.suppress(77, .manual)
        #expect(recorder.take() == [], "nobody has this address")
    }

    @Test func erasureNamesTheIdOnlyAndTicksNameNothing() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        try fixture.track()
        let id = try #require(fixture.read("ann")?.id)
        _ = recorder.take()
        try fixture.erase("ann")
        #expect(recorder.take() == [["2 erased A r0"]])
        #expect(recorder.changes.last?.change.profileID == id)
        try fixture.erase("ann")
        #expect(recorder.take() == [], "there was nothing to erase")
        try fixture.track(TrackSpec("bob"))
        _ = recorder.take()
        try fixture.tick(
            after: Int64(fixture.store.project.retentionSeconds + 1) * TrackFixture.second)
        #expect(fixture.store.memory.retainedEvents == 0)
        #expect(recorder.take() == [], "retention changes no revision")
    }

    @Test func atomicBatchIsOneDeliveryAndARejectedOneNone() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        let good = [
            TrackSpec("ann", [EventSpec(name: "a")]), TrackSpec("ann", [EventSpec(name: "b")]),
        ]
        #expect(
            try fixture.changes(recorder, fixture.batch(good)) == [
                ["1 created A r1", "1 eventStored A r1 a@1", "2 eventStored A r2 b@2"]
            ])
        let bad = good + [TrackSpec("nobody").with { $0.flags = .mustExist }]
        #expect(try fixture.changes(recorder, fixture.batch(bad)) == [])
        #expect(
            try fixture.changes(recorder, fixture.batch(bad, isBestEffort: true)) == [
                ["6 eventStored A r3 a@6"], ["7 eventStored A r4 b@7"],
            ])
    }

    @Test func nothingIsCollectedWithoutAConsumer() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        fixture.store.attach(nil)
        var generator = MixedGenerator(random: SeededRandom(state: 5))
        for _ in 0 ..< 200 { try SnapshotTests.step(fixture, &generator) }
        #expect(recorder.commits.isEmpty)
        #expect(fixture.store.changes.pointee.list.changes.capacity == 0)
    }

    // MARK: Anything, many times

    @Test(arguments: [21, 22, 23, 24] as [UInt64])
    func replayAndALoadedSnapshotGiveTheSameList(seed: UInt64) throws {
        let live = TrackFixture(limits: BatchTests.limits)
        let recorder = live.record()
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        for _ in 0 ..< 300 { try SnapshotTests.step(live, &generator) }
        let blocks = try SnapshotTests.blocks(of: live.store)
        let (cut, position) = (recorder.commits.count, live.log.count)
        for _ in 0 ..< 500 { try SnapshotTests.step(live, &generator) }

        let replayed = TrackFixture(limits: BatchTests.limits)
        let again = replayed.record()
        for entry in live.log { try Self.apply(entry, to: replayed.store) }
        #expect(again.commits == recorder.commits && recorder.commits.count > 100)
        #expect(replayed.store.digest() == live.store.digest())
        #expect(
            replayed.store.memory.slabBytesInUse == live.store.memory.slabBytesInUse,
            "blocks that a change referred to are freed after the delivery")

        let loaded = try SnapshotTests.load(blocks)
        let rest = ChangeRecorder()
        loaded.attach(rest)
        for entry in live.log[position...] { try Self.apply(entry, to: loaded) }
        func strip(_ commits: ArraySlice<[String]>) -> [[String]] {
            // Letters are given in the order of appearance, which differs.
            commits.map { $0.map { $0.split(separator: " ").prefix(2).joined(separator: " ") } }
        }
        #expect(strip(rest.commits[...]) == strip(recorder.commits[cut...]))
    }

    /// A store with a consumer ends in the same state, with the same memory, as one without.
    @Test(arguments: [31, 32] as [UInt64])
    func consumerChangesNothing(seed: UInt64) throws {
        let plain = TrackFixture(limits: BatchTests.limits)
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        for _ in 0 ..< 800 { try SnapshotTests.step(plain, &generator) }
        let consumed = TrackFixture(limits: BatchTests.limits)
        let recorder = consumed.record()
        for entry in plain.log {
            let result = try TrackFixture.apply(
                entry.record, to: consumed.store, firstLSN: entry.firstLSN,
                receivedAt: entry.receivedAt)
            #expect(result == entry.result)
        }
        #expect(!recorder.commits.isEmpty)
        #expect(consumed.store.digest() == plain.store.digest())
        #expect(consumed.store.memory.slabBytesInUse == plain.store.memory.slabBytesInUse)
    }

    /// Whatever the record: a profile has a change exactly if its revision moved, it was created,
    /// merged away or erased, and the attributes named are those that a reader sees differ.
    @Test(arguments: [41, 42, 43, 44] as [UInt64])
    func profilesNamedAreThoseWhoseRevisionMoved(seed: UInt64) throws {
        let fixture = TrackFixture(limits: BatchTests.limits)
        let recorder = fixture.record()
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        var before: [ProfileID: Shown] = [:]
        for _ in 0 ..< 800 {
            recorder.changes = []
            try SnapshotTests.step(fixture, &generator)
            let after = Self.shown(fixture)
            var moved: Set<ProfileID> = []
            for (id, shown) in after where before[id]?.revision != shown.revision {
                moved.insert(id)
            }
            for id in before.keys where after[id] == nil { moved.insert(id) }
            var named: Set<ProfileID> = []
            for (change, _, _) in recorder.changes where change.kind != .suppressionChanged {
                named.insert(change.profileID)
                if change.otherID != .none { named.insert(change.otherID) }
            }
            // A batch can create a profile and merge it away: nobody ever saw it.
            named = named.filter { before[$0] != nil || after[$0] != nil }
            // An erased profile takes those with it that were merged into it before.
            try #require(moved == named, "\(recorder.commits.last ?? [])")
            let isBatch =
                fixture.log.last.map { $0.record[4] == RecordKind.batch.rawValue } ?? false
            if !isBatch { Self.check(recorder, before, after) }
            before = after
        }
    }

    private struct Shown {
        var revision: UInt64
        var attributes: [String: [UInt8]]
    }

    private static func check(
        _ recorder: ChangeRecorder, _ before: [ProfileID: Shown], _ after: [ProfileID: Shown]
    ) {
        for (id, shown) in after {
            guard let old = before[id] else { continue }
            let named = recorder.changes.filter {
                $0.change.kind == .attributesChanged && $0.change.profileID == id
            }
            let set = shown.attributes.keys.filter { old.attributes[$0] != shown.attributes[$0] }
            let deleted = old.attributes.keys.filter { shown.attributes[$0] == nil }
            #expect(named.flatMap(\.names) == set.sorted())
            #expect(named.flatMap(\.deleted) == deleted.sorted())
        }
    }

    private static func shown(_ fixture: TrackFixture) -> [ProfileID: Shown] {
        var shown: [ProfileID: Shown] = [:]
        fixture.store.forEachProfile(now: fixture.now) { _, image in
            var one = Shown(revision: image.revision, attributes: [:])
            image.forEachAttributeValue { one.attributes[$0] = $1 }
            shown[image.profileID] = one
        }
        return shown
    }

    private static func apply(_ entry: TrackFixture.Entry, to store: Store) throws {
        _ = try TrackFixture.apply(
            entry.record, to: store, firstLSN: entry.firstLSN, receivedAt: entry.receivedAt)
    }
}

extension ProfileImage {
    /// Every attribute with its packed value.
    fileprivate func forEachAttributeValue(_ body: (String, [UInt8]) -> Void) {
        var lists = self.lists
        for _ in 0 ..< lists.readVarint() {
            _ = lists.readPrefixed()
            _ = lists.read(count: 17)
        }
        for _ in 0 ..< lists.readVarint() {
            _ = lists.read(UInt8.self)
            _ = lists.readPrefixed()
        }
        for _ in 0 ..< lists.readVarint() {
            _ = lists.readPrefixed()
            _ = lists.read(count: 24)
        }
        for _ in 0 ..< lists.readVarint() {
            let name = String(decoding: lists.readPrefixed(), as: UTF8.self)
            let start = lists
            guard PackedValue.skip(&lists, depth: 1) else { return }
            var value = start
            body(name, Array(value.read(count: lists.offset - start.offset)))
            _ = lists.read(count: 17)
            _ = lists.readPrefixed()
        }
    }
}
