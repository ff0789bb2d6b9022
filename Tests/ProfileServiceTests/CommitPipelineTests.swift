import IOSimulation
import Profiles
import Storage
import Testing

@testable import ProfileService

@Suite struct CommitPipelineTests {
    @Test(arguments: LogWorld.Kind.allCases)
    func L10_committedTracksSurviveACrashAndReplayGivesTheSame(kind: LogWorld.Kind) throws {
        let world = LogWorld(kind)
        let fixture = try world.start()
        let done = fixture.commit([fixture.batch([("ann", ["1", "2"], ""), ("bob", ["1"], "")])])
        #expect(done.count == 1)
        #expect(ServiceFixture.header(done[0], 0)?.lsn == 3)
        #expect(ServiceFixture.header(done[0], 1)?.lsn == 4)
        world.crash()
        let again = try world.start()
        #expect(again.count("ann") == 2)
        #expect(again.count("bob") == 1)
        #expect(again.store.digest() == fixture.store.digest())
    }

    @Test(arguments: LogWorld.Kind.allCases)
    func lsnsContinueAfterARestart(kind: LogWorld.Kind) throws {
        let world = LogWorld(kind)
        let fixture = try world.start()
        _ = fixture.commit([fixture.batch([("ann", ["1"], "")])])
        world.crash()
        let again = try world.start()
        let done = again.commit([again.batch([("ann", ["2"], "")])])
        #expect(ServiceFixture.header(done[0], 0)?.lsn == 3)
    }

    @Test(arguments: LogWorld.Kind.allCases)
    func L7_batchesOfSeveralLoopsShareAFrame(kind: LogWorld.Kind) throws {
        let fixture = try LogWorld(kind).start()
        let frames = fixture.committer.framesAppended
        let batches = (0 ..< 5).map { fixture.batch([("p\($0)", ["1"], "")]) }
        #expect(fixture.commit(batches).count == 5)
        #expect(fixture.committer.framesAppended == frames + 1)
        #expect((0 ..< 5).allSatisfy { fixture.count("p\($0)") == 1 })
    }

    @Test(arguments: LogWorld.Kind.allCases)
    func L7_aBatchLargerThanAFrameIsCutAndGivenBackOnce(kind: LogWorld.Kind) throws {
        var limits = PipelineLimits()
        limits.frameOperationsMax = 7
        let fixture = try LogWorld(kind).start(limits)
        let frames = fixture.committer.framesAppended
        let done = fixture.commit([
            fixture.batch((0 ..< 20).map { ("p\($0)", ["1", "2"], "") }),
            fixture.batch([("q", ["1"], "")]),
        ])
        #expect(done.count == 2)
        // Three records of two operations each fit a frame of seven.
        #expect(fixture.committer.framesAppended == frames + 7)
        #expect((0 ..< 20).allSatisfy { fixture.count("p\($0)") == 2 })
        #expect(fixture.count("q") == 1)
        #expect(fixture.pipeline.metrics.commandsWaiting == 0)
        #expect(fixture.pipeline.metrics.bytesWaiting == 0)
    }

    @Test func L8_fsyncFailurePoisonsTheLogAndNothingOfItIsApplied() throws {
        let fixture = try ServiceFixture()
        _ = fixture.commit([fixture.batch([("ann", ["1"], "")])])
        fixture.disk.plan(DiskFaultPlan(.inputOutput, of: .syncs, number: 1))
        let failed = fixture.commit([fixture.batch([("ann", ["2"], ""), ("bob", ["1"], "")])])
        #expect(failed[0].slots.allSatisfy { $0.rejection == .logUnavailable })
        #expect(fixture.pipeline.isPoisoned)
        #expect(fixture.poisonings.count == 1)
        #expect(fixture.count("ann") == 1)
        #expect(fixture.count("bob") == 0)
        #expect(fixture.pipeline.reserve(bytes: 1) == .logUnavailable)
        let later = fixture.commit([fixture.batch([("ann", ["3"], "")])])
        #expect(later[0].slots[0].rejection == .logUnavailable)
        #expect(fixture.disk.syncsAfterFailure == 0)
        #expect(fixture.poisonings.count == 1)
    }

    @Test func L9_aFullDiskRefusesWritesAndHealsByItself() throws {
        let fixture = try ServiceFixture()
        var rejected = 0
        // The log rolls into segments that the disk has no space for.
        fixture.disk.limit(toBytes: 400 << 10)
        for number in 0 ..< 600 {
            let done = fixture.commit([
                fixture.batch([
                    (
                        "ann", (0 ..< 15).map { "\(number)-\($0)" },
                        String(repeating: "r", count: 90) + "\(number)"
                    )
                ])
            ])
            if done[0].slots[0].rejection == .diskFull { rejected += 1 }
        }
        #expect(rejected > 0)
        #expect(fixture.pipeline.isDiskFull)
        #expect(!fixture.pipeline.isPoisoned)
        fixture.disk.limit(toBytes: 64 << 20)
        let done = fixture.commit([fixture.batch([("bob", ["1"], "")])])
        #expect(done[0].slots[0].rejection == .none)
        #expect(!fixture.pipeline.isDiskFull)
        #expect(fixture.count("bob") == 1)
    }

