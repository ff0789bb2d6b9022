import IOSimulation
import Storage
import Testing

/// Which snapshot and which part of the log a start reads, and what it refuses without changing a
/// byte (L12, L13).
@Suite struct SnapshotRecoveryTests {
    private typealias Files = [(path: String, content: [UInt8])]

    /// 100 frames, snapshots after 40 and 80 of them; what may go is gone.
    private static func written() throws -> LogFixture {
        try LogFixture.written(frames: 100, snapshotsAfter: [40, 80])
    }

    private static let newestName = "00000000000000f0.snapshot"
    private static let olderName = "0000000000000078.snapshot"

    private static func start(_ files: Files) throws -> LogFixture {
        let fixture = LogFixture(SimulatedDisk(DiskState(files: files)))
        try fixture.open()
        return fixture
    }

    /// Opens changed files; expects a rejection that changes nothing, and returns it.
    private static func rejection(_ files: Files) -> StorageError? {
        let disk = SimulatedDisk(DiskState(files: files))
        do throws(StorageError) {
            try LogFixture(disk).open()
            return nil
        } catch {
            #expect(disk.operationCount == 0, "a refusal changes no byte")
            #expect(disk.openFiles == 0, "a refusal leaves no file open")
            return error
        }
    }

    private static func segments(_ files: Files) -> [Int] {
        files.indices.filter { files[$0].path.hasSuffix(".log") }
    }

