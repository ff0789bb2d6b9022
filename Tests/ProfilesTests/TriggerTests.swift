import Bytes
import Testing

@testable import Profiles

/// Triggers as they are made and deleted, and which events they fire for.
@Suite struct TriggerTests {
    private static let project = ProjectID(rawValue: 1)
    private static let day: UInt64 = 86_400

    // MARK: Definitions

    @Test func createdTriggerIsListedWithEverythingAskedFor() throws {
        let fixture = TrackFixture()
        let version = fixture.store.triggers.version
        let trigger = try fixture.trigger(on: "cart") {
            ($0.guardChannel, $0.guardTopic) = (1, Array("news".utf8))
            ($0.cap, $0.capPeriodSeconds) = (3, Self.day)
            ($0.delaySeconds, $0.unlessEventName) = (60, Array("purchase".utf8))
            ($0.displayName, $0.ackDeadlineSeconds) = (Array("Cart".utf8), 10)
        }
        #expect(TrackFixture.triggers(of: fixture.store) == [trigger])
        #expect(trigger.createdLSN == fixture.lsn && trigger.createdAt == fixture.now)
        #expect(trigger.definition.cap == 3 && trigger.definition.unlessEventName.count == 8)
        #expect(fixture.store.triggers.version > version)
        let other = try fixture.trigger(on: "cart")
        #expect(other.id != trigger.id)
        #expect(TrackFixture.triggers(of: fixture.store).map(\.id) == [trigger.id, other.id])
    }

    @Test func hundredAndFirstTriggerIsRejectedUntilOneIsDeleted() throws {
        let fixture = TrackFixture()
        var made: [TriggerInfo] = []
        for _ in 0 ..< TriggerLimits.triggersPerProject { made.append(try fixture.trigger()) }
        let over = try fixture.createTrigger(.on("visit"))
        #expect(over.header.rejection == .limitExceeded && over.header.detail == 100)
        #expect(over.header.index == 0)
        #expect(try fixture.deleteTrigger(made[7].id).rejection == .none)
        #expect(try fixture.createTrigger(.on("visit")).trigger != nil)
    }

    @Test func triggerOnANameBeyondTheProjectsNamesIsRejectedAndAddsNone() throws {
        var limits = StoreLimits()
        limits.namesPerProject = 2
        let fixture = TrackFixture(limits: limits)
        _ = try fixture.trigger(on: "a")
        let over = try fixture.createTrigger(
            .on("b") { ($0.delaySeconds, $0.unlessEventName) = (1, Array("c".utf8)) })
        #expect(over.header.rejection == .limitExceeded && over.header.detail == 2)
        #expect(over.header.index == Store.namesExhausted)
        #expect(try fixture.createTrigger(.on("b")).trigger != nil)
    }

