import Bytes
import IOCore
import IOSimulation
import Storage
import Testing

/// What a start makes of a log that was longer once, where no frame of the rest is damaged.
@Suite struct NotedEndTests {
    private typealias Files = [(path: String, content: [UInt8])]

    private static let name = "d/log-end"

    /// Frames over several segments, ended cleanly or by a kill.
    private static func written(frames: Int = 60, isClosed: Bool = true) throws -> LogFixture {
        let fixture = LogFixture()
        try fixture.open()
        for index in 1 ..< frames + 1 { try fixture.write(index) }
        if isClosed {
            let results = ResultsMark(lsn: fixture.opened.lastLSN, digest: UInt64(frames + 1))
            fixture.opened.close(results: results)
        }
        fixture.disk.killProcess()
        return fixture
    }

    private static func start(_ files: Files, accepting lsn: UInt64? = nil) throws(StorageError)
        -> LogFixture
    {
        let fixture = LogFixture(SimulatedDisk(DiskState(files: files)))
        fixture.acceptedEndLSN = lsn
        try fixture.open()
        return fixture
    }

    /// Opens changed files; expects a rejection that changes nothing.
    ///
    /// - Returns: The lsn at which the log ends, and the one that it had reached.
    private static func loss(_ files: Files) throws -> (lsn: UInt64, noted: UInt64) {
        let disk = SimulatedDisk(DiskState(files: files))
        do throws(StorageError) {
            try LogFixture(disk).open()
            Issue.record("a log without its end was opened")
        } catch {
            #expect(disk.operationCount == 0, "a rejection changes no byte")
            guard case .logLoss(let file, let found, let noted) = error else { throw error }
            #expect(file == Self.name && found.segment <= noted.segment)
            #expect(error.description.contains("--accept-log-loss \(found.lsn)"))
            return (found.lsn, noted.lsn)
        }
        return (0, 0)
    }

    private static func segments(_ files: Files) -> [Int] {
        files.indices.filter { files[$0].path.hasSuffix(".log") }
    }

    @Test(arguments: [true, false])
    func missingLastSegmentIsRejected(isClosed: Bool) throws {
        let fixture = try Self.written(isClosed: isClosed)
        var files = fixture.files
        let last = try #require(Self.segments(files).last)
        files.remove(at: last)
        let (lsn, noted) = try Self.loss(files)
        #expect(lsn <= noted && noted <= 183)
        // All of them but the first.
        for index in Self.segments(files).dropFirst().reversed() { files.remove(at: index) }
        #expect(try Self.loss(files).noted == noted)
    }

