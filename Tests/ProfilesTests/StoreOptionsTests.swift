import Bytes
import Testing

@testable import Profiles

/// Options of a project: set by a record, obeyed from the next one on.
@Suite struct StoreOptionsTests {
    private static let day: Int64 = 86_400 * TrackFixture.second

    private static func record(
        _ options: ProjectOptions, project: UInt32 = 1, requestID: String = ""
    ) -> [UInt8] {
        var buffer = ByteBuffer()
        let start = beginRecord(.updateProject, in: &buffer)
        withBytes(requestID) {
            ProjectCommand(project: ProjectID(rawValue: project), requestID: $0, options: options)
                .write(into: &buffer)
        }
        endRecord(at: start, operations: 1, in: &buffer)
        return Array(buffer.bytes)
    }

    private static func options(_ change: (inout ProjectOptions) -> Void) -> ProjectOptions {
        var options = ProjectOptions()
        change(&options)
        return options
    }

    @Test func lateWindowHoldsAtItsBoundAndNotOnePast() throws {
        let fixture = TrackFixture()
        try fixture.apply(Self.record(Self.options { $0.lateWindowSeconds = 60 }))
        #expect(fixture.store.timeWindows(of: ProjectID(rawValue: 1))?.lateSeconds == 60)
        let bound = fixture.now - 60 * TrackFixture.second
        #expect(
            try fixture.track(TrackSpec("ann", [EventSpec(occurredAt: bound)])).rejection == .none)
        #expect(
            try fixture.track(TrackSpec("ann", [EventSpec(occurredAt: bound - 1)])).rejection
                == .timeWindow)
        try fixture.apply(Self.record(ProjectOptions()))
        #expect(
            try fixture.track(TrackSpec("ann", [EventSpec(occurredAt: bound - 1)])).rejection
                == .none
        )
    }

    @Test func shorterRetentionCutsTheLateWindowAndHidesOldEventsAtOnce() throws {
        let fixture = TrackFixture()
        let old = fixture.now - 40 * Self.day
        try fixture.track(
            TrackSpec("ann", [EventSpec(occurredAt: old), EventSpec()]).with {
                $0.flags = .historical
            })
        try fixture.apply(Self.record(Self.options { $0.eventRetentionDays = 30 }))
        let windows = try #require(fixture.store.timeWindows(of: ProjectID(rawValue: 1)))
        #expect(windows.historicalSeconds == 30 * 86_400)
        let before = fixture.read("ann")
        #expect(before?.truncatedBefore == old + 1 && before?.counters.first?.count == 2)
        #expect(fixture.store.tickDue(at: fixture.now))
        try fixture.tick()
        #expect(fixture.store.memory.retainedEvents == 1)
        #expect(fixture.read("ann") == before)
        let late = TrackSpec("ann", [EventSpec(occurredAt: old)]).with { $0.flags = .historical }
        #expect(try fixture.track(late).rejection == .timeWindow)
    }

    @Test func fewerEventsAreKeptFromTheNextWriteOn() throws {
        let fixture = TrackFixture()
        for number in 0 ..< 100 {
            try fixture.track(
                TrackSpec("ann", (0 ..< 10).map { EventSpec(id: "\(number).\($0)") }), after: 1)
        }
        #expect(fixture.store.memory.retainedEvents == 1_000)
        try fixture.apply(Self.record(Self.options { $0.eventsPerProfileMax = 1 }))
        #expect(fixture.store.memory.retainedEvents == 1_000)
        try fixture.track(
            TrackSpec("ann", (0 ..< 255).map { EventSpec(id: "last \($0)") }), after: 1)
        #expect(fixture.store.memory.retainedEvents == 1)
        #expect(fixture.read("ann")?.counters.first?.count == 1_255)
    }

    @Test func mergeKeepsNoMoreEventsThanTheOptionAllows() throws {
        let fixture = TrackFixture()
        try fixture.apply(IdentifySpec(person: "ann").record)
        for number in 0 ..< 100 {
            let events = (0 ..< 10).map { EventSpec(id: "\(number).\($0)") }
            try fixture.track(TrackSpec("ann", events), after: 1)
            try fixture.track(.installation("phone", events), after: 1)
        }
        #expect(fixture.store.memory.retainedEvents == 2_000)
        try fixture.apply(Self.record(Self.options { $0.eventsPerProfileMax = 1 }))
        try fixture.apply(IdentifySpec(device: "phone", person: "ann").record)
        #expect(fixture.store.memory.retainedEvents == 1)
    }

    @Test func repeatedRequestChangesNothingAgain() throws {
        let fixture = TrackFixture()
        let first = Self.options { $0.latestWins = true }
        try fixture.apply(Self.record(first, requestID: "once"))
        let second = Self.options { $0.topicDefaultUnsubscribed = true }
        try fixture.apply(Self.record(second))
        let again = try fixture.apply(Self.record(first, requestID: "once"))
        #expect(
            Self.header(again)?.rejection == Rejection.none
                && Self.header(again)?.flags.contains(.replayed) == true)
        #expect(fixture.store.options(of: ProjectID(rawValue: 1)) == second)
        let other = try fixture.apply(Self.record(second, requestID: "once"))
        #expect(Self.header(other)?.rejection == .requestIDReused)
    }

    private static func header(_ result: [UInt8]) -> ResultHeader? {
        result.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            return ResultHeader(from: &reader)
        }
    }

    @Test func optionsOfAnUnknownProjectAreRejected() throws {
        let fixture = TrackFixture()
        let result = try fixture.apply(
            Self.record(Self.options { $0.latestWins = true }, project: 2))
        #expect(Self.header(result)?.rejection == .projectNotFound)
        #expect(fixture.store.options(of: ProjectID(rawValue: 1)) == ProjectOptions())
        #expect(fixture.store.options(of: ProjectID(rawValue: 2)) == nil)
    }

    @Test func recordWithAnOptionOverALimitOfTheDirectoryIsMalformed() {
        let fixture = TrackFixture()
        let changes: [(inout ProjectOptions) -> Void] = [
            { $0.eventRetentionDays = 91 }, { $0.lateWindowSeconds = 90 * 86_400 + 1 },
            { $0.eventsPerProfileMax = 1_001 },
            { ($0.eventRetentionDays, $0.lateWindowSeconds) = (1, 86_401) }, { $0.doubleOptIn = 1 },
        ]
        for change in changes {
            #expect(throws: ApplyError.malformed(lsn: 1)) {
                try fixture.apply(Self.record(Self.options(change)))
            }
        }
        #expect(fixture.lsn == 0)
    }

    @Test(arguments: [21, 22, 23] as [UInt64])
    func replayWithChangingOptionsGivesTheSameState(seed: UInt64) throws {
        let live = TrackFixture(limits: BatchTests.limits)
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        for _ in 0 ..< 1_500 {
            live.now += Int64(generator.random.below(20_000_000))
            switch generator.random.below(12) {
            case 0:
                try live.apply(
                    Self.record(
                        Self.options {
                            $0.latestWins = generator.random.chance(50)
                            $0.lateWindowSeconds = UInt32(generator.random.below(2_500))
                            $0.eventRetentionDays = UInt32(generator.random.below(4))
                            $0.eventsPerProfileMax = UInt32(generator.random.below(9))
                            if $0.eventRetentionDays == 0 { $0.topicDefaultUnsubscribed = true }
                        }))
            case 1: try live.tick()
            case 2:
                try live.apply(generator.batch(live.now, fails: generator.random.chance(30)).record)
            case 3 ..< 7: try live.apply(generator.identify(live.now).record)
            default: try live.apply(generator.track(live.now).record)
            }
        }
        let replayed = TrackFixture(limits: BatchTests.limits)
        for entry in live.log {
            let result = try TrackFixture.apply(
                entry.record, to: replayed.store, firstLSN: entry.firstLSN,
                receivedAt: entry.receivedAt)
            try #require(result == entry.result)
        }
        #expect(replayed.store.digest() == live.store.digest())
    }
}
