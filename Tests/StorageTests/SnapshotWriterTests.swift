import IOSimulation
import Storage
import Testing

/// How a snapshot comes into being, and what may go after it (L11).
@Suite struct SnapshotWriterTests {
    /// A log of 60 frames with a snapshot after 30.
    private static func written() throws -> LogFixture {
        let fixture = LogFixture()
        try fixture.open()
        for index in 1 ..< 60 {
            if index == 30 { try fixture.writeSnapshot(after: 30) }
            try fixture.write(index)
        }
        return fixture
    }

    private static func names(_ fixture: LogFixture) -> [String] {
        fixture.files.map { String($0.path.dropFirst(2)) }
    }

    @Test func L11_firstSnapshotRemovesNothing() throws {
        let fixture = LogFixture()
        try fixture.open()
        for index in 1 ..< 60 { try fixture.write(index) }
        let snapshot = try fixture.writeSnapshot(after: 60)
        let before = Self.names(fixture)
        let pruning = try fixture.prune(after: snapshot)
        #expect(pruning == SnapshotCatalogue.Pruning())
        #expect(Self.names(fixture) == before)
    }

    @Test func L11_previousSnapshotAndItsLogAreKept() throws {
        let fixture = try Self.written()
        let pruning = try fixture.prune(after: fixture.writeSnapshot(after: 60))
        #expect(pruning.older?.position.lsn == 90)
        #expect(
            pruning.segmentsRemoved > 0 && pruning.snapshotsRemoved == 0
                && pruning.bytesRemoved > 4096)
        // The start that must do without the newest has all of the rest.
        var files = fixture.files
        let newest = try #require(LogFixture.snapshot(in: files))
        files.remove(at: newest)
        let again = LogFixture(SimulatedDisk(DiskState(files: files)))
        try again.open()
        #expect(again.replayed == 60 && again.target.framesLoaded == 30)
        #expect(
            again.report.frames == 30,
            "not a frame more of the log is kept than the older snapshot needs")
    }

    @Test func L11_thirdSnapshotRemovesTheFirst() throws {
        let fixture = try LogFixture.written(frames: 120, snapshotsAfter: [30, 60, 90])
        #expect(
            Self.names(fixture).filter { $0.hasSuffix(".snapshot") } == [
                "00000000000000b4.snapshot", "000000000000010e.snapshot",
            ])
    }

    @Test func L11_snapshotIsVerifiedBeforeLogIsDropped() throws {
        // Each write of the file is lost once: the disk says yes and keeps nothing. The next read
        // shows it.
        var lost = 0
        for number in 1 ... 100 {
            let fixture = try Self.written()
            let position = try fixture.cut(after: 60)
            let before = Self.names(fixture)
            fixture.disk.plan(DiskFaultPlan(.lost, of: .writes, number: number))
            let writer = try SnapshotWriter(
                fixture.environment, directoryID: LogFixture.directoryID, position: position)
            let content = SnapshotContent(frames: 60)
            for index in 0 ..< content.blocks {
                try LogFixture.write(block: index, of: content, to: writer)
            }
            do throws(StorageError) {
                _ = try writer.finish()
            } catch {
                guard case .snapshotDamaged = error else { throw error }
                lost += 1
                #expect(
                    Self.names(fixture) == before, "what did not verify is gone, and nothing else")
                fixture.disk.killProcess()
                let again = LogFixture(fixture.disk)
                try again.open()
                #expect(again.replayed == 60 && again.target.framesLoaded == 30)
                continue
            }
            guard fixture.disk.faultsHit > 0 else { break }
            // Only padding may be lost unseen: what extends the file behind it leaves the same
            // zeros.
            let whole = try Self.written()
            try whole.writeSnapshot(after: 60)
            #expect(fixture.files.last?.content == whole.files.last?.content)
        }
        #expect(lost > 12)
    }

    @Test func L11_damagedOlderSnapshotIsNotTheOneThatIsKept() throws {
        let fixture = try LogFixture.written(frames: 100, snapshotsAfter: [40, 80])
        var files = fixture.files
        let newest = try #require(LogFixture.snapshot(in: files))
        files[newest].content[200] ^= 1
        let again = LogFixture(SimulatedDisk(DiskState(files: files)))
        try again.open()
        let pruning = try again.prune(after: again.writeSnapshot(after: 100))
        #expect(pruning.older?.position.lsn == 120)
        #expect(pruning.damaged == ["00000000000000f0.snapshot"] && pruning.snapshotsRemoved == 1)
        again.disk.killProcess()
        let later = LogFixture(again.disk)
        try later.open()
        #expect(later.replayed == 100)
    }

    @Test func L11_finishedSnapshotSurvivesAPowerCut() throws {
        // Only that is verified which is on the disk: the file before its name, the name before
        // anything else.
        for seed in 1 ... 60 as ClosedRange<UInt64> {
            let fixture = try Self.written()
            try fixture.writeSnapshot(after: 60)
            let cut = LogFixture(fixture.disk.afterPowerCut(seed: seed))
            try cut.open()
            #expect(cut.replayed == 60 && cut.target.framesLoaded == 60)
        }
    }

    @Test func readingBackAndVerifyingTheOlderOnePauseAfterEachBlock() throws {
        let fixture = try Self.written()
        let writer = try fixture.beginSnapshot(after: 60)
        let content = SnapshotContent(frames: 60, blocks: 7)
        for index in 0 ..< content.blocks {
            try LogFixture.write(block: index, of: content, to: writer)
        }
        var bytes: [Int] = []
        let file = try writer.finish { bytes.append($0) }
        #expect(bytes == (0 ..< 7).map { content.block($0).count })
        bytes = []
        _ = try fixture.prune(after: file) { bytes.append($0) }
        #expect(bytes == (0 ..< 5).map { SnapshotContent(frames: 30).block($0).count })
    }

    @Test func L11_tornFilesGoWithTheirSegments() throws {
        var files = try Self.written().files
        let last = try #require(files.lastIndex { $0.path.hasSuffix(".log") })
        let end = try #require(files[last].content.lastIndex { $0 != 0 }) / 8 * 8 + 8
        files[last].content.removeLast(max(0, files[last].content.count - end))
        files[last].content += [7]
        let fixture = LogFixture(SimulatedDisk(DiskState(files: files)))
        try fixture.open()
        let kept = fixture.report.tornTail?.keptIn
        try #require(kept?.isEmpty == false)
        _ = try fixture.prune(after: fixture.writeSnapshot(after: 60))
        #expect(
            Self.names(fixture).contains { $0 == kept }, "its segment is behind the older snapshot")
        try fixture.write(60)
        let pruning = try fixture.prune(after: fixture.writeSnapshot(after: 61))
        #expect(pruning.tornFilesRemoved == 1)
        #expect(!Self.names(fixture).contains { $0.hasPrefix("torn-") })
    }

    @Test func abandonedSnapshotLeavesNothing() throws {
        let fixture = try Self.written()
        let before = Self.names(fixture)
        let writer = try fixture.beginSnapshot(after: 60)
        try LogFixture.write(block: 0, of: SnapshotContent(frames: 60), to: writer)
        writer.abandon()
        writer.abandon()
        #expect(
            Self.names(fixture).filter { !$0.hasSuffix(".log") }
                == before.filter { !$0.hasSuffix(".log") })
        // The segment was ended for nothing; the same position serves the next attempt.
        try fixture.writeSnapshot(after: 60)
        fixture.disk.killProcess()
        let again = LogFixture(fixture.disk)
        try again.open()
        #expect(again.target.framesLoaded == 60)
    }

    /// It may hold what was erased since.
    @Test func unfinishedSnapshotThatCouldNotBeRemovedGoesWithTheNext() throws {
        let fixture = try Self.written()
        let writer = try fixture.beginSnapshot(after: 60)
        try LogFixture.write(block: 0, of: SnapshotContent(frames: 60), to: writer)
        fixture.disk.plan(DiskFaultPlan(.inputOutput, of: .changes, number: 1))
        writer.abandon()
        #expect(fixture.disk.faultsHit == 1)
        #expect(Self.names(fixture).contains("00000000000000b4.snapshot.tmp"))
        try fixture.write(60)
        let pruning = try fixture.prune(after: fixture.writeSnapshot(after: 61))
        #expect(!Self.names(fixture).contains { $0.hasSuffix(".snapshot.tmp") })
        #expect(pruning.snapshotsRemoved == 0 && pruning.bytesRemoved > 0)
    }

    @Test(arguments: [DiskFault.inputOutput, .noSpace])
    func failureOfTheNthCallLeavesTheLogAndTheOlderSnapshot(fault: DiskFault) throws {
        var failures = 0
        for number in 1 ... 100 {
            let fixture = try Self.written()
            let position = try fixture.cut(after: 60)
            fixture.disk.plan(DiskFaultPlan(fault, of: .changes, number: number))
            var writer: SnapshotWriter?
            do throws(StorageError) {
                let begun = try SnapshotWriter(
                    fixture.environment, directoryID: LogFixture.directoryID, position: position)
                writer = begun
                for index in 0 ..< 5 {
                    try LogFixture.write(block: index, of: SnapshotContent(frames: 60), to: begun)
                }
                _ = try fixture.prune(after: begun.finish())
            } catch {
                writer?.abandon()
                failures += 1
                switch error {
                case .noSpace, .io: break
                default: throw error
                }
            }
            guard fixture.disk.faultsHit > 0 else { break }
            fixture.opened.preparer.dropLeft()
            #expect(fixture.disk.openFiles == 1, "call \(number)")
            // The log knows nothing of it.
            try fixture.write(60)
            fixture.disk.killProcess()
            let again = LogFixture(fixture.disk)
            try again.open()
            #expect(again.replayed == 61)
            let cut = LogFixture(fixture.disk.afterPowerCut(seed: UInt64(number)))
            try cut.open()
            #expect(cut.replayed == 61)
        }
        #expect(failures > 20)
    }
}
