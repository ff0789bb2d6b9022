import IOCore
import IOSimulation
import Storage
import Testing

/// A log whose directory is taken away while it is written (L14).
@Suite struct DirectoryHoldTests {
    /// An open log with a lock on its directory, and the means to write frames.
    private static func opened() throws -> LogFixture {
        let fixture = LogFixture()
        // The fixtures share a clock, which other tests move.
        fixture.clock = SimulatedClock()
        fixture.lock = try fixture.disk.lockDirectory(LogFixture.directory)
        try fixture.open()
        return fixture
    }

    @Test(arguments: [DirectoryHold.gone, .replaced, .shared])
    func L14_lostDirectoryTakesNoFrame(hold: DirectoryHold) throws {
        let fixture = try Self.opened()
        try fixture.write(1)
        fixture.clock.advance(nanoseconds: LogOptions().holdNanoseconds)
        fixture.disk.lose(hold)
        let operations = fixture.disk.operationCount
        #expect(throws: StorageError.directoryLost(path: LogFixture.directory, hold)) {
            try fixture.write(2)
        }
        #expect(fixture.disk.operationCount == operations, "not even the frame is written")
        #expect(throws: StorageError.poisoned) { try fixture.append(2) }
        #expect(fixture.disk.operationCount == operations, "nothing more is written")
    }

    @Test func L14_directoryLostBetweenWriteAndReportIsSeen() throws {
        let fixture = try Self.opened()
        try fixture.append(1)
        fixture.clock.advance(nanoseconds: LogOptions().holdNanoseconds)
        fixture.disk.lose(.gone)
        #expect(throws: StorageError.directoryLost(path: LogFixture.directory, .gone)) {
            try fixture.opened.commit()
        }
    }

    @Test func L14_lostDirectoryIsSeenBeforeANewSegmentHowSoonItMayBe() throws {
        let fixture = try Self.opened()
        let before = fixture.disk.snapshot.files.map(\.path)
        fixture.disk.lose(.replaced)
        // The clock does not move, so that only the new segment is a reason to look.
        var index = 1
        var failure: StorageError?
        while failure == nil, index < 100 {
            do throws(StorageError) { try fixture.write(index) } catch { failure = error }
            index += 1
        }
        #expect(failure == .directoryLost(path: LogFixture.directory, .replaced))
        #expect(index > 2, "the first frames are in the segment that was open")
        #expect(fixture.disk.snapshot.files.map(\.path) == before, "no file was made")
    }

    @Test func L14_logThatRestsLooksAfterItsDirectory() throws {
        let fixture = try Self.opened()
        try fixture.write(1)
        try fixture.seal(after: 1)
        let idle = LogOptions().idleHoldNanoseconds
        let mark = ResultsMark(lsn: fixture.opened.lastLSN, digest: 2)
        #expect(
            try fixture.opened.rest(idleNanoseconds: .max, results: mark)
                == .after(nanoseconds: idle))
        fixture.clock.advance(nanoseconds: idle)
        fixture.disk.lose(.gone)
        #expect(throws: AppendError.failed) {
            _ = try fixture.opened.rest(idleNanoseconds: .max, results: mark)
        }
        #expect(fixture.opened.failure == .directoryLost(path: LogFixture.directory, .gone))
    }
}
