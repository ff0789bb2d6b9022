import Bytes
import Testing

@testable import Profiles

/// Each tick of a removal does a bounded piece, whatever there is much of.
@Suite struct ProjectPurgeBoundsTests {
    private static let first = ProjectID(rawValue: 1)
    private static let second = ProjectID(rawValue: 2)

    private static func suppression(_ number: UInt64) -> [UInt8] {
        var buffer = ByteBuffer()
        let start = beginRecord(.addSuppression, in: &buffer)
        let mixed = number &* 0x9E37_79B9_7F4A_7C15
        SuppressionCommand(
            project: Self.first, reason: .manual,
            address: AddressHash(low: mixed, high: mixed &* mixed | 1), requestID: .none
        ).write(into: &buffer)
        endRecord(at: start, operations: 1, in: &buffer)
        return Array(buffer.bytes)
    }

    /// Ticks until the removal has ended; each goes on from a snapshot of that moment as well, and
    /// both come to the same.
    private static func purge(_ fixture: TrackFixture, afterEach: () -> Void = {}) throws -> Int {
        var ticks = 0
        repeat {
            let loaded = try SnapshotTests.load(SnapshotTests.blocks(of: fixture.store))
            try fixture.tick(after: RetentionSweep.tickInterval)
            let entry = try #require(fixture.log.last)
            _ = try TrackFixture.apply(
                entry.record, to: loaded, firstLSN: entry.firstLSN, receivedAt: entry.receivedAt)
            #expect(loaded.digest() == fixture.store.digest())
            ticks += 1
            afterEach()
        } while fixture.store.state.pointee.purge.phase != .idle && ticks < 500
        return ticks
    }

    @Test func oneTickRemovesABoundedNumberOfEvents() throws {
        let fixture = TrackFixture()
        try fixture.create("second")
        try fixture.with(project: 2) { () throws in
            for number in 0 ..< 24 {
                for _ in 0 ..< 4 {
                    let events = [EventSpec](repeating: EventSpec(), count: 250)
                    try fixture.track(TrackSpec("p\(number)", events), after: 1)
                }
            }
        }
        var left = fixture.store.statistics(of: Self.second)?.events ?? 0
        try #require(left == 24_000)
        try fixture.delete(2, delay: 0)
        var largest = 0
        let ticks = try Self.purge(fixture) {
            let now = fixture.store.statistics(of: Self.second)?.events ?? 0
            largest = max(largest, left - now)
            left = now
        }
        // One profile more than the units allow.
        #expect(largest <= ProjectPurge.unitsPerTick / ProjectPurge.unitsPerEntry + 1_000)
        #expect(left == 0 && ticks >= 6)
    }

    @Test func oneTickMakesABoundedNumberOfMergesFinal() throws {
        let fixture = TrackFixture()
        try fixture.create("second")
        try fixture.with(project: 2) { () throws in
            for number in 0 ..< 3_000 {
                try fixture.track(.installation("d\(number)"))
                try fixture.apply(IdentifySpec(person: "p\(number)").record)
                try fixture.apply(IdentifySpec(device: "d\(number)", person: "p\(number)").record)
            }
        }
        let project = try #require(fixture.store.projects.find(Self.second))
        var left = Int(project.merges.count)
        try #require(left == 3_000)
        try fixture.delete(2, delay: 0)
        while left > 0 {
            try fixture.tick(after: RetentionSweep.tickInterval)
            let now = Int(project.merges.count)
            // A piece of 256 more than the units allow.
            #expect(now < left && left - now <= 1_024 + 256)
            left = now
        }
        // The headers that the commits staged at once were few.
        #expect(fixture.store.changes.pointee.headers.capacity <= 2 * 256)
    }

    @Test func manySuppressionsGoInSeveralTicksThatASnapshotMayInterrupt() throws {
        let fixture = TrackFixture()
        try fixture.create("second")
        for number in 0 ..< 100 as Range<UInt64> { try fixture.apply(Self.suppression(number)) }
        try fixture.with(project: 2) { () throws in
            for number in 0 ..< 12_000 as Range<UInt64> {
                try fixture.apply(Self.suppression(number))
            }
        }
        let project = try #require(fixture.store.projects.find(Self.second))
        var left = project.record.pointee.suppressions
        try #require(left == 12_000)
        try fixture.delete(2, delay: 0)
        let ticks = try Self.purge(fixture) {
            let now = project.record.pointee.suppressions
            #expect(left - now <= ProjectPurge.unitsPerTick / ProjectPurge.unitsPerEntry + 100)
            left = now
        }
        #expect(left == 0 && ticks > 4 && fixture.store.suppressions.count == 100)
    }