    @Test func requestIDOfACreateTriggerIsReplayedAndNotReused() throws {
        let fixture = TrackFixture()
        let first = try fixture.createTrigger(.on("a"), requestID: "r")
        let again = try fixture.createTrigger(.on("a"), requestID: "r")
        #expect(again.header.isReplayed && again.trigger?.id == first.trigger?.id)
        #expect(again.header.lsn == first.header.lsn)
        #expect(
            try fixture.createTrigger(.on("b"), requestID: "r").header.rejection
                == .requestIDReused)
        #expect(TrackFixture.triggers(of: fixture.store).count == 1)
        let deleted = try fixture.deleteTrigger(try #require(first.trigger).id, requestID: "d")
        let retried = try fixture.deleteTrigger(try #require(first.trigger).id, requestID: "d")
        #expect(deleted.rejection == .none && retried.isReplayed && retried.lsn == deleted.lsn)
    }

    @Test func deletedTriggerIsUnknownAtOnceAndItsFiringsGo() throws {
        let fixture = TrackFixture()
        let trigger = try fixture.trigger()
        let waiting = try fixture.trigger { $0.delaySeconds = 60 }
        for _ in 0 ..< 5 { try fixture.track() }
        let bytes = fixture.store.slab.bytesInUse
        #expect(fixture.pending(trigger)?.count == 5)
        #expect(try fixture.deleteTrigger(trigger.id).rejection == .none)
        #expect(try fixture.deleteTrigger(waiting.id).rejection == .none)
        #expect(fixture.pending(trigger) == nil && fixture.info(trigger) == nil)
        #expect(try fixture.settle(trigger, [2]) == nil)
        #expect(try fixture.deleteTrigger(trigger.id).rejection == .triggerNotFound)
        #expect(fixture.store.tickDue(at: fixture.now + RetentionSweep.tickInterval))
        try fixture.tick()
        #expect(fixture.store.triggers.projects.isEmpty && fixture.store.triggers.owners.count == 0)
        #expect(fixture.store.slab.bytesInUse < bytes)
        #expect(fixture.store.triggers.counts.pending == 0)
        #expect(fixture.store.triggers.counts.lost == 0)
        #expect(fixture.store.triggers.queueBytes == 0)
        try fixture.track()
        #expect(fixture.store.triggers.nextDue == .max)
    }

    @Test func malformedOrUnsupportedDefinitionIsMalformed() throws {
        let changes: [(inout TriggerDefinition) -> Void] = [
            { $0.eventName = [] }, { $0.guardChannel = 9 }, { $0.cap = 1 },
            { $0.capPeriodSeconds = 1 },
            { ($0.cap, $0.capPeriodSeconds) = (TriggerLimits.capMax + 1, 1) },
            { ($0.cap, $0.capPeriodSeconds) = (1, TriggerLimits.capPeriodSecondsMax + 1) },
            { $0.delaySeconds = TriggerLimits.delaySecondsMax + 1 },
            { $0.unlessEventName = Array("x".utf8) }, { $0.ackDeadlineSeconds = 9 },
            { $0.filter = Array("((".utf8) },
        ]
        for change in changes {
            let fixture = TrackFixture()
            #expect(throws: ApplyError.self) { try fixture.createTrigger(.on("visit", change)) }
            #expect(fixture.store.triggers.projects.isEmpty)
        }
        let whole = TrackFixture.createTriggerRecord(.on("visit"))
        #expect(whole.count > 16)
        for length in 0 ..< whole.count - 16 {
            var buffer = ByteBuffer()
            let start = beginRecord(.createTrigger, in: &buffer)
            whole[8 ..< 8 + length].withUnsafeBytes { buffer.append($0) }
            endRecord(at: start, operations: 1, in: &buffer)
            #expect(throws: ApplyError.self) { try TrackFixture().apply(Array(buffer.bytes)) }
        }
    }

    // MARK: Which events

    @Test func eventOfTheNameFiresOnceAndOthersDoNot() throws {
        let fixture = TrackFixture()
        try fixture.track(TrackSpec("ann", [EventSpec()]))
        let trigger = try fixture.trigger()
        let other = try fixture.trigger(on: "purchase")
        let response = try fixture.track(
            TrackSpec("ann", [EventSpec(), EventSpec(name: "open"), EventSpec()]))
        let lsns = response.events.map(\.lsn)
        #expect(fixture.pendingLSNs(trigger) == [lsns[0], lsns[2]])
        #expect(fixture.pending(other) == [])
        let firings = try #require(fixture.pending(trigger))
        #expect(firings.allSatisfy { $0.profile == response.profileID })
        #expect(firings.allSatisfy { $0.dueAt == fixture.now })
        #expect(fixture.info(trigger)?.pending == 2 && fixture.store.triggers.counts.fired == 2)
    }

    @Test func duplicateAndHistoricalAndRejectedEventsDoNotFire() throws {
        let fixture = TrackFixture()
        let trigger = try fixture.trigger()
        let spec = TrackSpec("ann", [EventSpec(id: "e1"), EventSpec(id: "e1")])
        let first = try fixture.track(spec)
        try fixture.track(spec)
        try fixture.track(TrackSpec().with { $0.flags = .historical })
        var partial = TrackSpec("ann", [EventSpec(violation: "bad"), EventSpec()])
        partial.flags = .allowPartial
        let last = try fixture.track(partial)
        #expect(fixture.pendingLSNs(trigger) == [first.events[0].lsn, last.events[1].lsn])
    }

    @Test func lateEventFiresForTheProfileThatItIsCreditedTo() throws {
        let fixture = TrackFixture()
        let before = fixture.now
        try fixture.apply(IdentifySpec(device: "d", person: "ann").record)
        let ann = try #require(fixture.read("ann")).id
        fixture.now += 100 * TrackFixture.second
        try fixture.apply(IdentifySpec(device: "d", person: "bob").record)
        let bob = try #require(fixture.read("bob")).id
        let trigger = try fixture.trigger()
        fixture.now += 100 * TrackFixture.second
        var late = EventSpec()
        // Before the trigger was made, and while the device was ann's.
        late.occurredAt = before + TrackFixture.second
        let response = try fixture.track(.installation("d", [EventSpec(), late, EventSpec()]))
        #expect(response.events[1].holder == ann)
        #expect(fixture.pending(trigger)?.map(\.profile) == [bob, ann, bob])
    }

    @Test func triggerOfAnotherProjectDoesNotFire() throws {
        let fixture = TrackFixture()
        let trigger = try fixture.trigger()
        try fixture.create("other")
        try fixture.with(project: 2) {
            let theirs = try fixture.trigger()
            try fixture.track()
            #expect(fixture.pending(theirs)?.count == 1)
            #expect(fixture.pending(trigger) == nil)
        }
        #expect(fixture.pending(trigger) == [])
        #expect(
            try fixture.with(project: 2) { try fixture.deleteTrigger(trigger.id) }.rejection
                == .triggerNotFound)
    }

