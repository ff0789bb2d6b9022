import IOSimulation
import Storage
import Testing

/// F11: the process is killed, or the power goes, at any call while snapshots are written and old
/// files removed. Nothing that was confirmed is lost, and a start always succeeds.
@Suite struct SnapshotPowerCutTests {
    /// A workload's calls, and what had been promised after how many of them.
    private struct History {
        var operations: [DiskOperation] = []
        /// From `operations` calls on, `frames` frames must survive.
        var acknowledged: [(operations: Int, frames: Int)] = []
        /// From `operations` calls on, no more than `frames` frames can be there.
        var handed: [(operations: Int, frames: Int)] = []
        /// Calls of snapshots and removals, as against those of the log.
        var snapshotCalls = 0
        var snapshots = 0

        func promised(after count: Int) -> Int {
            self.acknowledged.last { $0.operations <= count }?.frames ?? 0
        }
        func possible(after count: Int) -> Int {
            self.handed.last { $0.operations <= count }?.frames ?? 0
        }
    }

    private static let segmentBytes = 2048
    /// Snapshots in one workload.
    private static let rounds = Scale.of("PROFILES_CRASH_ROUNDS", otherwise: 5)
    /// Legal states tried after each call.
    private static let samples = Scale.of("PROFILES_CRASH_SAMPLES", otherwise: 2)

    /// Writes frames, between the blocks of snapshots too, as the log's thread does beside the
    /// snapshot's.
    private final class Workload {
        let fixture: LogFixture
        var history = History()
        var next = 0
        var random: SeededRandom

        init(seed: UInt64, ignoringSyncs: Bool = false) throws {
            let disk = SimulatedDisk(seed: seed)
            if ignoringSyncs { disk.ignoreSyncs() }
            self.random = SeededRandom(seed: seed)
            self.fixture = LogFixture(disk, segmentBytes: SnapshotPowerCutTests.segmentBytes)
            self.history.handed.append((0, 1))
            try self.fixture.open()
            self.next = self.fixture.replayed
            self.history.acknowledged.append((disk.operationCount, self.next))
        }

        func writeFrames(_ count: Int) throws {
            for _ in 0 ..< count {
                self.history.handed.append((self.fixture.disk.operationCount, self.next + 1))
                try self.fixture.write(self.next)
                self.next += 1
                self.history.acknowledged.append((self.fixture.disk.operationCount, self.next))
            }
        }

        func count(_ body: () throws -> Void) rethrows {
            let before = self.fixture.disk.operationCount
            try body()
            self.history.snapshotCalls += self.fixture.disk.operationCount - before
        }

        func snapshot() throws {
            let content = SnapshotContent(frames: self.next)
            var writer: SnapshotWriter?
            try self.count { writer = try self.fixture.beginSnapshot(after: self.next) }
            guard let writer else { return }
            for index in 0 ..< content.blocks {
                try self.count { try LogFixture.write(block: index, of: content, to: writer) }
                try self.writeFrames(self.random.below(3))
                // Now and then one is abandoned half way.
                guard self.random.below(25) > 0 else { return self.count { writer.abandon() } }
            }
            try self.count { _ = try self.fixture.prune(after: writer.finish()) }
            self.history.snapshots += 1
        }

        func finished() -> History {
            self.history.operations = self.fixture.disk.operations
            return self.history
        }
    }

    private static func run(seed: UInt64, rounds: Int, ignoringSyncs: Bool = false) throws
        -> History
    {
        let workload = try Workload(seed: seed, ignoringSyncs: ignoringSyncs)
        for _ in 0 ..< rounds {
            try workload.writeFrames(6 + workload.random.below(8))
            if workload.random.below(2) == 0 { try workload.fixture.seal(after: workload.next - 1) }
            if workload.random.below(2) == 0 {
                while try workload.fixture.opened.preparer.prepare() {}
            }
            try workload.snapshot()
        }
        try workload.writeFrames(3)
        return workload.finished()
    }

    private struct Result {
        var states = 0
        var wrong = 0
        /// Starts that used a snapshot, and that fell back to an older one.
        var loaded = 0
        var fellBack = 0
        var first = ""
    }

    /// After each call: the process is killed (everything written is there), and `samples` states
    /// after a power cut.
    private static func check(_ history: History, samples: Int, seed: UInt64) -> Result {
        var random = SeededRandom(seed: seed)
        var state = DiskState()
        var result = Result()
        for count in 0 ... history.operations.count {
            if count > 0 { state.apply(history.operations[count - 1]) }
            for sample in 0 ... samples {
                result.states += 1
                let disk = SimulatedDisk(sample == 0 ? state : state.afterPowerCut(&random))
                guard let found = Self.complaint(disk, history, after: count, &random, &result)
                else { continue }
                result.wrong += 1
                if result.first.isEmpty {
                    result.first = "after call \(count), sample \(sample): \(found)"
                }
            }
        }
        return result
    }

