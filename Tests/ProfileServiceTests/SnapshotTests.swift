import IOSimulation
import Profiles
import Testing

@testable import ProfileService
@testable import Storage

/// Snapshots of a partition on a simulated disk, from the wish to the next start.
@Suite struct SnapshotTests {
    private static func write(
        _ fixture: ServiceFixture, _ random: inout SeededRandom, batches: Int = 1
    ) {
        for _ in 0 ..< batches {
            fixture.clock.advance(nanoseconds: 1_000_000)
            let tracks = (0 ... random.below(20)).map { _ in
                (
                    "p\(random.below(2_000))", ["e\(random.below(10_000))"],
                    random.below(4) == 0 ? "r\(random.below(500))" : ""
                )
            }
            _ = fixture.commit([fixture.batch(tracks)])
        }
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func L12_startFromASnapshotAndTheLogBehindItEqualsTheLiveState(seed: UInt64) throws {
        var fixture = try ServiceFixture()
        var random = SeededRandom(seed: seed)
        Self.write(fixture, &random, batches: 300)
        for round in 1 ... 3 {
            let live = fixture
            let file = try SnapshotRun(fixture).take { Self.write(live, &random) }
            #expect(file.blocks > 0)
            Self.write(fixture, &random, batches: 20)
            let digest = fixture.store.digest()
            let lsn = fixture.store.appliedLSN
            #expect(lsn > file.position.lsn, "writes went on")
            fixture.disk.killProcess()
            fixture = try ServiceFixture(fixture.disk)
            #expect(fixture.report.snapshot?.position == file.position, "round \(round)")
            #expect(fixture.store.digest() == digest)
            #expect(fixture.store.appliedLSN == lsn)
        }
    }

    @Test func L11_logIsDroppedBehindTheOlderOfTwoSnapshots() throws {
        let fixture = try ServiceFixture()
        var random = SeededRandom(seed: 5)
        let run = SnapshotRun(fixture)
        for _ in 0 ..< 4 {
            Self.write(fixture, &random, batches: 400)
            _ = try run.take()
        }
        let prunings = run.prunings
        #expect(prunings.count == 4)
        #expect(
            prunings[0].older == nil && prunings[0].segmentsRemoved == 0,
            "one snapshot alone lets nothing go")
        #expect(prunings[1].segmentsRemoved > 0 && prunings[1].snapshotsRemoved == 0)
        #expect(prunings[2].snapshotsRemoved == 1 && prunings[2].segmentsRemoved > 0)
        let digest = fixture.store.digest()
        fixture.disk.killProcess()
        #expect(try ServiceFixture(fixture.disk).store.digest() == digest)
    }

    @Test func snapshotsOfAnUnchangedStateHaveLSNsOfTheirOwn() throws {
        let fixture = try ServiceFixture()
        _ = fixture.commit([fixture.batch([("ann", ["1"], "")])])
        let run = SnapshotRun(fixture)
        let first = try run.take()
        let second = try run.take()
        #expect(second.position.lsn == first.position.lsn + 1)
        #expect(run.prunings[1].segmentsRemoved > 0, "what only the first had is gone")
    }

    /// A restart between the two must not let the second take the name of the first: the one before
    /// both has the person still.
    @Test func snapshotsOfAnUnchangedStateHaveLSNsOfTheirOwnAcrossARestart() throws {
        var fixture = try ServiceFixture()
        let text = "secret-person"
        _ = fixture.commit([fixture.batch([(text, ["1"], "")])])
        _ = try SnapshotRun(fixture).take()
        _ = fixture.commit([fixture.erasure(of: text)])
        let first = try SnapshotRun(fixture).take()
        fixture.disk.killProcess()
        fixture = try ServiceFixture(fixture.disk)
        let run = SnapshotRun(fixture)
        let second = try run.take()
        #expect(second.position.lsn == first.position.lsn + 1)
        #expect(run.prunings[0].older == first)
        #expect(!Self.holds(text, fixture.disk), "two snapshots later")
    }

