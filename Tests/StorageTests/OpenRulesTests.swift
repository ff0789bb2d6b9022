import IOLinux
import IOSimulation
import Storage
import Testing

/// What a start accepts, and what it rejects without touching a byte (F12).
@Suite struct OpenRulesTests {
    /// Opens changed files; expects a rejection that changes nothing, and returns it.
    private static func rejection(_ files: [(path: String, content: [UInt8])]) throws
        -> StorageError?
    {
        let disk = SimulatedDisk(DiskState(files: files))
        let fixture = LogFixture(disk)
        do throws(StorageError) {
            try fixture.open()
            return nil
        } catch {
            #expect(disk.operationCount == 0, "a refusal changes no byte")
            return error
        }
    }

    @Test func L15_newerVersionIsRejectedByName() throws {
        var files = try LogFixture.written(frames: 2).files
        files[0].content[8] = 2
        files[0].content.replaceSubrange(
            60 ..< 64, with: SlowChecksum.bytes(of: files[0].content[..<60]))
        #expect(try Self.rejection(files) == .newerFormat(file: files[0].path, version: 2))
    }

    @Test func L3_segmentOfAnotherDirectoryIsRejected() throws {
        var files = try LogFixture.written(frames: 60).files
        try #require(files.count > 2)
        files[1].content[20] ^= 1
        files[1].content.replaceSubrange(
            60 ..< 64, with: SlowChecksum.bytes(of: files[1].content[..<60]))
        #expect(try Self.rejection(files) == .foreign(file: files[1].path))
    }

    @Test func L2_missingMiddleSegmentIsRejected() throws {
        var files = try LogFixture.written(frames: 60).files
        try #require(files.count > 2)
        files.remove(at: 1)
        #expect(try Self.rejection(files) == .missingSegment(number: 2))
    }

    @Test func L2_missingFirstSegmentIsRejected() throws {
        var files = try LogFixture.written(frames: 60).files
        files.remove(at: 0)
        #expect(try Self.rejection(files) == .missingSegment(number: 1))
    }

    @Test func L3_creationTornAtAnyCallIsBegunAgain() throws {
        let origin = LogFixture()
        try origin.open()
        let operations = origin.disk.operations
        var random = SeededRandom(seed: 3)
        var state = DiskState()
        for operation in operations {
            state.apply(operation)
            for _ in 0 ..< 20 {
                let fixture = LogFixture(SimulatedDisk(state.afterPowerCut(&random)))
                try fixture.open()
                #expect(fixture.replayed == 1)
                try fixture.write(1)
            }
        }
    }

    @Test func L12_temporaryFilesAreRemovedAndCountedOthersLeftAlone() throws {
        var files = try LogFixture.written(frames: 3).files
        files.append(("d/next.tmp", [1, 2, 3]))
        files.append(("d/notes.txt", [4]))
        let fixture = LogFixture(SimulatedDisk(DiskState(files: files)))
        try fixture.open()
        #expect(fixture.report.temporaryFilesRemoved == 1)
        let paths = fixture.files.map(\.path)
        #expect(paths.contains("d/notes.txt") && !paths.contains("d/next.tmp"))
    }

    @Test func L4_tornTailIsKeptAsideReportedAndBounded() throws {
        let fixture = try LogFixture.written(frames: 3)
        for round in 1 ... 20 {
            var files = fixture.files
            let last = try #require(files.lastIndex { $0.path.hasSuffix(".log") })
            let end = try #require(files[last].content.lastIndex { $0 != 0 }) / 8 * 8 + 8
            for byte in end ..< end + 40 { files[last].content[byte] = UInt8(round) }
            let again = LogFixture(SimulatedDisk(DiskState(files: files)))
            try again.open()
            #expect(again.replayed == 4)
            let torn = try #require(again.report.tornTail)
            #expect(torn.offsetBytes == end && torn.bytes == 40)
            let kept = again.files.first { $0.path == "d/\(torn.keptIn)" }
            #expect(kept?.content == [UInt8](repeating: UInt8(round), count: 40))
            #expect(again.files.filter { $0.path.hasPrefix("d/torn-") }.count <= 8)
        }
    }

    @Test func L21_manyUncleanStartsCopyNoMoreThanOneSegment() throws {
        let fixture = try LogFixture.written(frames: 80)
        for _ in 0 ..< 6 {
            fixture.disk.killProcess()
            try fixture.open()
            #expect(fixture.replayed == 81)
            #expect(
                fixture.report.framesCopied < 40,
                "the segments before the last are durable as they are")
        }
    }

    @Test func L6_preparedSegmentIsTakenAndAnotherMade() throws {
        let fixture = LogFixture()
        try fixture.open()
        while try fixture.opened.preparer.prepare() {}
        #expect(fixture.opened.preparer.isReady)
        var index = 1
        while fixture.opened.preparer.isReady {
            try fixture.write(index)
            index += 1
        }
        #expect(fixture.files.filter { $0.path.hasSuffix(".log") }.count == 2)
        #expect(
            fixture.files.last { $0.path.hasSuffix(".log") }?.content.count == 4096,
            "the new segment is filled with zeros already")
        #expect(try fixture.opened.preparer.prepare())
    }

    /// One file is held for the preparer at most, whatever becomes of it.
    @Test func aSegmentThatTheLogHasLeftIsDroppedFromTheCacheAndClosed() throws {
        let fixture = LogFixture()
        try fixture.open()
        var index = 1
        func leaveSegments(_ count: Int) throws {
            func segments() -> Int { fixture.files.count { $0.path.hasSuffix(".log") } }
            let wanted = segments() + count
            while segments() < wanted {
                try fixture.write(index)
                index += 1
            }
        }
        try leaveSegments(1)
        #expect(fixture.disk.openFiles == 2 && fixture.disk.cacheDrops == 0)
        _ = fixture.opened.preparer.step()
        #expect(fixture.disk.cacheDrops == 1)
        #expect(fixture.disk.openFiles == 2, "the segment that is written to, and the spare one")
        try leaveSegments(3)
        #expect(fixture.disk.openFiles == 3, "the newest of those that were left, too")
        _ = fixture.opened.preparer.step()
        #expect(fixture.disk.cacheDrops == 2 && fixture.disk.openFiles == 2)
    }

    @Test(arguments: [DiskFault.inputOutput, .noSpace])
    func L8_failedPreparationBeginsAnotherFile(fault: DiskFault) throws {
        let fixture = LogFixture()
        try fixture.open()
        _ = try fixture.opened.preparer.prepare()
        fixture.disk.plan(DiskFaultPlan(fault, of: .syncs, number: 1))
        #expect(throws: (any Error).self) { _ = try fixture.opened.preparer.prepare() }
        while try fixture.opened.preparer.prepare() {}
        #expect(fixture.opened.preparer.isReady)
        #expect(fixture.disk.syncsAfterFailure == 0)
        #expect(fixture.disk.openFiles == 2)
    }
}
