import Bytes
import Testing

@testable import Profiles

/// Change records say exactly what a record of the log changed, in the order of the feed.
@Suite struct ChangeRecordTests {
    // MARK: Events

    @Test func trackThatCreatesAProfileIsItsCreationAndThenItsEvents() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        let spec = TrackSpec.installation("d", [EventSpec(name: "a"), EventSpec(name: "b")])
        #expect(
            try fixture.changes(recorder, spec.record) == [
                "1 created A r1 d", "1 eventStored A r1 a@1", "2 eventStored A r1 b@2",
            ])
        #expect(
            try fixture.changes(
                recorder, TrackSpec.installation("d", [EventSpec(name: "c")]).record)
                == ["3 eventStored A r2 c@3"])
    }

    @Test func eventHasWhatWasSentAndTheCustomIDOfItsProfile() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        let event = EventSpec(name: "buy", id: "order-1", occurredAt: fixture.now - 5)
        func spec(_ person: String) -> TrackSpec {
            TrackSpec(person, [event]).with {
                $0.platform = .api
                $0.source = "shop"
            }
        }
        for _ in 0 ..< 2 {
            // The first is written from a noted change, the second from the edit alone.
            let person = "ann"
            fixture.now += 1_000_000
            try fixture.apply(
                spec(person).with { $0.events[0].id = "order-\(fixture.now)" }.record)
            let stored = try #require(try recorder.takeChanges().last)
            #expect(stored.customID == person && stored.receivedAt == fixture.now)
            #expect(stored.id == fixture.read(person)?.id && stored.project == 1)
            #expect(
                stored.event
                    == RecordedChange.Event(
                        name: "buy", lsn: fixture.lsn, id: "order-\(fixture.now)",
                        platform: Platform.api.rawValue, source: "shop",
                        effectiveTime: TrackFixture.start - 5))
        }
        try fixture.track(TrackSpec("ann", [EventSpec()]))
        #expect(try recorder.takeChanges().last?.event?.id == "", "the server made the id")
        let created = try #require(recorder.changes.first)
        #expect(created.kind == .created && created.platform == Platform.api.rawValue)
        #expect(created.source == "shop" && created.customID == "ann")
    }

    /// The example of docs/formats/feed.md.
    @Test func recordOfTheExampleHasItsBytes() throws {
        let fixture = TrackFixture()
        try fixture.track(TrackSpec("ann", [EventSpec(name: "visit")]))
        let recorder = fixture.record()
        fixture.now += 1_000_000
        let event = EventSpec(name: "visit", id: "e-1", attributes: [("a", 3)])
        try fixture.apply(TrackSpec("ann", [event]).record)
        let bytes = try #require(try recorder.takeChanges().first?.bytes)
        let expected: [UInt8] = [
            0x6e, 0x00, 0x00, 0x00, 0x07, 0x00, 0x03, 0x00, 0x01, 0x00, 0x00, 0x00,
            0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
            0x40, 0x82, 0x2d, 0x18, 0x24, 0x0a, 0x06, 0x00, 0x01, 0x8b, 0xcf, 0xe5,
            0x68, 0x00, 0x00, 0x01, 0xae, 0xef, 0x06, 0xe6, 0x7e, 0xe5, 0x05, 0x48,
            0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x61, 0x6e, 0x6e, 0x40,
            0x82, 0x2d, 0x18, 0x24, 0x0a, 0x06, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00,
            0x00, 0x00, 0x00, 0x40, 0x82, 0x2d, 0x18, 0x24, 0x0a, 0x06, 0x00, 0x00,
            0x00, 0x00, 0x00, 0x33, 0x00, 0x00, 0x00, 0x02, 0x03, 0x03, 0x61, 0x6e,
            0x6e, 0x03, 0x65, 0x2d, 0x31, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x01,
            0x02, 0x06,
        ]
        #expect(bytes == expected)
    }

    @Test func bothWaysOfRecordingAnEventGiveTheSameBytes() throws {
        let (plain, batched) = (TrackFixture(), TrackFixture())
        try plain.track()
        try batched.track()
        let (one, other) = (plain.record(), batched.record())
        plain.now += 10
        batched.now += 10
        let event = EventSpec(name: "e", id: "x", attributes: [("a", 7), ("b", -1)])
        try plain.apply(TrackSpec("ann", [event]).record)
        let fast = try one.takeChanges()
        // As if the commit had staged more than the edit.
        batched.store.changes.pointee.isStaged = true
        try batched.apply(TrackSpec("ann", [event]).record)
        let slow = try other.takeChanges()
        #expect(fast == slow && fast.count == 1)
    }

    @Test func historicalTrackIsMarked() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        let spec = TrackSpec("ann", [EventSpec(occurredAt: fixture.now - 86_400_000_000)])
            .with { $0.flags = .historical }
        #expect(
            try fixture.changes(recorder, spec.record) == [
                "1 created A r1 historical", "1 eventStored A r1 historical visit@1",
            ])
        #expect(
            try fixture.changes(recorder, spec.record) == ["2 eventStored A r2 historical visit@2"])
    }

    @Test func duplicatesAndRejectedEventsAreNoChange() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        try fixture.track(TrackSpec("ann", [EventSpec(id: "x")]))
        try recorder.take()
        #expect(try fixture.changes(recorder, TrackSpec("ann", [EventSpec(id: "x")]).record) == [])
        let bad = TrackSpec("ann", [EventSpec(violation: "no"), EventSpec(name: "good")])
            .with { $0.flags = .allowPartial }
        #expect(try fixture.changes(recorder, bad.record) == ["4 eventStored A r2 good@4"])
        let late = TrackSpec("nobody").with { $0.flags = .mustExist }
        #expect(try fixture.changes(recorder, late.record) == [])
    }

    @Test func eventOverTheLimitIsRecordedBeforeItsBlockIsFreed() throws {
        var limits = StoreLimits()
        limits.eventsPerProfile = 1
        let fixture = TrackFixture(limits: limits)
        let recorder = fixture.record()
        try fixture.track()
        try recorder.take()
        // The older of the two is dropped in the call that stores it.
        let early = EventSpec(name: "early", occurredAt: fixture.now - 1_000_000)
        #expect(
            try fixture.changes(recorder, TrackSpec("ann", [early, EventSpec(name: "new")]).record)
                == ["2 eventStored A r2 early@2", "3 eventStored A r2 new@3"])
        #expect(fixture.store.memory.retainedEvents == 1)
        // A commit that also creates the profile keeps what it drops until it is recorded.
        let bytes = fixture.store.memory.slabBytesInUse
        #expect(
            try fixture.changes(recorder, TrackSpec("bob", [early, EventSpec(name: "new")]).record)
                == ["4 created B r1", "4 eventStored B r1 early@4", "5 eventStored B r1 new@5"])
        #expect(fixture.store.memory.retainedEvents == 2)
        try fixture.erase("bob")
        #expect(fixture.store.memory.slabBytesInUse <= bytes + 1_024, "dropped blocks are freed")
    }

    @Test func lateEventIsAChangeOfTheProfileThatHeldTheDeviceThen() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        try fixture.apply(IdentifySpec(device: "d", person: "ann").record)
        fixture.now += 10_000_000
        try fixture.apply(IdentifySpec(device: "d", person: "bob").record)
        try recorder.take()
        let late = EventSpec(name: "late", occurredAt: fixture.now - 5_000_000)
        let spec = TrackSpec.installation("d", [late, EventSpec(name: "now"), late])
        #expect(
            try fixture.changes(recorder, spec.record) == [
                "3 eventStored A r3 late@3", "4 eventStored B r2 now@4",
                "5 eventStored A r3 late@5",
            ])
        #expect(recorder.changes.suffix(3).map(\.customID) == ["ann", "bob", "ann"])
    }

    // MARK: Identify

    @Test func identifyHasTheAttributesThatItSetAndDeletedWithTheirValues() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        var spec = IdentifySpec(person: "ann")
        spec.source = "crm"
        spec.patch = [
            ("a", .set, 1, []), ("b", .set, 2, []), ("l", .add, 0, ["x"]), ("z", .delete, 0, []),
        ]
        #expect(try fixture.changes(recorder, spec.record) == ["1 created A r1 +a +b +l"])
        #expect(recorder.changes.first?.set["l"] == [PackedTag.list.rawValue, 1, 1, 120])
        fixture.now += 1
        spec.patch = [
            ("a", .delete, 0, []), ("b", .set, 2, []), ("c", .set, 3, []), ("l", .add, 0, ["y"]),
        ]
        #expect(
            try fixture.changes(recorder, spec.record) == ["2 attributesChanged A r2 -a +c +l"])
        let changed = try #require(recorder.changes.last)
        #expect(changed.set["c"] == [PackedTag.integer.rawValue, 6], "3 as a zigzag number")
        #expect(changed.set["l"] == [PackedTag.list.rawValue, 2, 1, 120, 1, 121])
        #expect(changed.platform == 3 && changed.source == "crm" && changed.customID == "ann")
        // An equal value at a later time and a deletion of nothing change no revision.
        fixture.now += 1
        spec.patch = [("a", .delete, 0, []), ("b", .set, 2, [])]
        #expect(try fixture.changes(recorder, spec.record) == [])
        // An older write loses.
        spec.occurredAt = fixture.now - 1_000_000
        spec.patch = [("c", .set, 9, [])]
        #expect(try fixture.changes(recorder, spec.record) == [])
    }

    @Test func valuesAreThoseOfTheirOperationInABatch() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        var items = ByteBuffer()
        for value in [1, 2] as [Int64] {
            let item = beginBatchItem(.identify, in: &items)
            var spec = IdentifySpec(person: "ann")
            spec.patch = [("a", .set, value, [])]
            spec.write(into: &items)
            endBatchItem(at: item, operations: 1, in: &items)
        }
        var buffer = ByteBuffer()
        let start = beginRecord(.batch, in: &buffer)
        BatchHeader(project: ProjectID(rawValue: 1), flags: [], requestID: .none, itemCount: 2)
            .write(into: &buffer)
        buffer.append(items.bytes)
        endRecord(at: start, operations: 2, in: &buffer)
        #expect(
            try fixture.changes(recorder, Array(buffer.bytes)) == [
                "1 created A r1 +a", "2 attributesChanged A r2 +a",
            ])
        let tag = PackedTag.integer.rawValue
        #expect(recorder.changes.map(\.set) == [["a": [tag, 2]], ["a": [tag, 4]]])
    }

    @Test func promotionAttachmentSwitchAndLogOutAreChangesOfBothProfiles() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        try fixture.track(.installation("d"))
        #expect(try recorder.take() == ["1 created A r1 d", "1 eventStored A r1 visit@1"])
        func step(_ spec: IdentifySpec) throws -> [String] {
            fixture.now += 1_000_000
            return try fixture.changes(recorder, spec.record)
        }
        var promotion = IdentifySpec(device: "d", person: "ann")
        promotion.patch = [("a", .set, 1, [])]
        #expect(try step(promotion) == ["2 identified A r2", "2 attributesChanged A r2 +a"])
        #expect(recorder.changes.last?.customID == "ann")
        #expect(
            try step(IdentifySpec(device: "e", person: "ann")) == ["3 installationMoved A r3 e"])
        #expect(
            try step(IdentifySpec(device: "d", person: "bob")) == [
                "4 created B r1 d", "4 installationMoved B from A r1 d",
            ])
        #expect(
            try step(IdentifySpec(device: "d", isLogOut: true)) == [
                "5 created C r1 d", "5 installationMoved C from B r1 d",
            ])
        #expect(
            try step(IdentifySpec(device: "e", person: "bob")) == [
                "6 installationMoved B from A r3 e"
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
        try recorder.take()
        var merge = IdentifySpec(device: "d", person: "ann")
        merge.isHistorical = true
        #expect(
            try fixture.changes(recorder, merge.record) == [
                "3 merged B from A r2 historical", "3 installationMoved B from A r2 historical d",
                "3 attributesChanged B r2 historical +b",
            ])
    }

    // MARK: Consent

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
            try recorder.take() == [
                "4 subscriptionChanged A r2 push/a", "5 subscriptionChanged A r2 push/b",
            ])
        #expect(
            try fixture.changes(recorder, IdentifySpec(device: "d", person: "ann").record) == [
                "6 merged B from A r2", "6 installationMoved B from A r2 d",
                "6 subscriptionChanged B r2 push/a push/b",
            ])
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
        #expect(
            try recorder.take() == [
                "1 created A r1", "1 subscriptionChanged A r1 email/",
                "2 subscriptionChanged A r1 sms/t",
            ])
        // Older than what is stored: an entry of the ledger, but not applied.
        _ = try fixture.consent(
            [(.email, "", .unsubscribed)], by: .user, occurredAt: fixture.now - 5_000_000)
        #expect(try recorder.take() == [])
        // The hashes are those of the ledger, whose third entry was not a change.
        _ = try fixture.consent([(.email, "", .unsubscribed)], by: .user, after: 1)
        let entries = try recorder.takeChanges().flatMap(\.entries)
        let all = recorder.changes.flatMap(\.entries)
        #expect(entries.count == 1 && all.count == 3)
        #expect(all[0].previousHash == .zero && all[1].previousHash == all[0].hash)
        #expect(all[2].previousHash != all[1].hash)
        for entry in all {
            let hash = entry.bytes.withUnsafeBytes {
                LedgerPart.hash($0, after: entry.previousHash)
            }
            #expect(entry.hash == hash)
        }
    }

    @Test func suppressionIsAChangeOfEveryProfileWithTheAddress() throws {
        let fixture = TrackFixture()
        try fixture.setEmail("ann@example.com")
        let recorder = fixture.record()
        let address = withBytes("Ann@example.com") {
            fixture.store.addressHash(ProjectID(rawValue: 1), .email, $0)
        }
        func change(_ kind: RecordKind, _ reason: SuppressionReason?) throws -> [String] {
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
                "2 suppressionChanged A r1 email \(SuppressionReasons.complaint.rawValue)"
            ])
        #expect(try change(.addSuppression, .complaint) == [], "the reasons are the same")
        #expect(try change(.removeSuppression, nil) == ["4 suppressionChanged A r1 email 0"])
        try fixture.suppress(77, .manual)
        #expect(try recorder.take() == [], "nobody has this address")
    }

    // MARK: Erasure

    @Test func erasureNamesTheIdOnlyAndTicksNameNothing() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        try fixture.track()
        let id = try #require(fixture.read("ann")?.id)
        try recorder.take()
        try fixture.erase("ann")
        #expect(try recorder.take() == ["2 erased A r0"])
        let erased = try #require(recorder.changes.last)
        #expect(erased.id == id && erased.customID.isEmpty)
        try fixture.erase("ann")
        #expect(try recorder.take() == [], "there was nothing to erase")
        try fixture.track(TrackSpec("bob"))
        try recorder.take()
        try fixture.tick(
            after: Int64(fixture.store.project.retentionSeconds + 1) * TrackFixture.second)
        #expect(fixture.store.memory.retainedEvents == 0)
        #expect(try recorder.take() == [], "retention changes no revision")
    }

    @Test func erasureCarriesTheProfilesThatWereMergedIntoThePerson() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        try fixture.apply(IdentifySpec(person: "ann").record)
        for device in ["d", "e"] {
            try fixture.apply(IdentifySpec(device: device).record)
            try fixture.apply(IdentifySpec(device: device, person: "ann").record)
        }
        try recorder.take()
        try fixture.erase("ann")
        #expect(try recorder.take() == ["6 erased A r0 and B and C"])
        let ids = recorder.changes.filter { $0.kind == .created }.map(\.id)
        for id in ids { #expect(fixture.store.isErased(ProjectID(rawValue: 1), id)) }
    }

    @Test func erasureSaysWhomEachProfileWasMergedIntoItself() throws {
        let fixture = TrackFixture()
        for name in ["ann", "bob", "eve"] { try fixture.identify(name) }
        let ids = ["ann", "bob", "eve"].compactMap { fixture.id(.person($0)) }
        try fixture.merge(.person("ann"), into: .person("bob"))
        try fixture.merge(.person("bob"), into: .person("eve"))
        let recorder = fixture.record()
        try fixture.erase("ann")
        let erased = try #require(try recorder.takeChanges().first { $0.kind == .erased })
        #expect(erased.id == ids[2])
        let survivors = Dictionary(uniqueKeysWithValues: zip(erased.erased, erased.survivors))
        #expect(survivors == [ids[0]: ids[1], ids[1]: ids[2]])
    }

    // MARK: Batches

    @Test func rejectedAtomicBatchLeavesNoRecord() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        let good = [
            TrackSpec("ann", [EventSpec(name: "a")]), TrackSpec("ann", [EventSpec(name: "b")]),
        ]
        #expect(
            try fixture.changes(recorder, fixture.batch(good)) == [
                "1 created A r1", "1 eventStored A r1 a@1", "2 eventStored A r2 b@2",
            ])
        let bad = good + [TrackSpec("nobody").with { $0.flags = .mustExist }]
        // What was recorded before the batch stays.
        try fixture.apply(TrackSpec("ann", [EventSpec(name: "c")]).record)
        try fixture.apply(fixture.batch(bad))
        #expect(try recorder.take() == ["3 eventStored A r3 c@3"])
        #expect(recorder.recorded?.changesIdentities == false && recorder.recorded?.lastLSN == 3)
        #expect(
            try fixture.changes(recorder, fixture.batch(bad, isBestEffort: true)) == [
                "7 eventStored A r4 a@7", "8 eventStored A r5 b@8",
            ])
        let new = [TrackSpec("new"), TrackSpec("nobody").with { $0.flags = .mustExist }]
        #expect(try fixture.changes(recorder, fixture.batch(new)) == [])
    }

    @Test func nothingIsRecordedUnlessAskedFor() throws {
        let fixture = TrackFixture()
        var generator = MixedGenerator(random: SeededRandom(state: 5))
        for _ in 0 ..< 200 { try SnapshotTests.step(fixture, &generator) }
        fixture.store.takeChanges { _, _ in Issue.record("nothing was recorded") }
        #expect(fixture.store.changes.pointee.list.changes.capacity == 0)
    }

    @Test func storageOfALargeFrameIsNotKept() throws {
        let fixture = TrackFixture()
        let recorder = fixture.record()
        try fixture.track()
        let label = String(repeating: "x", count: 1 << 20)
        for _ in 0 ..< 12 { try fixture.track(TrackSpec("ann", [EventSpec(label: label)])) }
        #expect(fixture.store.changes.pointee.records.buffer.capacity > ChangeRecords.bytesKept)
        #expect(try recorder.takeChanges().count == 14)
        #expect(fixture.store.changes.pointee.records.buffer.capacity <= ChangeRecords.bytesKept)
    }
}
