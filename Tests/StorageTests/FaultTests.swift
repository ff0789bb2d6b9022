import IOSimulation
import Storage
import Testing

/// F8 and F9 in short: each of the first calls fails once.
@Suite struct FaultTests {
    /// Writes frames until one fails or `limit` is reached.
    ///
    /// - Returns: Frames acknowledged, the genesis included, and what ended it.
    private static func writeUntilFailure(_ fixture: LogFixture, limit: Int) -> (
        acknowledged: Int, error: StorageError?
    ) {
        var next = fixture.replayed
        while next < limit {
            do throws(StorageError) {
                try fixture.write(next)
                next += 1
                if next % 5 == 0 { try fixture.seal(after: next - 1) }
            } catch {
                return (next, error)
            }
        }
        return (next, nil)
    }

    @Test(arguments: [DiskFaultPlan.Calls.syncs, .writes, .directorySyncs])
    func F8_failureOfTheNthCallPoisonsForGood(calls: DiskFaultPlan.Calls) throws {
        var hits = 0
        for number in 1 ... 200 {
            let fixture = LogFixture()
            try fixture.open()
            fixture.disk.plan(DiskFaultPlan(.inputOutput, of: calls, number: number))
            let result = Self.writeUntilFailure(fixture, limit: 150)
            guard let error = result.error else { break }
            hits += 1
            guard case .io = error else {
                Issue.record("call \(number): \(error)")
                return
            }
            let before = fixture.disk.operationCount
            #expect(throws: StorageError.poisoned) { try fixture.append(result.acknowledged) }
            #expect(throws: StorageError.poisoned) {
                try fixture.seal(after: result.acknowledged - 1)
            }
            #expect(throws: StorageError.poisoned) { _ = try fixture.opened.commit() }
            #expect(fixture.disk.operationCount == before, "a poisoned log touches nothing")
            #expect(fixture.disk.syncsAfterFailure == 0)
            // The process is started again, then the power goes: both starts have all that was
            // acknowledged.
            fixture.disk.killProcess()
            let again = LogFixture(fixture.disk)
            try again.open()
            #expect((result.acknowledged ... result.acknowledged + 1).contains(again.replayed))
            let cut = LogFixture(fixture.disk.afterPowerCut(seed: UInt64(number)))
            try cut.open()
            #expect(cut.replayed == again.replayed, "L21: what was replayed is durable")
            // What failed to reach the disk must not be a hole below what is written next.
            try again.write(again.replayed)
            let later = LogFixture(fixture.disk.afterPowerCut(seed: UInt64(number)))
            try later.open()
            #expect(later.replayed == again.replayed + 1)
        }
        print("F8: \(hits) failures of \(calls)")
        #expect(hits >= 8)
    }

    @Test func F8_failureOfTheNthCallOfAStartIsRepairedByTheNextStart() throws {
        // Every call of a recovery that has a tail to copy fails once.
        let origin = try LogFixture.written(frames: 12)
        var number = 1
        while true {
            let disk = SimulatedDisk(DiskState(files: origin.files))
            disk.plan(DiskFaultPlan(.inputOutput, of: .changes, number: number))
            let first = LogFixture(disk)
            do throws(StorageError) { try first.open() } catch {
                guard case .io = error else { throw error }
            }
            guard disk.faultsHit == 1 else { break }
            #expect(disk.openFiles <= 1)
            disk.killProcess()
            let second = LogFixture(disk)
            try second.open()
            #expect(second.replayed == 13)
            let third = LogFixture(disk.afterPowerCut(seed: UInt64(number)))
            try third.open()
            #expect(third.replayed == 13)
            number += 1
        }
        #expect(number > 8)
    }

    @Test func F9_noSpaceForTheNthWriteIsRolledBackAndHeals() throws {
        var hits = 0
        for number in 1 ... 200 {
            let fixture = LogFixture()
            try fixture.open()
            fixture.disk.plan(DiskFaultPlan(.noSpace, of: .writes, number: number))
            let result = Self.writeUntilFailure(fixture, limit: 150)
            guard let error = result.error else {
                // Only the note of the end is passed over.
                if fixture.disk.faultsHit == 1 { continue }
                break
            }
            hits += 1
            try #require(error == .noSpace)
            fixture.opened.preparer.dropLeft()
            #expect(fixture.disk.openFiles == 1, "a refused append leaves no file open")
            // The same frame goes through as soon as there is space: no gap, no second copy.
            let rest = Self.writeUntilFailure(
                fixture, from: result.acknowledged, limit: result.acknowledged + 20)
            #expect(rest.error == nil)
            let cut = LogFixture(fixture.disk.afterPowerCut(seed: UInt64(number)))
            try cut.open()
            #expect(cut.replayed == rest.acknowledged)
        }
        #expect(hits > 100)
    }

    private static func writeUntilFailure(
        _ fixture: LogFixture, from first: Int, limit: Int
    ) -> (acknowledged: Int, error: StorageError?) {
        var next = first
        while next < limit {
            do throws(StorageError) { try fixture.write(next) } catch { return (next, error) }
            next += 1
        }
        return (next, nil)
    }

    @Test func L9_directoryThatHasNoHeadroomForANameEndsTheLog() throws {
        // The new segment's name may be there: had the old one gone on, a start would have dropped
        // what it got.
        let fixture = LogFixture()
        try fixture.open()
        fixture.disk.plan(DiskFaultPlan(.noSpace, of: .directorySyncs, number: 1))
        let result = Self.writeUntilFailure(fixture, limit: 150)
        #expect(fixture.disk.faultsHit == 1)
        guard case .io = result.error else {
            Issue.record("\(String(describing: result.error))")
            return
        }
        #expect(throws: StorageError.poisoned) { try fixture.append(result.acknowledged) }
        fixture.disk.killProcess()
        let again = LogFixture(fixture.disk)
        try again.open()
        #expect(again.replayed == result.acknowledged)
    }

    @Test func L9_fullDiskRejectsHoldsNoFilesAndHealsByItself() throws {
        let fixture = LogFixture()
        try fixture.open()
        fixture.disk.limit(toBytes: LogFixture.noteBytes + 3 * 4096)
        let full = Self.writeUntilFailure(fixture, limit: 1_000)
        try #require(full.error == .noSpace)
        let held = fixture.disk.openFiles
        for _ in 0 ..< 50 {
            #expect(throws: StorageError.noSpace) { try fixture.append(full.acknowledged) }
        }
        #expect(fixture.disk.openFiles == held, "a refused append leaves no file open")
        fixture.disk.limit(toBytes: LogFixture.noteBytes + 12 * 4096)
        let rest = Self.writeUntilFailure(
            fixture, from: full.acknowledged, limit: full.acknowledged + 10)
        #expect(rest.error == nil)
        fixture.disk.killProcess()
        let again = LogFixture(fixture.disk)
        try again.open()
        #expect(again.replayed == rest.acknowledged)
    }

    @Test func L17_failedReadRejectsTheStart() throws {
        let origin = try LogFixture.written(frames: 12, sealedAfter: [12])
        for number in 1 ... 3 {
            let disk = SimulatedDisk(DiskState(files: origin.files))
            disk.plan(DiskFaultPlan(.inputOutput, of: .reads, number: number))
            let fixture = LogFixture(disk)
            do throws(StorageError) {
                try fixture.open()
                Issue.record("read \(number) failed and the log was opened")
            } catch {
                guard case .io = error else { throw error }
                #expect(disk.operationCount == 0)
            }
        }
    }
}