    @Test func fullDiskFailsTheSnapshotAndNotTheLog() throws {
        let fixture = try ServiceFixture()
        var random = SeededRandom(seed: 6)
        Self.write(fixture, &random, batches: 200)
        let run = SnapshotRun(fixture)
        var turns = 0
        #expect(throws: SnapshotFailure.noSpace) {
            _ = try run.take {
                turns += 1
                if turns == 2 { fixture.disk.limit(toBytes: 0) }
            }
        }
        #expect(!fixture.pipeline.isPoisoned)
        #expect(!fixture.store.isSnapshotting, "the store copies nothing more")
        fixture.disk.limit(toBytes: .max)
        fixture.rest()
        Self.write(fixture, &random)
        _ = try run.take()
        let digest = fixture.store.digest()
        fixture.disk.killProcess()
        #expect(try ServiceFixture(fixture.disk).store.digest() == digest)
    }

    @Test func failedLogEndsTheSnapshot() throws {
        let fixture = try ServiceFixture()
        var random = SeededRandom(seed: 7)
        Self.write(fixture, &random, batches: 200)
        var turns = 0
        #expect(throws: SnapshotFailure.logFailed) {
            _ = try SnapshotRun(fixture).take {
                turns += 1
                guard turns == 2 else { return }
                fixture.disk.plan(DiskFaultPlan(.inputOutput, of: .syncs, number: 1))
                Self.write(fixture, &random)
            }
        }
        #expect(fixture.pipeline.isPoisoned)
        #expect(fixture.count("nobody") == 0, "reads go on")
    }

    @Test func L9_diskThatIsFullOfLogIsFreedByTwoSnapshots() throws {
        let fixture = try ServiceFixture()
        let run = SnapshotRun(fixture)
        fixture.disk.limit(toBytes: 5 * (256 << 10))
        // The same events again and again: much log, and little that a snapshot has to hold.
        let write = {
            _ = fixture.commit([fixture.batch([("ann", (0 ..< 15).map { "event-\($0)" }, "")])])
        }
        while !fixture.pipeline.isDiskFull { write() }
        let written = fixture.store.appliedLSN
        // Somebody takes what is left, but for the reserve of a segment and a snapshot.
        let used = fixture.disk.snapshot.files.reduce(0) { $0 + $1.content.count }
        fixture.disk.limit(toBytes: used + (200 << 10))
        run.requests.note(isDiskFull: true)
        #expect(
            run.isMadeBySchedule() && run.prunings.last?.segmentsRemoved == 0,
            "there is no older one")
        #expect(run.isMadeBySchedule() && (run.prunings.last?.segmentsRemoved ?? 0) >= 3)
        #expect(!run.isMadeBySchedule(), "nothing is left to free")
        fixture.rest()
        #expect(!fixture.pipeline.isDiskFull)
        let before = fixture.store.appliedLSN
        write()
        #expect(fixture.store.appliedLSN > before && before > written)
        fixture.disk.killProcess()
        #expect(try ServiceFixture(fixture.disk).store.appliedLSN == fixture.store.appliedLSN)
    }

    @Test func L9_withoutHeadroomForASnapshotTheLogIsNotCut() throws {
        let fixture = try ServiceFixture()
        var random = SeededRandom(seed: 10)
        let run = SnapshotRun(fixture)
        Self.write(fixture, &random)
        _ = try run.take()
        let used = fixture.disk.snapshot.files.reduce(0) { $0 + $1.content.count }
        fixture.disk.limit(toBytes: used + (16 << 10))
        let operations = fixture.disk.operationCount
        #expect(throws: SnapshotFailure.noSpace) { _ = try run.take() }
        #expect(fixture.disk.operationCount == operations)
        run.requests.note(isDiskFull: true)
        #expect(!run.isMadeBySchedule())
        #expect(fixture.disk.operationCount == operations)
        fixture.disk.limit(toBytes: 64 << 20)
        fixture.clock.advance(nanoseconds: SnapshotPolicy().retryFullNanoseconds)
        #expect(run.isMadeBySchedule() && run.prunings.count == 2)
    }

    /// A clean end leaves a seal; the next start needs no other, for which there may be no place.
    @Test func L9_startsOnAFullDiskBehindASealAtTheEndOfTheSegment() throws {
        var fixture = try ServiceFixture()
        let segmentBytes = 256 << 10
        let write = { (bytes: Int) in
            _ = fixture.commit([fixture.batch([(String(repeating: "p", count: bytes), ["1"], "")])])
        }
        let end = { () -> Int in
            let content =
                fixture.disk.snapshot.files.last { $0.path.hasSuffix(".log") }?.content ?? []
            return ((content.lastIndex { $0 != 0 } ?? 0) + 8) / 8 * 8
        }
        let before = end()
        write(1_000)
        let overhead = end() - before - 1_000
        while segmentBytes - end() > 60_000 { write(30_000) }
        write(segmentBytes - end() - overhead - 100)
        fixture.end()
        #expect(segmentBytes - end() < 72, "room for one seal, and not for two")
        let lsn = fixture.store.appliedLSN
        fixture.disk.limit(toBytes: fixture.disk.snapshot.files.reduce(0) { $0 + $1.content.count })
        for _ in 0 ..< 3 {
            fixture.disk.killProcess()
            fixture = try ServiceFixture(fixture.disk)
            #expect(fixture.store.appliedLSN == lsn)
        }
    }

    @Test func scheduleGoesByBytesOfLogByTimeAndByErasures() throws {
        let fixture = try ServiceFixture()
        var policy = SnapshotPolicy()
        policy.logBytesMax = 100_000
        let run = SnapshotRun(fixture, policy: policy)
        var random = SeededRandom(seed: 8)
        #expect(!run.isMadeBySchedule())
        Self.write(fixture, &random, batches: 400)
        #expect(run.isMadeBySchedule(), "more than 100,000 bytes of log")
        #expect(!run.isMadeBySchedule())
        Self.write(fixture, &random)
        #expect(!run.isMadeBySchedule())
        fixture.clock.advance(nanoseconds: policy.ageNanosecondsMax - 1)
        #expect(!run.isMadeBySchedule())
        fixture.clock.advance(nanoseconds: 1)
        #expect(run.isMadeBySchedule(), "8 hours after the first record that is not covered")
        fixture.clock.advance(nanoseconds: policy.ageNanosecondsMax * 2)
        #expect(!run.isMadeBySchedule(), "nothing new")
    }

    /// A batch is decided in the log: what its refused writes say of the erased is there again.
    @Test func twoSnapshotsAfterARejectedWriteNothingOfTheErasedIsOnTheDisk() throws {
        let fixture = try ServiceFixture()
        let policy = SnapshotPolicy()
        let run = SnapshotRun(fixture, policy: policy)
        let text = "secret-person"
        _ = fixture.commit([fixture.batch([(text, ["1"], "")])])
        _ = fixture.commit([fixture.erasure(of: text)])
        _ = try run.take()
        let rejected = try #require(fixture.commit([fixture.batch([(text, ["2"], "")])]).first)
        #expect(ServiceFixture.header(rejected, 0)?.rejection == .identifierErased)
        // Nothing else is written.
        for _ in 0 ..< 2 {
            #expect(Self.holds(text, fixture.disk))
            fixture.clock.advance(nanoseconds: policy.ageNanosecondsMax)
            #expect(run.isMadeBySchedule())
        }
        #expect(!Self.holds(text, fixture.disk))
        fixture.clock.advance(nanoseconds: policy.ageNanosecondsMax)
        #expect(!run.isMadeBySchedule())
    }

    /// A machine whose monotonic clock began an hour ago, and data that is older.
    @Test func ageOfWhatIsNotCoveredCountsAcrossARestartOfTheMachine() throws {
        let clock = SimulatedClock()
        let hour: UInt64 = 3_600_000_000_000
        clock.advance(nanoseconds: hour)
        let policy = SnapshotPolicy()
        let received = clock.wallMicroseconds() - 7 * Int64(hour / 1_000)
        var coverage = SnapshotCoverage(newest: nil, logBytes: 100, uncoveredSince: received)
        var schedule = SnapshotSchedule(coverage, policy: policy, clock: clock)
        let isDue = { (schedule: inout SnapshotSchedule, lastEraseLSN: UInt64, after: UInt64) in
            schedule.isDue(
                appliedLSN: 5, lastEraseLSN: lastEraseLSN, logBytes: 0,
                now: clock.monotonicNanoseconds() + after)
        }
        #expect(!isDue(&schedule, 0, hour - 1))
        #expect(isDue(&schedule, 0, hour), "8 hours after it was received")
        // The same for what was erased, and the older of the two snapshots still has.
        let position = SnapshotPosition(
            lsn: 5, receivedAt: received, rulesVersion: 1, resultsDigest: 0,
            log: LogPosition(index: 6, check: 0))
        coverage = SnapshotCoverage(
            newest: SnapshotFile(position: position, name: "", bytes: 1, blocks: 1), logBytes: 0)
        schedule = SnapshotSchedule(coverage, policy: policy, clock: clock)
        #expect(!isDue(&schedule, 5, hour - 1))
        #expect(isDue(&schedule, 5, hour))
        // A clock that was set back makes nothing older, and one of another century nothing
        // younger.
        coverage.newest = nil
        coverage.uncoveredSince = clock.wallMicroseconds() + 1
        schedule = SnapshotSchedule(coverage, policy: policy, clock: clock)
        #expect(!isDue(&schedule, 0, hour))
        coverage.uncoveredSince = 0
        schedule = SnapshotSchedule(coverage, policy: policy, clock: clock)
        #expect(isDue(&schedule, 0, 0))
    }

    /// Everything that is on the disk, whether synced or not.
    static func holds(_ text: String, _ disk: SimulatedDisk) -> Bool {
        let wanted = Array(text.utf8)
        return disk.snapshot.files.contains { file in
            var rest = file.content[...]
            while let first = rest.firstIndex(of: wanted[0]) {
                if rest[first...].starts(with: wanted) { return true }
                rest = rest[(first + 1)...]
            }
            return false
        }
    }

    @Test func twoSnapshotsAfterAnErasureNothingOfThePersonIsOnTheDisk() throws {
        let fixture = try ServiceFixture()
        let policy = SnapshotPolicy()
        let run = SnapshotRun(fixture, policy: policy)
        let texts = ["secret-person", "secret-event", "secret-request"]
        _ = fixture.commit([fixture.batch([(texts[0], [texts[1]], texts[2]), ("bob", ["1"], "")])])
        _ = try run.take()
        _ = fixture.commit([fixture.batch([(texts[0], ["\(texts[1])-2"], "")])])
        _ = try run.take()
        _ = fixture.commit([fixture.erasure(of: texts[0])])
        #expect(fixture.count(texts[0]) == 0)
        for text in texts { #expect(Self.holds(text, fixture.disk)) }
        // Nobody asks, and nothing else is written: the schedule alone must do it, within 24 hours.
        fixture.clock.advance(nanoseconds: policy.ageNanosecondsMax)
        #expect(run.isMadeBySchedule())
        #expect(!run.isMadeBySchedule())
        fixture.clock.advance(nanoseconds: policy.ageNanosecondsMax)
        #expect(run.isMadeBySchedule(), "the older of the two snapshots has the person still")
        for text in texts { #expect(!Self.holds(text, fixture.disk), "\(text)") }
        fixture.clock.advance(nanoseconds: policy.ageNanosecondsMax)
        #expect(!run.isMadeBySchedule(), "nothing is left to remove")
        fixture.disk.killProcess()
        let again = try ServiceFixture(fixture.disk)
        #expect(again.count(texts[0]) == 0 && again.count("bob") == 1)
        #expect(again.commit([again.batch([(texts[0], ["3"], "")])]).count == 1)
        #expect(again.count(texts[0]) == 0, "blocked")
    }

    /// The machine loses its power at every step of the committer. Whatever the disk keeps, the
    /// next start has exactly the acknowledged writes.
    @Test(arguments: [11, 12] as [UInt64])
    func L12_powerCutsWhileASnapshotIsWrittenLoseNothing(seed: UInt64) throws {
        let fixture = try ServiceFixture()
        var random = SeededRandom(seed: seed)
        let run = SnapshotRun(fixture)
        var cuts = 0
        var fromSnapshots = 0
        for _ in 0 ..< 3 {
            Self.write(fixture, &random, batches: 60)
            _ = try run.take {
                Self.write(fixture, &random)
                cuts += 1
                guard
                    let again = try? ServiceFixture(fixture.disk.afterPowerCut(seed: random.next()))
                else {
                    Issue.record("power cut \(cuts): no start")
                    return
                }
                if again.report.snapshot != nil { fromSnapshots += 1 }
                #expect(again.store.digest() == fixture.store.digest(), "power cut \(cuts)")
            }
        }
        #expect(cuts > 6 && fromSnapshots > 0)
    }
}