    @Test func filterIsEvaluatedOnTheProfileRightAfterTheEvent() throws {
        let fixture = TrackFixture()
        let second = try fixture.trigger { $0.filter = Array("events.visit.count = 2".utf8) }
        let gold = try fixture.trigger { $0.filter = Array("attributes.level = 3".utf8) }
        let amount = try fixture.trigger { $0.filter = Array("event.amount > 50".utf8) }
        let events = [10, 60, 70].map { EventSpec(attributes: [("amount", $0)]) }
        let lsns = try fixture.track(TrackSpec("ann", events)).events.map(\.lsn)
        #expect(fixture.pendingLSNs(second) == [lsns[1]])
        #expect(fixture.pendingLSNs(amount) == [lsns[1], lsns[2]])
        #expect(fixture.pendingLSNs(gold) == [])
        try fixture.apply(
            IdentifySpec(person: "ann", patch: [("level", .set, 3, [])]).record)
        let third = try fixture.track().events[0].lsn
        #expect(fixture.pendingLSNs(gold) == [third])
    }

    // MARK: Reading and settling

    @Test func pendingFiringsAreReadInPagesBehindAPosition() throws {
        let fixture = TrackFixture()
        let trigger = try fixture.trigger()
        for number in 0 ..< 10 { try fixture.track(TrackSpec("p\(number)")) }
        let all = fixture.pendingLSNs(trigger)
        #expect(all.count == 10)
        #expect(fixture.pending(trigger, limit: 3)?.map(\.lsn) == Array(all[..<3]))
        #expect(
            fixture.pending(trigger, after: all[2], limit: 3)?.map(\.lsn) == Array(all[3 ..< 6]))
        #expect(fixture.pending(trigger, after: all[9]) == [])
        try fixture.settle(trigger, [all[3], all[4]])
        #expect(
            fixture.pending(trigger, after: all[2], limit: 2)?.map(\.lsn) == [all[5], all[6]])
    }

    @Test func firingKeepsTheEventAfterThatIsPastItsRetention() throws {
        var limits = StoreLimits()
        limits.eventsPerProfile = 1
        let fixture = TrackFixture(limits: limits)
        let trigger = try fixture.trigger()
        try fixture.track(TrackSpec("ann", [EventSpec(label: "first")]))
        for _ in 0 ..< 3 { try fixture.track() }
        var images: [String] = []
        _ = fixture.store.triggers.forEachPending(
            of: trigger.id, in: Self.project, after: 0, limit: 1
        ) {
            var buffer = ByteBuffer()
            $0.appendEvent(of: Self.project, fixture.store, to: &buffer)
            var reader = ByteReader(buffer.bytes)
            let event = StoredEventView(from: &reader)
            images.append(event.map { String(decoding: $0.name, as: UTF8.self) } ?? "?")
            #expect($0.content.count > 0 && $0.receivedAt == fixture.now)
        }
        #expect(images == ["visit"])
        fixture.now += 100 * TrackFixture.day
        while fixture.store.tickDue(at: fixture.now) { try fixture.tick(after: 200_000) }
        #expect(fixture.store.memory.retainedEvents == 0)
        #expect(fixture.pending(trigger)?.count == 4)
    }

    @Test func settledOrUnknownFiringIsIgnored() throws {
        let fixture = TrackFixture()
        let trigger = try fixture.trigger()
        let waiting = try fixture.trigger { $0.delaySeconds = 60 }
        for _ in 0 ..< 4 { try fixture.track() }
        let lsns = fixture.pendingLSNs(trigger)
        #expect(try fixture.settle(trigger, [lsns[1], 99, lsns[1], lsns[3]]) == 2)
        #expect(try fixture.settle(trigger, [lsns[1]]) == 0)
        #expect(try fixture.settle(trigger, [lsns[0]], .guarded) == 1)
        // Not due yet, so nobody was given it.
        #expect(try fixture.settle(waiting, [lsns[0]]) == 0)
        #expect(fixture.pendingLSNs(trigger) == [lsns[2]])
        let counts = fixture.store.triggers.counts
        #expect(counts.acknowledged == 2 && counts.guarded == 1 && counts.pending == 1)
        #expect(counts.waiting == 4 && counts.lost == 0)
    }

    @Test func firingIDIsItsTextInAnyCase() throws {
        let id = FiringID(triggerLSN: 77, eventLSN: 1_234_567)
        id.bits.withText { text in
            #expect(FiringID(text: text) == id)
            let lower = String(decoding: text, as: UTF8.self).lowercased()
            #expect(withBytes(lower) { FiringID(text: $0) } == id)
        }
        #expect(withBytes("one") { FiringID(text: $0) } == nil)
    }

    @Test func newPendingFiringChangesTheVersions() throws {
        let fixture = TrackFixture()
        let trigger = try fixture.trigger()
        let other = try fixture.trigger(on: "open")
        let version = fixture.store.triggers.version
        try fixture.track(TrackSpec("ann", [EventSpec(name: "none")]))
        #expect(fixture.store.triggers.version == version)
        try fixture.track()
        #expect(fixture.store.triggers.version > version)
        #expect(fixture.info(trigger)?.pendingVersion == 1)
        #expect(fixture.info(other)?.pendingVersion == 0)
    }

    @Test func batchThatIsRolledBackLeavesNoFiring() throws {
        let fixture = TrackFixture()
        let trigger = try fixture.trigger()
        let waiting = try fixture.trigger {
            ($0.delaySeconds, $0.unlessEventName) = (60, Array("open".utf8))
        }
        try fixture.track()
        let (digest, bytes) = (fixture.store.digest(), fixture.store.slab.bytesInUse)
        let tracks = [TrackSpec("ann"), TrackSpec("ann", [EventSpec(name: "open")])]
        var failing = TrackSpec("eve")
        failing.flags = .mustExist
        try fixture.apply(fixture.batch(tracks + [failing]))
        #expect(fixture.store.triggers.staged.isEmpty)
        #expect(fixture.pending(trigger)?.count == 1)
        #expect(fixture.store.slab.bytesInUse == bytes)
        #expect(fixture.store.triggers.counts.waiting == 1)
        #expect(fixture.store.digest() != 0 && digest != 0)
        try fixture.apply(fixture.batch(tracks))
        #expect(fixture.pending(trigger)?.count == 2)
        // The second write cancels what waited, and what the first one made.
        #expect(fixture.store.triggers.counts.waiting == 0)
        #expect(fixture.pending(waiting) == [])
    }
}