    @Test func L12_newestSnapshotAndTheLogBehindItAreLoaded() throws {
        let again = try Self.start(Self.written().files)
        #expect(again.replayed == 100)
        #expect(again.target.framesLoaded == 80)
        #expect(again.report.frames == 20 && again.report.operations == 60)
        #expect(again.report.snapshot?.name == Self.newestName)
        #expect(again.report.snapshot?.position.lsn == 240)
        #expect(again.report.snapshot?.blocks == 5)
        #expect(again.report.snapshotsSkipped.isEmpty)
        #expect(
            !again.files.contains { $0.path == "d/0000000000000001.log" },
            "what lies before the older snapshot is gone")
    }

    @Test func L12_damagedSnapshotFallsBackToTheOlderOneAndItsLog() throws {
        var files = try Self.written().files
        let newest = try #require(LogFixture.snapshot(in: files))
        files[newest].content[files[newest].content.count / 2] ^= 1
        let again = try Self.start(files)
        #expect(again.replayed == 100)
        #expect(again.target.framesLoaded == 40 && again.target.abandoned == 1)
        #expect(again.report.snapshot?.name == Self.olderName)
        #expect(again.report.snapshotsSkipped.map(\.name) == [Self.newestName])
        #expect(again.report.snapshotsSkipped[0].reason.contains("is damaged at byte"))
    }

    @Test func L12_firstSnapshotThatIsDamagedFallsBackToTheWholeLog() throws {
        var files = try LogFixture.written(frames: 60, snapshotsAfter: [40]).files
        let only = try #require(LogFixture.snapshot(in: files))
        files[only].content[200] ^= 1
        let again = try Self.start(files)
        #expect(again.replayed == 60 && again.target.framesLoaded == 0)
        #expect(again.report.snapshot == nil && again.report.snapshotsSkipped.count == 1)
    }

    @Test func L12_bothSnapshotsDamagedAreRejectedWhereTheLogBeginsLater() throws {
        var files = try Self.written().files
        for index in files.indices where files[index].path.hasSuffix(".snapshot") {
            files[index].content[200] ^= 1
        }
        guard case .snapshotDamaged(let file, _, _) = Self.rejection(files) else {
            Issue.record("not refused as damaged")
            return
        }
        #expect(file == "d/\(Self.newestName)", "the newest is named")
    }

    @Test func L12_holeBetweenSnapshotAndLogIsRejected() throws {
        // Everything up to the segment behind the newest snapshot is gone, and that segment too.
        let files = try Self.written().files
        for snapshots in [1, 2] {
            var holed = files
            if snapshots == 1 { holed.removeAll { $0.path.hasSuffix(Self.olderName) } }
            let logs = Self.segments(holed)
            let behind = try #require(logs.last)
            holed = holed.enumerated().filter { !logs.contains($0.offset) || $0.offset == behind }
                .map(\.element)
            guard case .missingSegment = Self.rejection(holed) else {
                Issue.record("\(snapshots) snapshots: \(String(describing: Self.rejection(holed)))")
                return
            }
        }
    }

    @Test func L12_logThatEndsBeforeTheSnapshotIsRejected() throws {
        let fixture = try Self.written()
        let files = fixture.files
        var refused = 0
        // The last segments go, one after the other: from some point on the newest snapshot is not
        // reached any more.
        for kept in (0 ..< Self.segments(files).count).reversed() {
            let logs = Self.segments(files)
            let cut = files.enumerated().filter { !logs.dropFirst(kept).contains($0.offset) }.map(
                \.element)
            switch Self.rejection(cut) {
            case .missingLog(let file, let lsn, _):
                #expect(file == "d/\(Self.newestName)" && lsn == 240)
                refused += 1
            case .logLoss:
                #expect(refused == 0, "segments behind the snapshot are missed by the noted end")
            case let other: Issue.record("\(kept) segments: \(String(describing: other))")
            }
        }
        #expect(refused > 2)
    }

    @Test func L12_missingMiddleSegmentIsRejectedAlsoBeforeTheNewestSnapshot() throws {
        let files = try Self.written().files
        let logs = Self.segments(files)
        for missing in logs.dropFirst().dropLast() {
            var holed = files
            holed.remove(at: missing)
            guard case .missingSegment = Self.rejection(holed) else {
                Issue.record("without \(files[missing].path)")
                return
            }
        }
    }

    @Test func L12_snapshotsWithoutAnyLogAreNoEmptyDirectory() throws {
        let files = try Self.written().files.filter { !$0.path.hasSuffix(".log") }
        guard case .missingLog = Self.rejection(files) else {
            Issue.record("a new log was begun beside snapshots")
            return
        }
    }

    @Test func L12_snapshotOfAnotherLogIsRejected() throws {
        // The same directory, the same lsn, but another history: copied back by hand.
        let files = try Self.written().files
        let other = LogFixture()
        try other.open()
        // One seal more: the same frames of records, other numbers.
        for index in 1 ..< 80 {
            try other.write(index)
            if index == 10 { try other.seal(after: index) }
        }
        try other.writeSnapshot(after: 80)
        var mixed = files
        let newest = try #require(LogFixture.snapshot(in: mixed))
        let foreign = try #require(other.files.first { $0.path.hasSuffix(".snapshot") })
        #expect(mixed[newest].path == foreign.path)
        mixed[newest].content = foreign.content
        guard case .corruption = Self.rejection(mixed) else {
            Issue.record("\(String(describing: Self.rejection(mixed)))")
            return
        }
    }

    @Test func L12_temporarySnapshotIsRemovedAndCounted() throws {
        var files = try Self.written().files
        files.append(("d/0000000000000123.snapshot.tmp", [1, 2, 3]))
        let again = try Self.start(files)
        #expect(again.replayed == 100)
        #expect(again.report.temporaryFilesRemoved == 1)
        #expect(!again.files.contains { $0.path.hasSuffix(".tmp") })
    }

    @Test func L13_anyPartOfARemovalThatWasLostIsPassedOver() throws {
        // Every subset of what the second snapshot's removal took away may be there again.
        let fixture = LogFixture()
        try fixture.open()
        for index in 1 ..< 40 { try fixture.write(index) }
        try fixture.writeSnapshot(after: 40)
        for index in 40 ..< 80 { try fixture.write(index) }
        let newest = try fixture.writeSnapshot(after: 80)
        let before = fixture.files
        let pruning = try fixture.prune(after: newest)
        let after = Set(fixture.files.map(\.path))
        let gone = before.filter { !after.contains($0.path) }
        #expect(
            gone.count == pruning.segmentsRemoved && pruning.segmentsRemoved > 2 && gone.count < 12)
        for subset in 0 ..< 1 << gone.count {
            let left = gone.indices.filter { subset & (1 << $0) != 0 }.map { gone[$0] }
            let again = try Self.start((fixture.files + left).sorted { $0.path < $1.path })
            #expect(again.replayed == 80 && again.target.framesLoaded == 80)
            // The next removal takes what was left over.
            try again.write(80)
            _ = try again.prune(after: again.writeSnapshot(after: 81))
            #expect(!again.files.contains { file in gone.contains { $0.path == file.path } })
        }
    }

    @Test func L12_inspectionSeesWhatAStartSeesAndChangesNothing() throws {
        var files = try Self.written().files
        let newest = try #require(LogFixture.snapshot(in: files))
        files[newest].content[300] ^= 1
        let last = try #require(files.lastIndex { $0.path.hasSuffix(".log") })
        let end = try #require(files[last].content.lastIndex { $0 != 0 }) / 8 * 8 + 8
        files[last].content.removeLast(max(0, files[last].content.count - end))
        files[last].content += [7]
        files.append(("d/next.tmp", [1]))
        let fixture = LogFixture(SimulatedDisk(DiskState(files: files)))
        let target = CheckingTarget()
        let report = try #require(try SegmentedLog.inspect(fixture.environment, target: target))
        #expect(fixture.disk.operationCount == 0 && fixture.disk.openFiles == 0)
        #expect(target.frames == 100)
        #expect(report.tornTail?.offsetBytes == end && report.tornTail?.keptIn == "")
        #expect(report.snapshotsSkipped.map(\.name) == [Self.newestName])
        #expect(try SegmentedLog.inspect(LogFixture().environment, target: CheckingTarget()) == nil)
    }

    @Test func L17_failedReadOfASnapshotRejectsTheStart() throws {
        let sealed = try Self.start(Self.written().files)
        try sealed.seal(after: 99)
        let files = sealed.files
        var met = 0
        for number in 1 ... 100 {
            let disk = SimulatedDisk(DiskState(files: files))
            disk.plan(DiskFaultPlan(.inputOutput, of: .reads, number: number))
            do throws(StorageError) {
                try LogFixture(disk).open()
                if disk.faultsHit == 0 { break }
                Issue.record("read \(number) failed and the start went on")
                return
            } catch {
                guard case .io = error else { throw error }
                #expect(
                    disk.snapshot.files.map(\.content) == files.map(\.content), "read \(number)")
                met += 1
            }
        }
        #expect(met > 10)
    }
}
