import IOCore
import IOSimulation
import Testing

@testable import Storage

/// A call that fails loses no change, as long as memory has it, and never stops the log.
@Suite struct FeedFaultTests {
    @Test(arguments: [DiskFault.inputOutput, .noSpace])
    func failureOfTheNthChangeLosesNothing(fault: DiskFault) {
        var number = 1
        var hits = 0
        while true {
            let fixture = FeedFixture.begun()
            fixture.disk.plan(DiskFaultPlan(fault, of: .changes, number: number))
            for index in 0 ..< 60 {
                fixture.append(index)
                fixture.work()
                if index % 9 == 0 { fixture.pass(seconds: 1) }
                if index % 20 == 19 { _ = fixture.sync() }
            }
            guard fixture.disk.faultsHit > 0 else { break }
            hits += 1
            fixture.pass(seconds: 2)
            let outcome = fixture.sync()
            #expect(outcome == true, "\(number)")
            #expect(fixture.feed.earliestLSN == 1, "\(number)")
            #expect(FeedFixture.complaint(fixture.feed, frames: 60) == nil, "\(number)")
            #expect(fixture.disk.syncsAfterFailure == 0, "L8, at \(number)")
            #expect(fixture.events.last == .recovered, "\(number): \(fixture.events)")
            #expect(fixture.feed.metrics.failures == 1 && fixture.feed.metrics.losses == 0)
            // What is on disk is as whole.
            let again = FeedFixture(SimulatedDisk(fixture.disk.snapshot))
            again.open(behind: 180)
            #expect(again.feed.earliestLSN == 1, "\(number)")
            #expect(FeedFixture.complaint(again.feed, frames: 60) == nil, "\(number)")
            number += 1
        }
        #expect(hits > 40)
    }

    @Test func powerCutBehindAFailureFindsAWholeFeed() {
        var random = SeededRandom(seed: 5)
        for number in 1 ..< 90 {
            let fixture = FeedFixture.begun(SimulatedDisk(seed: UInt64(number)))
            fixture.disk.plan(DiskFaultPlan(.inputOutput, of: .syncs, number: 1 + number % 9))
            fixture.run(0 ..< 50)
            // The failure may be that of this sync; behind it there is none.
            if fixture.sync() == false { fixture.pass(seconds: 2) }
            #expect(fixture.sync() == true && fixture.disk.faultsHit == 1, "\(number)")
            let again = FeedFixture(fixture.disk.afterPowerCut(seed: random.next()))
            again.open(behind: 150)
            #expect(again.feed.earliestLSN == 1, "\(number)")
            #expect(FeedFixture.complaint(again.feed, frames: 50) == nil, "\(number)")
        }
    }

    @Test func fullDiskIsLeftToTheLogAndTheFeedGoesOnInMemory() {
        let fixture = FeedFixture.begun { $0.reserveBytes = 10_000 }
        fixture.run(0 ..< 60)
        _ = fixture.sync()
        let used = fixture.disk.snapshot.files.reduce(0) { $0 + $1.content.count }
        // Space for the reserve and a little: the oldest segments yield.
        fixture.disk.limit(toBytes: used + 10_000)
        fixture.run(60 ..< 90)
        fixture.pass(seconds: 2)
        #expect(fixture.feed.earliestLSN > 1)
        #expect(FeedFixture.complaint(fixture.feed, frames: 90) == nil)
        // No space at all: one segment is left, and the rest is in memory.
        fixture.disk.limit(toBytes: 0)
        fixture.run(90 ..< 120)
        let earliest = fixture.feed.earliestLSN
        #expect(fixture.segmentLSNs.count == 1)
        #expect(FeedFixture.complaint(fixture.feed, frames: 120) == nil)
        #expect(fixture.sync() == false, "a snapshot does not wait for it")
        #expect(fixture.events.last.map { if case .failed = $0 { true } else { false } } == true)
        fixture.disk.limit(toBytes: .max)
        fixture.pass(seconds: 2)
        #expect(fixture.feed.earliestLSN == earliest)
        #expect(fixture.events.last == .recovered)
        #expect(fixture.sync() == true)
        #expect(FeedFixture.complaint(fixture.feed, frames: 120) == nil)
    }

    @Test func feedThatFitsInMemoryNoMoreBeginsAnewAndTheLogGoesOn() {
        let fixture = FeedFixture.begun { $0.reserveBytes = 1_000 }
        fixture.run(0 ..< 40)
        fixture.disk.limit(toBytes: 0)
        for index in 40 ..< 400 {
            #expect(fixture.feed.hasHeadroom, "at \(index)")
            fixture.append(index)
            fixture.work()
            if index % 30 == 0 { fixture.pass(seconds: 1) }
        }
        #expect(fixture.feed.unsyncedBytes <= fixture.feed.options.unsyncedBytesMax + 4_000)
        #expect(fixture.feed.earliestLSN > 600 && fixture.feed.metrics.losses > 1)
        #expect(FeedFixture.complaint(fixture.feed, frames: 400) == nil)
        #expect(fixture.events.contains { if case .lost = $0 { true } else { false } })
        #expect(FeedFixture.read(fixture.feed, from: 1).gone == fixture.feed.earliestLSN)
        fixture.disk.limit(toBytes: .max)
        fixture.pass(seconds: 2)
        #expect(fixture.sync() == true)
        #expect(fixture.segmentLSNs.allSatisfy { $0 >= fixture.feed.earliestLSN })
        let again = FeedFixture(SimulatedDisk(fixture.disk.snapshot))
        again.open(behind: 1_200)
        #expect(again.feed.earliestLSN == fixture.feed.earliestLSN)
        #expect(FeedFixture.complaint(again.feed, frames: 400) == nil)
    }

    @Test func readThatFailsLosesThatPartOnly() {
        let fixture = FeedFixture.begun()
        fixture.run(0 ..< 100)
        fixture.disk.plan(DiskFaultPlan(.inputOutput, of: .reads, number: 2))
        let found = FeedFixture.read(fixture.feed, from: 1)
        let earliest = fixture.feed.earliestLSN
        #expect(earliest > 1 && found.wrong == nil && found.gone == earliest)
        #expect(FeedFixture.complaint(fixture.feed, frames: 100) == nil)
        #expect(fixture.feed.metrics.losses == 1)
    }

    /// What cannot be listed at a start must not stay for longer than a day.
    @Test func filesThatCannotBeListedAtAStartGoLater() {
        let before = FeedFixture.begun()
        before.run(0 ..< 40)
        _ = before.sync()
        let fixture = FeedFixture(SimulatedDisk(before.disk.snapshot))
        fixture.disk.plan(DiskFaultPlan(.inputOutput, of: .directorySyncs, number: 1))
        fixture.open(behind: 120)
        #expect(fixture.feed.earliestLSN == 121 && fixture.segmentLSNs.count > 2)
        fixture.run(40 ..< 50)
        fixture.pass(seconds: 2)
        #expect(fixture.segmentLSNs == [121])
        #expect(FeedFixture.complaint(fixture.feed, frames: 50) == nil)
        #expect(fixture.sync() == true)
    }

    @Test func openFilesAreClosed() {
        let disk = SimulatedDisk()
        do {
            let fixture = FeedFixture.begun(disk)
            fixture.run(0 ..< 100)
            #expect(FeedFixture.complaint(fixture.feed, frames: 100) == nil)
            #expect(disk.openFiles == 1, "the segment that is written")
            let drops = disk.cacheDrops
            #expect(fixture.sync() == true)
            #expect(disk.cacheDrops > drops, "what is durable is not kept in the page cache")
        }
        #expect(disk.openFiles == 0)
    }
}