    @Test func missingSegmentThatHadNoFrameYetIsRejected() throws {
        let fixture = try Self.written(isClosed: false)
        let position = try fixture.opened.cut(receivedAt: 0, digest: 61)
        #expect(position.lsn == fixture.opened.lastLSN)
        fixture.disk.killProcess()
        var files = fixture.files
        files.remove(at: try #require(Self.segments(files).last))
        #expect(try Self.loss(files).lsn == position.lsn)
    }

    @Test func sealedEndThatIsMissingInTheLastSegmentIsRejected() throws {
        // An older copy of the last segment, or damage that takes its last frames with their seal.
        var files = try Self.written().files
        let last = try #require(Self.segments(files).last)
        var content = files[last].content
        let used = try #require(content.lastIndex { $0 != 0 })
        for index in used - 400 ..< used + 1 { content[index] = 0 }
        files[last].content = content
        #expect(try Self.loss(files).noted == 183)
    }

    @Test func directoryWithoutAnyLogWhereOneWasIsRejected() throws {
        let all = try Self.written().files
        let files = all.filter { $0.path == Self.name }
        try #require(files.count == 1)
        #expect(try Self.loss(files) == (0, 183))
        let again = try Self.start(files, accepting: 0)
        #expect(again.replayed == 1)
    }

    @Test func lossIsAcceptedForJustTheLSNThatIsNamed() throws {
        var files = try Self.written().files
        files.remove(at: try #require(Self.segments(files).last))
        let (lsn, noted) = try Self.loss(files)
        #expect(throws: StorageError.self) { _ = try Self.start(files, accepting: lsn - 1) }
        let accepted = try Self.start(files, accepting: lsn)
        #expect(accepted.report.acceptedLossOf == noted)
        try accepted.write(accepted.replayed)
        accepted.disk.killProcess()
        // From then on the shorter log is the log, and its own end is noted.
        let again = try Self.start(accepted.files)
        #expect(again.replayed == accepted.replayed + 1)
        #expect(again.report.acceptedLossOf == nil)
        var shorter = again.files
        shorter.remove(at: try #require(Self.segments(shorter).last))
        _ = try Self.loss(shorter)
    }

    @Test func inspectionRejectsWhatAStartRejects() throws {
        var files = try Self.written().files
        files.remove(at: try #require(Self.segments(files).last))
        let fixture = LogFixture(SimulatedDisk(DiskState(files: files)))
        #expect(throws: StorageError.self) {
            _ = try SegmentedLog.inspect(fixture.environment, target: CheckingTarget())
        }
    }

    @Test func directoryWithoutANoteIsStarted() throws {
        // A backup, a restored directory, or one of an older release.
        let all = try Self.written().files
        let files = all.filter { $0.path != Self.name }
        let again = try Self.start(files)
        #expect(again.replayed == 61)
        #expect(again.files.contains { $0.path == Self.name })
    }

    @Test func noteOfAnotherDirectoryIsRejected() throws {
        var files = try Self.written().files
        let index = try #require(files.firstIndex { $0.path == Self.name })
        for slot in [0, 512] {
            guard files[index].content.count > slot else { continue }
            // The directory id, and the checksum over it.
            files[index].content[slot + 16] ^= 1
            let body = Array(files[index].content[slot ..< slot + 64])
            let crc = SlowChecksum.value(of: body)
            withUnsafeBytes(of: crc.littleEndian) {
                files[index].content.replaceSubrange(slot + 64 ..< slot + 68, with: $0)
            }
        }
        #expect(throws: StorageError.foreign(file: Self.name)) { _ = try Self.start(files) }
    }

    @Test func damagedSlotLeavesTheNoteBefore() throws {
        // A power failure can tear the slot that is being written.
        let all = try Self.written().files
        let index = try #require(all.firstIndex { $0.path == Self.name })
        for slot in [0, 512] {
            var files = all
            files[index].content[slot + 40] ^= 1
            #expect(try Self.start(files).replayed == 61)
            files.remove(at: try #require(Self.segments(files).last))
            _ = try Self.loss(files)
        }
        var files = all
        files[index].content = []
        #expect(try Self.start(files).replayed == 61)
    }

    @Test func powerCutAtAnyCallIsNotTakenForALoss() throws {
        let fixture = LogFixture()
        try fixture.open()
        for index in 1 ..< 40 {
            try fixture.write(index)
            if index % 4 == 0 { try fixture.seal(after: index) }
            for seed in 0 ..< 8 {
                let cut = LogFixture(fixture.disk.afterPowerCut(seed: UInt64(index * 8 + seed)))
                try cut.open()
                #expect(cut.replayed == index + 1)
            }
        }
    }

    @Test func frameCostsNothingForTheNote() throws {
        let fixture = LogFixture(segmentBytes: 1 << 20)
        try fixture.open()
        let before = fixture.disk.operationCount
        for index in 1 ..< 101 { try fixture.write(index) }
        #expect(fixture.disk.operationCount - before == 200, "a write and a sync each")
    }

    @Test func fullDiskDoesNotKeepAStartFromServing() throws {
        let all = try Self.written().files
        let files = all.filter { $0.path != Self.name }
        let disk = SimulatedDisk(DiskState(files: files))
        disk.limit(toBytes: 0)
        let fixture = LogFixture(disk)
        try fixture.open()
        #expect(fixture.replayed == 61)
    }
}