    /// Starts, goes on with a frame and a snapshot, starts again; and cuts the power within the
    /// first start.
    private static func complaint(
        _ disk: SimulatedDisk, _ history: History, after count: Int, _ random: inout SeededRandom,
        _ result: inout Result
    ) -> String? {
        let promised = history.promised(after: count)
        let start = disk.snapshot
        let first = LogFixture(disk, segmentBytes: Self.segmentBytes)
        do throws(StorageError) { try first.open() } catch { return "refused: \(error)" }
        if first.report.snapshot != nil { result.loaded += 1 }
        if !first.report.snapshotsSkipped.isEmpty { result.fellBack += 1 }
        guard first.replayed >= promised else {
            return "\(first.replayed) frames of \(promised) promised"
        }
        guard first.replayed <= history.possible(after: count) else {
            return "\(first.replayed) frames where \(history.possible(after: count)) were written"
        }
        var middle = start
        for operation in disk.operations.prefix(random.below(disk.operationCount + 1)) {
            middle.apply(operation)
        }
        let second = LogFixture(
            SimulatedDisk(middle.afterPowerCut(&random)), segmentBytes: Self.segmentBytes)
        do throws(StorageError) { try second.open() } catch {
            return "refused after a cut in recovery: \(error)"
        }
        guard second.replayed >= promised else {
            return "\(second.replayed) of \(promised) after a cut in recovery"
        }
        // What a crash left over must not stand in the way of the next snapshot and its removal.
        do throws(StorageError) {
            try first.write(first.replayed)
            _ = try first.prune(after: first.writeSnapshot(after: first.replayed + 1))
        } catch { return "cannot go on: \(error)" }
        let third = LogFixture(
            disk.afterPowerCut(seed: random.next()), segmentBytes: Self.segmentBytes)
        do throws(StorageError) { try third.open() } catch {
            return "refused after going on: \(error)"
        }
        guard third.replayed == first.replayed + 1, third.target.framesLoaded == first.replayed + 1
        else {
            return
                "\(third.replayed) frames, \(third.target.framesLoaded) of them loaded, after "
                + "going on from \(first.replayed)"
        }
        return nil
    }

    @Test(arguments: [21, 22, 23] as [UInt64])
    func F11_crashAtEveryCallLosesNothingAndAlwaysStarts(seed: UInt64) throws {
        let history = try Self.run(seed: seed, rounds: Self.rounds)
        let result = Self.check(history, samples: Self.samples, seed: seed)
        print(
            "F11: seed \(seed), \(history.snapshots) snapshots, \(history.operations.count) calls "
                + "(\(history.snapshotCalls) of",
            "snapshots), \(result.states) states (3 starts each), \(result.loaded) used a "
                + "snapshot, \(result.fellBack) fell back,",
            "\(result.wrong) wrong")
        #expect(result.wrong == 0, "\(result.first)")
        #expect(history.snapshotCalls >= 100 && history.operations.count >= 200)
        #expect(
            result.loaded > result.states / 3 && result.fellBack == 0,
            "only what was synced ever had a snapshot's name")
    }

    @Test func L13_startAfterAKillAtAnyCallMayBeCutAtAnyCall() throws {
        // The names that a killed process gave may be in memory only; what a start names beside
        // them must not outlive them.
        let fixture = LogFixture(segmentBytes: Self.segmentBytes)
        try fixture.open()
        var promised = [(operations: fixture.disk.operationCount, frames: 1)]
        for index in 1 ..< 9 {
            if index % 3 == 0 { _ = try fixture.cut(after: index) }
            try fixture.write(index)
            promised.append((fixture.disk.operationCount, index + 1))
        }
        let operations = fixture.disk.operations
        var killed = DiskState()
        var random = SeededRandom(seed: 4)
        var states = 0
        for count in operations.indices {
            killed.apply(operations[count])
            let disk = SimulatedDisk(killed)
            try LogFixture(disk, segmentBytes: Self.segmentBytes).open()
            var middle = killed
            for operation in disk.operations {
                middle.apply(operation)
                for _ in 0 ..< 6 {
                    let again = LogFixture(
                        SimulatedDisk(middle.afterPowerCut(&random)),
                        segmentBytes: Self.segmentBytes)
                    try again.open()
                    #expect(
                        again.replayed >= promised.last { $0.operations <= count + 1 }?.frames ?? 0)
                    states += 1
                }
            }
        }
        #expect(states > 1_000)
    }

    @Test func diskThatIgnoresSyncsLosesSnapshotsAndFrames() throws {
        // Sabotage: shows that the test above can fail.
        let history = try Self.run(seed: 21, rounds: 3, ignoringSyncs: true)
        #expect(Self.check(history, samples: 1, seed: 5).wrong > 0)
    }
}
