import Bytes
import Testing

@testable import Profiles

/// When a firing becomes due, what cancels it, and what a cap allows.
@Suite struct TriggerDelayTests {
    private static let second = TrackFixture.second

    private func cart(_ fixture: TrackFixture) throws -> TriggerInfo {
        try fixture.trigger(on: "cart") {
            ($0.delaySeconds, $0.unlessEventName) = (60, Array("purchase".utf8))
        }
    }

    private func event(_ name: String) -> [EventSpec] { [EventSpec(name: name)] }

    // MARK: Delay

    @Test func firingIsDueAfterItsDelayThroughATickThatIsAskedForInTime() throws {
        let fixture = TrackFixture()
        let trigger = try self.cart(fixture)
        let due = fixture.now + 60 * Self.second
        try fixture.track(TrackSpec("ann", self.event("cart")))
        #expect(fixture.pending(trigger) == [])
        #expect(!fixture.store.tickDue(at: due - 1) && fixture.store.tickDue(at: due))
        fixture.now = due - 1
        try fixture.tick()
        #expect(fixture.pending(trigger) == [])
        // At most one interval between two ticks later.
        fixture.now = due
        #expect(fixture.store.tickDue(at: due - 1 + RetentionSweep.tickInterval))
        try fixture.tick()
        #expect(fixture.pending(trigger)?.map(\.dueAt) == [due])
        #expect(fixture.store.triggers.nextDue == .max)
    }

    @Test func delayIsMeasuredByTheMachinesClock() throws {
        let fixture = TrackFixture()
        let trigger = try self.cart(fixture)
        try fixture.track(TrackSpec("ann", self.event("cart")))
        fixture.now += 60 * Self.second
        fixture.clockBehind = Self.second
        try fixture.tick()
        #expect(fixture.pending(trigger) == [])
        fixture.clockBehind = 0
        try fixture.tick()
        #expect(fixture.pending(trigger)?.count == 1)
    }

    @Test func tickIsBoundedAndTheNextOneGoesOn() throws {
        let fixture = TrackFixture()
        let trigger = try self.cart(fixture)
        let most = TriggerLimits.perTick
        let events = [EventSpec](repeating: EventSpec(name: "cart"), count: 250)
        let calls = most / 250 + 2
        for number in 0 ..< calls { try fixture.track(TrackSpec("p\(number)", events)) }
        fixture.now += 60 * Self.second
        try fixture.tick()
        #expect(fixture.info(trigger)?.pending == most)
        #expect(fixture.store.tickDue(at: fixture.now + RetentionSweep.tickInterval))
        try fixture.tick()
        #expect(fixture.info(trigger)?.pending == calls * 250)
    }

    // MARK: unless_event_name

    @Test func eventThatIsWaitedForCancelsTheFiring() throws {
        let fixture = TrackFixture()
        let trigger = try self.cart(fixture)
        try fixture.track(TrackSpec("ann", self.event("cart")))
        try fixture.track(TrackSpec("bob", self.event("cart")))
        let bob = try #require(fixture.read("bob")).id
        try fixture.track(
            TrackSpec("ann", self.event("purchase")), after: 59 * Self.second)
        #expect(fixture.store.triggers.counts.cancelled == 1)
        fixture.now += Self.second
        try fixture.tickAll()
        #expect(fixture.pending(trigger)?.map(\.profile) == [bob])
    }

    @Test func eventBeforeOrAfterTheWaitDoesNotCancel() throws {
        let fixture = TrackFixture()
        let trigger = try self.cart(fixture)
        try fixture.track(TrackSpec("ann", self.event("purchase") + self.event("cart")))
        fixture.now += 60 * Self.second
        try fixture.tickAll()
        try fixture.track(TrackSpec("ann", self.event("purchase")))
        #expect(fixture.pending(trigger)?.count == 1)
        // In one call, behind it.
        try fixture.track(TrackSpec("ann", self.event("cart") + self.event("purchase")))
        fixture.now += 60 * Self.second
        try fixture.tickAll()
        #expect(fixture.pending(trigger)?.count == 1)
    }

    @Test func historicalEventCancelsAndDuplicateDoesNot() throws {
        let fixture = TrackFixture()
        let trigger = try self.cart(fixture)
        let purchase = TrackSpec("ann", [EventSpec(name: "purchase", id: "o1")])
        try fixture.track(purchase)
        try fixture.track(TrackSpec("ann", self.event("cart")))
        try fixture.track(purchase)
        #expect(fixture.store.triggers.counts.cancelled == 0)
        try fixture.track(
            TrackSpec("ann", self.event("purchase")).with { $0.flags = .historical })
        #expect(fixture.store.triggers.counts.cancelled == 1)
        fixture.now += 60 * Self.second
        try fixture.tickAll()
        #expect(fixture.pending(trigger) == [])
    }

