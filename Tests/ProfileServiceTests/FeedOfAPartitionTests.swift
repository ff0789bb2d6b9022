import IOCore
import IOSimulation
import Profiles
import Storage
import Testing

@testable import ProfileService

/// The feed beside the committer: it never loses a change because it is slow, and never stops the
/// log because it fails.
@Suite struct FeedOfAPartitionTests {
    private static func options() -> FeedOptions {
        var options = FeedOptions()
        options.blockBytes = 1_024
        options.segmentBytesMax = 4_096
        options.memoryBytes = 2_048
        options.syncBytes = 1_024
        options.unsyncedBytesMax = 4_096
        return options
    }

    private static func batch(_ fixture: ServiceFixture, _ number: Int) -> LogBatch {
        fixture.batch((0 ..< 10).map { ("p\($0)", ["e\(number)-\($0)"], "") })
    }

    @Test func withoutHeadroomNothingIsAppliedUntilTheFeedIsWritten() throws {
        let fixture = try ServiceFixture(feedOptions: Self.options())
        let feed = try #require(fixture.feedWriter).feed
        var number = 0
        while feed.unsyncedBytes < 4_096 {
            #expect(fixture.commit([Self.batch(fixture, number)]).count == 1)
            number += 1
        }
        let applied = fixture.store.appliedLSN
        fixture.pipeline.submit(Self.batch(fixture, number))
        for _ in 0 ..< 100 {
            fixture.rest()
            fixture.clock.advance(nanoseconds: 1_000_000)
        }
        #expect(fixture.store.appliedLSN == applied, "nothing enters the log")
        #expect(fixture.takeFinished().isEmpty, "and nothing is rejected")
        fixture.writeFeed()
        #expect(feed.hasHeadroom)
        var finished: [LogBatch] = []
        for _ in 0 ..< 100 where finished.isEmpty {
            fixture.rest()
            finished += fixture.takeFinished()
        }
        #expect(finished.count == 1 && fixture.store.appliedLSN == applied + 10)
        #expect(feed.headLSN == fixture.store.appliedLSN)
    }

    @Test func feedWhoseDiskFailsDoesNotStopTheLog() throws {
        let feedDisk = SimulatedDisk()
        let fixture = try ServiceFixture(feedOptions: Self.options(), feedDisk: feedDisk)
        let feed = try #require(fixture.feedWriter).feed
        feedDisk.limit(toBytes: 0)
        for number in 0 ..< 60 {
            fixture.pipeline.submit(Self.batch(fixture, number))
            var finished: [LogBatch] = []
            for _ in 0 ..< 200 where finished.isEmpty {
                fixture.rest()
                fixture.writeFeed()
                fixture.clock.advance(nanoseconds: 10_000_000)
                finished += fixture.takeFinished()
            }
            #expect(finished.first?.slots.first?.rejection == Rejection.none, "\(number)")
        }
        #expect(!fixture.pipeline.isPoisoned && !fixture.pipeline.isDiskFull)
        #expect(feed.metrics.failures > 0 && feed.metrics.losses > 0)
        #expect(feed.earliestLSN > 1 && feed.headLSN == fixture.store.appliedLSN)
    }

    @Test func aDayAfterAnErasureNothingOfThePersonIsInAnyFile() throws {
        var options = Self.options()
        options.unsyncedBytesMax = 1 << 20
        let fixture = try ServiceFixture(feedOptions: options)
        let feed = try #require(fixture.feedWriter).feed
        let run = SnapshotRun(fixture)
        let texts = ["secret-person", "secret-event"]
        for number in 0 ..< 20 {
            _ = fixture.commit([fixture.batch([(texts[0], ["\(texts[1])-\(number)"], "")])])
            _ = fixture.commit([fixture.batch([("bob", ["\(number)"], "")])])
        }
        fixture.clock.advance(nanoseconds: 2_000_000_000)
        fixture.writeFeed()
        _ = try run.take()
        _ = fixture.commit([fixture.erasure(of: texts[0])])
        fixture.clock.advance(nanoseconds: 2_000_000_000)
        fixture.writeFeed()
        let feedFiles = fixture.disk.snapshot.files.filter { $0.path.hasPrefix("d/feed/") }
        #expect(
            SnapshotTests.holds(texts[0], SimulatedDisk(DiskState(files: feedFiles))),
            "the feed has the person at first")
        // Bob goes on, once an hour; the schedules alone do the rest.
        for hour in 0 ..< 24 {
            fixture.clock.advance(nanoseconds: 3_600_000_000_000)
            _ = fixture.commit([fixture.batch([("bob", ["h\(hour)"], "")])])
            fixture.writeFeed()
            _ = run.isMadeBySchedule()
        }
        for text in texts { #expect(!SnapshotTests.holds(text, fixture.disk), "\(text)") }
        #expect(feed.earliestLSN > 41 && feed.headLSN == fixture.store.appliedLSN)
        #expect(fixture.count("bob") == 44)
    }
}
