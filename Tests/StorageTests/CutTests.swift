import IOSimulation
import Storage
import Testing

/// The place in the log where a snapshot's state ends.
@Suite struct CutTests {
    private static func segments(_ fixture: LogFixture) -> Int {
        fixture.files.count { $0.path.hasSuffix(".log") }
    }

    @Test func cutEndsTheSegmentAndSaysWhereTheLogGoesOn() throws {
        let fixture = LogFixture()
        try fixture.open()
        try fixture.write(1)
        let position = try fixture.cut(after: 2)
        #expect(Self.segments(fixture) == 2)
        #expect(position.log.index == fixture.opened.nextFrameNumber)
        #expect(position.lsn == 6)
        #expect(
            position.receivedAt == 1_001 && position.resultsDigest == 2
                && position.rulesVersion == 1)
        #expect(try fixture.cut(after: 2) == position, "nothing was written: the place is the same")
        #expect(Self.segments(fixture) == 2)
    }

    @Test func cutOfASealedSegmentAddsNoSeal() throws {
        let fixture = LogFixture()
        try fixture.open()
        try fixture.seal(after: 0)
        let next = fixture.opened.nextFrameNumber
        #expect(try fixture.cut(after: 1).log.index == next)
    }

    @Test func logGoesOnBehindACutAndIsReplayedOverIt() throws {
        let fixture = LogFixture()
        try fixture.open()
        for index in 1 ..< 30 {
            try fixture.write(index)
            if index % 3 == 0 { _ = try fixture.cut(after: index + 1) }
        }
        #expect(Self.segments(fixture) >= 10)
        for seed in 1 ... 20 as ClosedRange<UInt64> {
            let cut = LogFixture(fixture.disk.afterPowerCut(seed: seed))
            try cut.open()
            #expect(cut.replayed == 30)
        }
    }

    @Test func L9_cutWithoutSpaceIsRejectedAndTheLogGoesOn() throws {
        let fixture = LogFixture()
        try fixture.open()
        try fixture.write(1)
        // Less than the reserve of a segment.
        fixture.disk.limit(toBytes: 4096 + 255)
        #expect(throws: StorageError.noSpace) { _ = try fixture.cut(after: 2) }
        #expect(throws: StorageError.noSpace) { _ = try fixture.cut(after: 2) }
        #expect(fixture.disk.openFiles == 1)
        try fixture.write(2)
        fixture.disk.limit(toBytes: 40 * 4096)
        try fixture.writeSnapshot(after: 3)
        fixture.disk.killProcess()
        let again = LogFixture(fixture.disk)
        try again.open()
        #expect(again.replayed == 3 && again.target.framesLoaded == 3)
    }

    @Test func L8_failureOfTheNthCallOfACutPoisonsOrLeavesTheLog() throws {
        var failures = 0
        for number in 1 ... 20 {
            let fixture = LogFixture()
            try fixture.open()
            try fixture.write(1)
            fixture.disk.plan(DiskFaultPlan(.inputOutput, of: .changes, number: number))
            do throws(StorageError) {
                _ = try fixture.cut(after: 2)
            } catch {
                failures += 1
                #expect(throws: StorageError.poisoned) { try fixture.append(2) }
                #expect(throws: StorageError.poisoned) { _ = try fixture.cut(after: 2) }
            }
            guard fixture.disk.faultsHit > 0 else { break }
            let cut = LogFixture(fixture.disk.afterPowerCut(seed: UInt64(number)))
            try cut.open()
            #expect(cut.replayed == 2)
        }
        #expect(failures >= 6)
    }
}