    @Test func triggerThatIsCancelledByItsOwnEventFiresForTheLastOne() throws {
        let fixture = TrackFixture()
        let trigger = try fixture.trigger {
            ($0.delaySeconds, $0.unlessEventName) = (60, Array("visit".utf8))
        }
        var last: UInt64 = 0
        for _ in 0 ..< 4 { last = try fixture.track(after: 30 * Self.second).lsn }
        fixture.now += 60 * Self.second
        try fixture.tickAll()
        #expect(fixture.pendingLSNs(trigger) == [last])
    }

    // MARK: Merges and erasures

    @Test func firingsOfAMergedProfileAreTheSurvivors() throws {
        let fixture = TrackFixture()
        let trigger = try self.cart(fixture)
        let now = try fixture.trigger(on: "cart")
        try fixture.track(.installation("d", self.event("cart")))
        try fixture.track(TrackSpec("ann", self.event("visit")))
        try fixture.identify("d", as: "ann")
        // The survivor cancels what waits, and its erasure takes both.
        try fixture.track(.installation("d", self.event("cart")))
        #expect(fixture.pending(now)?.count == 2)
        try fixture.track(TrackSpec("ann", self.event("purchase")))
        #expect(fixture.store.triggers.counts.cancelled == 2)
        try fixture.track(TrackSpec("ann", self.event("cart")))
        try fixture.erase("ann")
        #expect(fixture.pending(now) == [] && fixture.info(now)?.lost == 0)
        #expect(fixture.store.triggers.counts.waiting == 0)
        #expect(fixture.store.triggers.owners.count == 0)
        fixture.now += 60 * Self.second
        try fixture.tickAll()
        #expect(fixture.pending(trigger) == [])
    }

    @Test func mergeCancelsWhatTheOtherProfileStoredMeanwhile() throws {
        let fixture = TrackFixture()
        let trigger = try self.cart(fixture)
        try fixture.track(TrackSpec("ann", self.event("purchase")))
        try fixture.track(.installation("d1", self.event("cart")))
        try fixture.track(.installation("d2", self.event("cart")))
        try fixture.identify("d2", as: "ann")
        // Bought before the first cart only.
        #expect(fixture.store.triggers.counts.cancelled == 0)
        try fixture.track(TrackSpec("bob", self.event("purchase")))
        try fixture.identify("d1", as: "bob")
        #expect(fixture.store.triggers.counts.cancelled == 1)
        try fixture.track(.installation("d3", self.event("purchase")))
        try fixture.identify("d3", as: "ann")
        #expect(fixture.store.triggers.counts.cancelled == 2)
        fixture.now += 60 * Self.second
        try fixture.tickAll()
        #expect(fixture.pending(trigger) == [])
    }

    @Test func erasedPersonLeavesNothingInMemory() throws {
        let fixture = TrackFixture()
        let trigger = try fixture.trigger {
            ($0.cap, $0.capPeriodSeconds) = (5, 3_600)
        }
        let waiting = try fixture.trigger { $0.delaySeconds = 60 }
        try fixture.track(TrackSpec("ann", [EventSpec(label: "very secret")]))
        try fixture.track(TrackSpec("bob"))
        #expect(fixture.slabContains("very secret"))
        try fixture.erase("ann")
        #expect(!fixture.slabContains("very secret"))
        #expect(fixture.pending(trigger)?.count == 1 && fixture.info(waiting) != nil)
        #expect(fixture.store.triggers.owners.count == 2)
        #expect(fixture.store.triggers.counts.waiting == 1)
    }

    // MARK: Caps

    @Test func capAllowsSoManyFiringsInAnyPeriod() throws {
        let fixture = TrackFixture()
        let trigger = try fixture.trigger { ($0.cap, $0.capPeriodSeconds) = (2, 100) }
        var allowed: [Int64] = []
        let start = fixture.now
        for step in 0 ..< 30 {
            fixture.now = start + Int64(step) * 10 * Self.second
            let before = fixture.pendingLSNs(trigger).count
            try fixture.track()
            if fixture.pendingLSNs(trigger).count > before { allowed.append(Int64(step)) }
        }
        // Two at once, and each time again as soon as the period is over.
        #expect(allowed == [0, 1, 10, 11, 20, 21])
        #expect(fixture.store.triggers.counts.capped == 24)
        try fixture.track(TrackSpec("bob"))
        #expect(fixture.pending(trigger)?.count == 7)
    }

    @Test func mergeAddsTheFiringsOfBothToTheCap() throws {
        let fixture = TrackFixture()
        let trigger = try fixture.trigger { ($0.cap, $0.capPeriodSeconds) = (3, 1_000) }
        try fixture.track(.installation("d"))
        try fixture.track(TrackSpec("ann"), after: 100 * Self.second)
        try fixture.track(.installation("d"), after: 100 * Self.second)
        try fixture.track(TrackSpec("ann"), after: 100 * Self.second)
        #expect(fixture.pending(trigger)?.count == 4)
        try fixture.identify("d", as: "ann")
        try fixture.track(TrackSpec("ann"))
        #expect(fixture.pending(trigger)?.count == 4)
        // Three of the four are within the period of this one, then two.
        try fixture.track(TrackSpec("ann"), after: 790 * Self.second)
        #expect(fixture.pending(trigger)?.count == 4)
        try fixture.track(TrackSpec("ann"), after: 10 * Self.second)
        #expect(fixture.pending(trigger)?.count == 5)
        #expect(fixture.store.triggers.owners.count == 1)
    }

