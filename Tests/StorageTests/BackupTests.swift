import IOSimulation
import Storage
import Testing

/// A directory made of one snapshot: what a start makes of it, and what is left when it could not
/// be made (S34).
@Suite struct BackupTests {
    private static let directory = "b"
    private static let frames = 80

    /// A log of 100 frames with a snapshot after 80 of them.
    private static func source() throws -> (LogFixture, SnapshotFile) {
        let fixture = LogFixture()
        try fixture.open()
        for index in 1 ..< Self.frames { try fixture.write(index) }
        let snapshot = try fixture.writeSnapshot(after: Self.frames)
        for index in Self.frames ..< 100 { try fixture.write(index) }
        return (fixture, snapshot)
    }

    private static func environment(_ disk: SimulatedDisk) -> LogEnvironment {
        LogEnvironment(
            directory: Self.directory, fileSystem: disk, clock: LogFixture.clock,
            options: LogOptions())
    }

    @discardableResult
    private static func backUp(
        _ fixture: LogFixture, _ snapshot: SnapshotFile,
        shouldContinue: (Int) -> Bool = { _ in true }
    ) throws(BackupError) -> SnapshotFile? {
        try SegmentedLogStore(fixture.environment).backUp(snapshot, to: Self.directory).write(
            shouldContinue: shouldContinue)
    }

    /// What a start makes of a directory.
    private enum Start: Equatable {
        case nothing
        case rejected
        case frames(Int)
    }

    private static func start(_ disk: SimulatedDisk) -> Start {
        let target = CheckingTarget()
        do throws(StorageError) {
            guard try SegmentedLog.inspect(Self.environment(disk), target: target) != nil else {
                return .nothing
            }
            return .frames(target.frames)
        } catch {
            return .rejected
        }
    }

