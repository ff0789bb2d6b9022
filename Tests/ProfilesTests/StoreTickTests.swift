import Testing

@testable import Profiles

@Suite struct StoreTickTests {
    static let day: Int64 = 86_400 * TrackFixture.second

    @Test func nothingIsDueInAnEmptyStore() {
        #expect(!TrackFixture().store.tickDue(at: .max - 1))
    }

    @Test func tickIsDueOnceTheOldestEventIsPastTheRetention() throws {
        let fixture = TrackFixture()
        try fixture.track()
        let last = fixture.now + 90 * Self.day
        #expect(!fixture.store.tickDue(at: last))
        #expect(fixture.store.tickDue(at: last + 1))
    }

    @Test func ticksDropWhatIsPastDueAndThenNoneIsDue() throws {
        let fixture = TrackFixture()
        for number in 0 ..< 10_000 {
            try fixture.track(TrackSpec("c\(number)", [EventSpec(id: "e")]))
        }
        #expect(fixture.store.memory.retainedEvents == 10_000)
        fixture.now += 90 * Self.day + 1
        var ticks = 0
        while fixture.store.tickDue(at: fixture.now) {
            try fixture.tick()
            fixture.now += RetentionSweep.tickInterval
            ticks += 1
        }
        #expect(fixture.store.memory.retainedEvents == 0)
        // 4,096 profiles a tick.
        #expect(ticks == 3)
        #expect(!fixture.store.tickDue(at: .max - 1))
    }

    @Test func readIsTheSameBeforeAndAfterTheSweep() throws {
        let fixture = TrackFixture()
        try fixture.track()
        let time = fixture.now
        #expect(fixture.read("ann")?.truncatedBefore == 0)
        fixture.now += 90 * Self.day + 1
        let before = fixture.read("ann")
        #expect(before?.truncatedBefore == time + 1)
        #expect(before?.counters[0].count == 1)
        try fixture.tick()
        #expect(fixture.store.memory.retainedEvents == 0)
        #expect(fixture.read("ann") == before)
    }

    @Test func requestIDsThatArePastDueAreDropped() throws {
        let fixture = TrackFixture()
        for number in 0 ..< 5_000 {
            try fixture.track(TrackSpec().with { $0.requestID = "r\(number)" })
        }
        #expect(!fixture.store.tickDue(at: fixture.now + Self.day))
        #expect(fixture.store.tickDue(at: fixture.now + Self.day + 1))
        try fixture.tick(after: Self.day + 1)
        #expect(fixture.store.project.requests.count == 5_000 - RetentionSweep.requestIDsPerTick)
        try fixture.tick(after: RetentionSweep.tickInterval)
        #expect(fixture.store.project.requests.count == 0)
        #expect(fixture.store.project.requests.bytes == 0)
    }
}