    /// Commits Tracks of 15 events until one is refused.
    private static func fillDisk(_ fixture: ServiceFixture, from first: Int = 0) -> Int {
        for number in first ..< first + 2_000 {
            let done = fixture.commit([
                fixture.batch([("ann", (0 ..< 15).map { "\(number)-\($0)" }, "")])
            ])
            if done[0].slots[0].rejection == .diskFull { return number }
        }
        return -1
    }

    @Test func L9_whileTheDiskIsFullTheLogIsNotTouchedAndReadsGoOn() throws {
        let fixture = try ServiceFixture()
        fixture.disk.limit(toBytes: 400 << 10)
        let rejected = Self.fillDisk(fixture)
        try #require(rejected > 0)
        let operations = fixture.disk.operationCount
        #expect(Self.fillDisk(fixture, from: rejected + 1) == rejected + 1)
        #expect(fixture.pipeline.reserve(bytes: 1) == .diskFull, "refused on the loop")
        #expect(fixture.disk.operationCount == operations)
        #expect(fixture.count("ann") == UInt64(15 * rejected))
        #expect(fixture.pipeline.metrics.diskFulls == 1)
    }

    @Test func L9_withSpaceForOneSegmentWritesStayRejectedAndWithTwoTheRestHeals() throws {
        let fixture = try ServiceFixture()
        fixture.disk.limit(toBytes: 300 << 10)
        let rejected = Self.fillDisk(fixture)
        try #require(rejected > 0)
        let used = fixture.disk.snapshot.files.reduce(0) { $0 + $1.content.count }
        fixture.disk.limit(toBytes: used + (512 << 10) - 1)
        #expect(Self.fillDisk(fixture, from: rejected) == rejected, "hysteresis")
        let probe = fixture.pipeline.limits.spaceProbeNanoseconds
        #expect(fixture.rest().sooner(.after(nanoseconds: probe)) != .after(nanoseconds: probe))
        fixture.clock.advance(nanoseconds: probe)
        #expect(
            fixture.rest() == .after(nanoseconds: probe), "the seal is written, space is not there")
        #expect(fixture.pipeline.isDiskFull)
        fixture.disk.limit(toBytes: used + (512 << 10))
        // Without any write: the committer probes the disk when it is at rest.
        fixture.rest()
        #expect(!fixture.pipeline.isDiskFull)
        #expect(fixture.pipeline.reserve(bytes: 1) == .none)
        let done = fixture.commit([fixture.batch([("bob", ["1"], "")])])
        #expect(done[0].slots[0].rejection == .none)
    }

    @Test(arguments: LogWorld.Kind.allCases)
    func L7_overTheBoundOfWaitingCommandsOneIsRejected(kind: LogWorld.Kind) throws {
        var limits = PipelineLimits()
        limits.commandsWaitingMax = 3
        let fixture = try LogWorld(kind).start(limits)
        #expect((0 ..< 3).allSatisfy { _ in fixture.pipeline.reserve(bytes: 10) == .none })
        #expect(fixture.pipeline.reserve(bytes: 10) == .rateExceeded)
        fixture.pipeline.release(commands: 1, bytes: 10)
        #expect(fixture.pipeline.reserve(bytes: 10) == .none)
    }

    @Test(arguments: LogWorld.Kind.allCases)
    func abandonedCallsLeaveTheBatchAndTheOthersStay(kind: LogWorld.Kind) throws {
        let fixture = try LogWorld(kind).start()
        let batch = fixture.batch((0 ..< 9).map { ("p\($0)", ["1", "2"], "") })
        var items = 0
        batch.removeAll(
            where: { [0, 4, 5, 8].contains($0.streamSlot) }, onRemoval: { items += $0.items })
        #expect(items == 8)
        #expect(batch.slots.map { Int($0.token.streamSlot) } == [1, 2, 3, 6, 7])
        _ = fixture.commit([batch])
        #expect((0 ..< 9).map { fixture.count("p\($0)") } == [0, 2, 2, 2, 0, 0, 2, 2, 0])
    }

    @Test func idlenessSealsTheLogOnce() throws {
        let fixture = try ServiceFixture()
        _ = fixture.commit([fixture.batch([("ann", ["1"], "")])])
        let idle = fixture.environment.options.idleSealNanoseconds
        #expect(fixture.rest() == .after(nanoseconds: idle))
        fixture.clock.advance(nanoseconds: idle)
        let bytes = fixture.recovered.opened.metrics.bytes
        fixture.rest()
        fixture.rest()
        #expect(fixture.recovered.opened.metrics.bytes == bytes + 72, "one header, no payload")
        fixture.disk.killProcess()
        #expect(try ServiceFixture(fixture.disk).report.framesCopied == 0)
    }
}