    /// Thousands of projects that are due at once: their lists, their names and in the end the
    /// names of themselves go some with each tick.
    @Test func manyProjectsAtOnceGoInBoundedPieces() throws {
        let count = 2_500
        var limits = StoreLimits()
        limits.projectsMax = 5_000
        let fixture = TrackFixture(limits: limits)
        for number in 0 ..< count {
            let id = try #require(try fixture.create("p\(number)").project?.id)
            _ = try fixture.with(project: id.rawValue) { () throws in
                try fixture.track(TrackSpec().with { $0.requestID = "r" })
            }
        }
        for number in 0 ..< count { try fixture.delete(UInt32(number + 2), delay: 0) }
        let store = fixture.store
        let deleted = store.projects.all.dropFirst()
        var (withNames, withRequests) = (count, count)
        for _ in 0 ..< 60 where withNames > 0 {
            let loaded = try SnapshotTests.load(SnapshotTests.blocks(of: store))
            try fixture.tick(after: RetentionSweep.tickInterval)
            let entry = try #require(fixture.log.last)
            _ = try TrackFixture.apply(
                entry.record, to: loaded, firstLSN: entry.firstLSN, receivedAt: entry.receivedAt)
            #expect(loaded.digest() == store.digest())
            let requests = deleted.count { $0.requests.count > 0 }
            #expect(
                withRequests - requests <= ProjectPurge.unitsPerTick / ProjectPurge.unitsPerEntry)
            let names = deleted.count { $0.names.count > 0 }
            #expect(
                withNames - names <= ProjectPurge.unitsPerTick / ProjectPurge.unitsPerProfile + 1)
            (withNames, withRequests) = (names, requests)
        }
        try fixture.purge()
        #expect(withNames == 0 && withRequests == 0 && store.profileCount == 0)
        fixture.now += ProjectPurge.nameTaken
        var left = store.projectCount
        try #require(left == count + 1)
        while store.tickDue(at: fixture.now), left > 1 {
            try fixture.tick()
            #expect(left - store.projectCount <= 256)
            left = store.projectCount
            fixture.now += RetentionSweep.tickInterval
        }
        #expect(left == 1 && fixture.find("default") == 1 && fixture.find("p7") == nil)
        #expect(store.projects(after: [], limit: 9).map(\.id) == [Self.first])
        #expect(!store.tickDue(at: fixture.now + 3_600 * TrackFixture.second))
    }

    /// Names are read without a lock, so their memory may not go while a reader of before the due
    /// time can be there: the clock alone, which may leap, does not tell.
    @Test func namesWaitForTwoTicksWhenTheClockLeapsAhead() throws {
        let fixture = TrackFixture()
        try fixture.create("second")
        try fixture.with(project: 2) { _ = try fixture.track() }
        try fixture.delete(2, delay: 0)
        let project = try #require(fixture.store.projects.find(Self.second))
        try fixture.tick()
        try #require(fixture.store.state.pointee.purge.phase == .names)
        try fixture.tick(after: 3_600 * TrackFixture.second)
        #expect(project.names.count > 0)
        try fixture.tick(after: RetentionSweep.tickInterval)
        #expect(project.names.count == 0 && fixture.store.state.pointee.purge.phase == .idle)
    }

    /// A clock that was set back keeps neither the names nor the projects that are due next.
    @Test func namesGoAfterSomeTicksWhenTheClockWasSetBack() throws {
        let fixture = TrackFixture()
        try fixture.create("second")
        try fixture.with(project: 2) { _ = try fixture.track() }
        fixture.now += 2 * TrackFixture.day
        try fixture.delete(2, delay: 0)
        let project = try #require(fixture.store.projects.find(Self.second))
        try fixture.tick()
        fixture.clockBehind = TrackFixture.day
        for _ in 1 ..< ProjectPurge.readersTicks {
            try fixture.tick(after: 1)
            #expect(project.names.count > 0)
        }
        try fixture.tick(after: 1)
        #expect(project.names.count == 0 && fixture.store.state.pointee.purge.phase == .idle)
    }

    /// While a project is removed, a profile that was merged away may lead to a slot that another
    /// project has by now.
    @Test func mergesOfAProjectThatGoesLeadToNoProfileOfAnother() throws {
        let fixture = TrackFixture()
        try fixture.create("second")
        var merged: [[UInt8]] = []
        try fixture.with(project: 2) { () throws in
            for number in 0 ..< 800 {
                merged.append(try fixture.track(.installation("d\(number)")).profileID.binary)
                try fixture.apply(IdentifySpec(person: "p\(number)").record)
                try fixture.apply(IdentifySpec(device: "d\(number)", person: "p\(number)").record)
            }
        }
        try fixture.delete(2, delay: 0)
        // Until some of the shards are empty, and not all.
        while fixture.store.state.pointee.purge.shard < 16 {
            try fixture.tick(after: RetentionSweep.tickInterval)
        }
        try #require(fixture.store.state.pointee.purge.phase == .profiles)
        for number in 0 ..< 1_500 { try fixture.track(TrackSpec("other\(number)")) }
        var (found, foreign) = (0, 0)
        for id in merged {
            var buffer = ByteBuffer()
            let images = id.withUnsafeBytes {
                fixture.store.readMany(
                    project: Self.second,
                    identifiers: [IdentifierView(kind: .profileID, bytes: $0)], now: fixture.now,
                    into: &buffer)
            }
            guard let images, let one = images.profiles[0] else { continue }
            found += 1
            let image = images.image(one, in: buffer.bytes)
            let name = String(decoding: image.customID, as: UTF8.self)
            foreign += name.hasPrefix("other") ? 1 : 0
        }
        #expect(foreign == 0 && found > 0)
    }
}