    @Test func cancelledFiringDoesNotCountAndDelayDoesNotMoveThePeriod() throws {
        let fixture = TrackFixture()
        let trigger = try fixture.trigger(on: "cart") {
            ($0.delaySeconds, $0.unlessEventName) = (1_000, Array("purchase".utf8))
            ($0.cap, $0.capPeriodSeconds) = (1, 100)
        }
        try fixture.track(TrackSpec("ann", self.event("cart") + self.event("purchase")))
        let second = try fixture.track(
            TrackSpec("ann", self.event("cart")), after: 10 * Self.second)
        try fixture.track(TrackSpec("ann", self.event("cart")), after: 99 * Self.second)
        let fourth = try fixture.track(
            TrackSpec("ann", self.event("cart")), after: Self.second)
        fixture.now += 2_000 * Self.second
        try fixture.tickAll()
        #expect(fixture.pendingLSNs(trigger) == [second.lsn, fourth.lsn])
    }

    @Test func timesThatNoCapLooksAtGo() throws {
        let fixture = TrackFixture()
        let trigger = try fixture.trigger { ($0.cap, $0.capPeriodSeconds) = (2, 100) }
        for number in 0 ..< 5 { try fixture.track(TrackSpec("p\(number)")) }
        try fixture.settle(trigger, fixture.pendingLSNs(trigger))
        #expect(fixture.store.triggers.owners.count == 5)
        fixture.now += 100 * Self.second + TriggerLimits.forgetInterval
        #expect(fixture.store.tickDue(at: fixture.now))
        try fixture.tick()
        #expect(fixture.store.triggers.owners.count == 0)
        #expect(fixture.store.triggers.nextDue == .max)
        for _ in 0 ..< 9 { try fixture.track(TrackSpec("p1")) }
        #expect(fixture.store.triggers.projects[0].all[0].fired.count == 2)
    }

    // MARK: Limits

    @Test func oldestPendingFiringGoesOverTheLimitAndItsTriggerCountsIt() throws {
        let fixture = TrackFixture()
        fixture.store.triggers.limits.pendingFirings = 4
        let first = try fixture.trigger()
        let second = try fixture.trigger(on: "open")
        try fixture.track(TrackSpec("ann", [EventSpec(), EventSpec(), EventSpec()]))
        for _ in 0 ..< 3 {
            try fixture.track(TrackSpec("ann", self.event("open")), after: Self.second)
        }
        #expect(fixture.info(first)?.lost == 2 && fixture.info(first)?.pending == 1)
        #expect(fixture.info(second)?.lost == 0 && fixture.info(second)?.pending == 3)
        for _ in 0 ..< 3 {
            try fixture.track(TrackSpec("ann", self.event("open")), after: Self.second)
        }
        #expect(fixture.info(first)?.lost == 3 && fixture.info(second)?.lost == 2)
        #expect(fixture.store.triggers.counts.lost == 5)
    }

    @Test func bytesOfFiringsAreLimitedToo() throws {
        let fixture = TrackFixture()
        fixture.store.triggers.limits.pendingBytes = 2_000
        fixture.store.triggers.limits.waitingBytes = 2_000
        let trigger = try fixture.trigger()
        let waiting = try fixture.trigger { $0.delaySeconds = 60 }
        for _ in 0 ..< 20 {
            try fixture.track(
                TrackSpec("ann", [EventSpec(label: String(repeating: "x", count: 400))]))
        }
        let pending = try #require(fixture.info(trigger))
        #expect(pending.pending == 4 && pending.lost == 16)
        #expect(fixture.info(waiting)?.lost == 16)
        #expect(fixture.store.triggers.counts.waiting == 4)
    }

    @Test func projectThatIsRemovedTakesItsTriggersInPieces() throws {
        let fixture = TrackFixture()
        try fixture.create("other")
        var bytes = 0
        try fixture.with(project: 2) {
            _ = try fixture.trigger { ($0.cap, $0.capPeriodSeconds) = (1, 100) }
            _ = try fixture.trigger { $0.delaySeconds = 60 }
            _ = try fixture.trigger(on: "none")
            bytes = fixture.store.slab.bytesInUse
            for number in 0 ..< 3_000 { try fixture.track(TrackSpec("p\(number)")) }
        }
        try fixture.delete(2, delay: 0)
        let ticks = try fixture.purge()
        #expect(ticks > 2)
        #expect(fixture.store.triggers.projects.isEmpty && fixture.store.triggers.owners.count == 0)
        #expect(fixture.store.triggers.counts.triggers == 0)
        #expect(fixture.store.slab.bytesInUse <= bytes)
        try fixture.track()
        #expect(fixture.store.triggers.queueBytes == 0)
    }
}
