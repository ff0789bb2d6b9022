import IOSimulation
import Storage
import Testing

/// L19: what rots while nobody reads it is found, and only found.
@Suite struct ScrubberTests {
    private typealias Files = [(path: String, content: [UInt8])]

    private static func scrub(
        _ fixture: LogFixture, pause: (Int) -> Bool = { _ in true }
    ) throws -> (figures: Scrubber.Figures?, damaged: [StorageError]) {
        var damaged: [StorageError] = []
        let figures = try Scrubber(fixture.environment, directoryID: LogFixture.directoryID).run(
            pause: pause
        ) { damaged.append($0) }
        return (figures, damaged)
    }

    private static func fixture(_ files: Files) -> LogFixture {
        LogFixture(SimulatedDisk(DiskState(files: files)))
    }

    @Test func L19_wholeDirectoryIsReadToItsEndAndNothingIsFound() throws {
        let fixture = try LogFixture.written(frames: 100, snapshotsAfter: [40, 80])
        let operations = fixture.disk.operationCount
        var paused = 0
        let (figures, damaged) = try Self.scrub(fixture) { bytes in
            paused += bytes
            return true
        }
        #expect(damaged.isEmpty)
        let segments = fixture.files.count { $0.path.hasSuffix(".log") }
        #expect(figures?.files == segments - 1 + 2 && figures?.damaged == 0)
        #expect(figures?.bytes == paused && paused > 10_000)
        #expect(
            fixture.disk.operationCount == operations && fixture.disk.openFiles == 0,
            "it reads only")
    }

    @Test func L19_everyDamagedFrameAndBlockIsFoundAndLeftAlone() throws {
        let files = try LogFixture.written(frames: 100, snapshotsAfter: [40, 80]).files
        let last = try #require(files.lastIndex { $0.path.hasSuffix(".log") })
        var found = 0
        for index in files.indices where index != last {
            let isLog = files[index].path.hasSuffix(".log")
            guard isLog || files[index].path.hasSuffix(".snapshot") else { continue }
            let used = try #require(files[index].content.lastIndex { $0 != 0 }) + 1
            for byte in stride(from: 0, to: used, by: 37) {
                var damaged = files
                damaged[index].content[byte] ^= 0x10
                let fixture = Self.fixture(damaged)
                let result = try Self.scrub(fixture)
                guard result.figures?.damaged == 1, result.damaged.count == 1,
                    "\(result.damaged[0])".contains(files[index].path)
                else {
                    Issue.record("\(files[index].path) at \(byte): \(result)")
                    return
                }
                #expect(fixture.disk.operationCount == 0)
                found += 1
            }
        }
        print("L19: \(found) damaged bytes, each found")
        #expect(found > 300)
    }

    @Test func L19_damageInOneFileDoesNotHideDamageInAnother() throws {
        var files = try LogFixture.written(frames: 100, snapshotsAfter: [40, 80]).files
        let logs = files.indices.filter { files[$0].path.hasSuffix(".log") }
        for index in [logs[0], logs[1], try #require(LogFixture.snapshot(in: files))] {
            files[index].content[200] ^= 1
        }
        #expect(try Self.scrub(Self.fixture(files)).damaged.count == 3)
    }

    @Test func L19_runThatIsEndedReturnsAtTheNextPiece() throws {
        let fixture = try LogFixture.written(frames: 100, snapshotsAfter: [40, 80])
        var pauses = 0
        let result = try Self.scrub(fixture) { _ in
            pauses += 1
            return pauses < 3
        }
        #expect(result.figures == nil && pauses == 3 && fixture.disk.openFiles == 0)
    }

    @Test func L19_filesThatGoMeanwhileAreNoDamage() throws {
        let fixture = LogFixture()
        try fixture.open()
        for index in 1 ..< 90 {
            if index == 30 || index == 60 { try fixture.writeSnapshot(after: index) }
            try fixture.write(index)
        }
        let newest = try fixture.writeSnapshot(after: 90)
        var isFirst = true
        let result = try Self.scrub(fixture) { _ in
            if isFirst { _ = try? fixture.prune(after: newest) }
            isFirst = false
            return true
        }
        #expect(result.damaged.isEmpty && result.figures != nil)
    }

    @Test func L19_readThatFailsIsDamage() throws {
        let fixture = try LogFixture.written(frames: 40, snapshotsAfter: [20])
        fixture.disk.plan(DiskFaultPlan(.inputOutput, of: .reads, number: 3))
        let result = try Self.scrub(fixture)
        #expect(result.damaged.count == 1)
        guard case .io = result.damaged[0] else {
            Issue.record("\(result.damaged)")
            return
        }
    }

    @Test func L19_segmentsThatAreSupersededAreNotExpectedToBeWhole() throws {
        // Killed again and again: each start replaces the tail of the segment before.
        var fixture = LogFixture()
        try fixture.open()
        var next = 1
        for _ in 0 ..< 6 {
            for _ in 0 ..< 5 {
                try fixture.write(next)
                next += 1
            }
            fixture.disk.killProcess()
            fixture = LogFixture(fixture.disk)
            try fixture.open()
        }
        #expect(try Self.scrub(fixture).damaged.isEmpty)
    }

    @Test func L19_wholeFrameInTheWrongPlaceOrOfAnotherHistoryIsFound() throws {
        for files in try FrameRulesTests.misplaced() {
            #expect(try Self.scrub(Self.fixture(files)).damaged.count == 1)
        }
    }
}