    @Test func backupHoldsWhatTheSnapshotCoversAndTheLogGoesOnBehindIt() throws {
        let (fixture, snapshot) = try Self.source()
        var seen: [Int] = []
        let backup = try Self.backUp(fixture, snapshot) { bytesCopied in
            seen.append(bytesCopied)
            return true
        }
        let written = try #require(backup)
        #expect(UInt64(seen.count) == snapshot.blocks && seen == seen.sorted())
        #expect(written == snapshot)
        // The segment has its own number in the source, where the snapshot's log goes on: it is no
        // other segment of the same log.
        let names = fixture.disk.snapshot.files.map(\.path).filter { $0.hasPrefix("b/") }.map {
            $0.dropFirst(2)
        }
        let segment = try #require(names.first { $0.hasSuffix(".log") })
        #expect(names.count == 2 && segment != "0000000000000001.log")
        guard case .segment(let found) = try LogSurvey(fixture.environment).read(String(segment))
        else {
            Issue.record("no segment")
            return
        }
        #expect(found.firstFrame == written.position.log.index)
        fixture.disk.killProcess()
        for round in 0 ..< 2 {
            let target = CheckingTarget()
            let (log, report) = try SegmentedLog.open(
                Self.environment(fixture.disk),
                genesis: { preconditionFailure("the directory is not new") }, target: target)
            #expect(
                target.frames == Self.frames + round && report.frames == round
                    && report.tornTail == nil)
            let payload = LogFixture.payload(target.frames)
            try payload.withUnsafeBytes {
                try log.write(LogFixture.contents(target.frames, payload: $0))
            }
            try log.commit()
            log.abandon()
            fixture.disk.killProcess()
        }
    }

    @Test func backupOfAPrunedSnapshotGoesOnFromTheOpenFile() throws {
        let (fixture, snapshot) = try Self.source()
        var removed = false
        try Self.backUp(fixture, snapshot) { _ in
            if !removed { removed = (try? fixture.disk.remove("d/\(snapshot.name)")) != nil }
            return true
        }
        #expect(removed && Self.start(fixture.disk) == .frames(Self.frames))
    }

    @Test func directoryWithAnythingInItIsRejectedAndLeftAlone() throws {
        let (fixture, snapshot) = try Self.source()
        try fixture.disk.open("b/notes", .create).close()
        let before = fixture.disk.snapshot.files.map(\.path)
        #expect(throws: BackupError.destination("not an empty directory")) {
            try Self.backUp(fixture, snapshot)
        }
        #expect(fixture.disk.snapshot.files.map(\.path) == before)
    }

    @Test func destinationInTheSourceIsRejected() throws {
        let (fixture, snapshot) = try Self.source()
        let before = fixture.disk.snapshot.files.map(\.path)
        #expect(throws: BackupError.destination("in the data directory")) {
            try SegmentedLogStore(fixture.environment).backUp(snapshot, to: "d/b.tmp").write {
                _ in true
            }
        }
        #expect(fixture.disk.snapshot.files.map(\.path) == before)
    }

    @Test func damagedSnapshotIsNeverPassedOn() throws {
        let (fixture, snapshot) = try Self.source()
        var files = fixture.files
        let place = try #require(files.firstIndex { $0.path == "d/\(snapshot.name)" })
        files[place].content[files[place].content.count / 2] ^= 1
        let damaged = LogFixture(SimulatedDisk(DiskState(files: files)))
        let error = try #require(throws: BackupError.self) { try Self.backUp(damaged, snapshot) }
        guard case .storage(.snapshotDamaged) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(Self.start(damaged.disk) == .nothing)
    }

    @Test(arguments: 0 ..< 5)
    func abandonedBackupLeavesNothing(after blocks: Int) throws {
        let (fixture, snapshot) = try Self.source()
        var left = blocks
        let written = try Self.backUp(fixture, snapshot) { _ in
            left -= 1
            return left >= 0
        }
        #expect(written == nil)
        #expect(!fixture.disk.snapshot.files.contains { $0.path.hasPrefix("b/") })
    }

    /// The n-th call fails, for every n: the backup is whole, or there is none.
    @Test(arguments: [DiskFault.inputOutput, .noSpace])
    func failureOfAnyCallLeavesNoBackup(fault: DiskFault) throws {
        for number in 1 ..< 1_000 {
            let (fixture, snapshot) = try Self.source()
            fixture.disk.plan(DiskFaultPlan(fault, of: .changes, number: number))
            do throws(BackupError) {
                try Self.backUp(fixture, snapshot)
                #expect(number > 12 && Self.start(fixture.disk) == .frames(Self.frames))
                return
            } catch {
                if fault == .noSpace, error != .storage(.noSpace) {
                    Issue.record("call \(number): \(error)")
                }
                #expect(Self.start(fixture.disk) != .frames(Self.frames), "call \(number)")
                let paths = fixture.disk.snapshot.files.map(\.path)
                #expect(
                    !paths.contains { $0.hasSuffix(".snapshot") && $0.hasPrefix("b/") },
                    "call \(number)")
            }
        }
        Issue.record("it never came through")
    }

    /// What a power cut may leave after each call: all of it, or what every start rejects, or
    /// nothing at all.
    @Test func powerCutNeverLeavesAShorterBackup() throws {
        let (fixture, snapshot) = try Self.source()
        let first = fixture.disk.operationCount
        try Self.backUp(fixture, snapshot)
        let operations = fixture.disk.operations
        var random = SeededRandom(seed: 11)
        var state = DiskState()
        for operation in operations[..<first] { state.apply(operation) }
        var starts: [Start] = []
        for count in first ... operations.count {
            if count > first { state.apply(operations[count - 1]) }
            for _ in 0 ..< 20 {
                starts.append(Self.start(SimulatedDisk(state.afterPowerCut(&random))))
            }
        }
        #expect(starts.allSatisfy { [.nothing, .rejected, .frames(Self.frames)].contains($0) })
        #expect(
            starts.suffix(20).allSatisfy { $0 == .frames(Self.frames) }, "answered, and so durable")
        #expect(starts.contains(.rejected) && starts.contains(.nothing))
    }
}
