import IOSimulation
import Storage
import Testing

/// F3: what a power cut may leave, after every single call of a workload. Names are lost and kept
/// apart from contents and from each other, unless their directory was synced (L6, L13).
@Suite struct PowerCutTests {
    /// A workload's calls, and what had been promised after how many of them.
    private struct History {
        var operations: [DiskOperation] = []
        /// From `operations` calls on, `acknowledged` frames must survive.
        var marks: [(operations: Int, acknowledged: Int)] = []
        /// From `operations` calls on, no more than `handedOver` frames can be there.
        var handed: [(operations: Int, handedOver: Int)] = []

        func acknowledged(after count: Int) -> Int {
            self.marks.last { $0.operations <= count }?.acknowledged ?? 0
        }
        func handedOver(after count: Int) -> Int {
            self.handed.last { $0.operations <= count }?.handedOver ?? 0
        }
    }

    private static let segmentBytes = 4096

    /// Frames, seals, rolls with and without a prepared segment, clean ends, kills, and kills
    /// between a write and its sync.
    private static func run(
        seed: UInt64, steps: Int, ignoringSyncs: Bool = false
    ) throws -> History {
        let disk = SimulatedDisk(seed: seed)
        if ignoringSyncs { disk.ignoreSyncs() }
        var random = SeededRandom(seed: seed)
        var history = History()
        var fixture = LogFixture(disk, segmentBytes: Self.segmentBytes)
        history.handed.append((0, 1))
        try fixture.open()
        var next = fixture.replayed
        history.marks.append((disk.operationCount, next))
        for _ in 0 ..< steps {
            history.handed.append((disk.operationCount, next + 1))
            switch random.below(16) {
            case 0 ..< 10:
                try fixture.write(next)
                next += 1
                history.marks.append((disk.operationCount, next))
            case 10, 11: try fixture.seal(after: next - 1)
            case 12, 13: while try fixture.opened.preparer.prepare() {}
            case 14:
                // Killed with a frame written and not synced: the page cache has it, the disk may
                // not (L21).
                try fixture.append(next)
                disk.killProcess()
                fixture = LogFixture(disk, segmentBytes: Self.segmentBytes)
                try fixture.open()
                next = fixture.replayed
                history.marks.append((disk.operationCount, next))
            default:
                if random.below(2) == 0 { try fixture.seal(after: next - 1) }
                fixture.opened.abandon()
                disk.killProcess()
                fixture = LogFixture(disk, segmentBytes: Self.segmentBytes)
                try fixture.open()
                try #require(fixture.replayed == next)
            }
        }
        history.operations = disk.operations
        return history
    }

    /// Recovers `samples` legal states after each prefix of the calls; returns how many were wrong,
    /// and the first of them.
    private static func failures(
        of history: History, samples: Int, seed: UInt64
    ) -> (states: Int, wrong: Int, first: String) {
        var random = SeededRandom(seed: seed)
        var state = DiskState()
        var (states, wrong, first) = (0, 0, "")
        for count in 0 ... history.operations.count {
            if count > 0 { state.apply(history.operations[count - 1]) }
            let promised = history.acknowledged(after: count)
            let possible = history.handedOver(after: count)
            for _ in 0 ..< samples {
                states += 1
                guard
                    let found = Self.complaint(
                        SimulatedDisk(state.afterPowerCut(&random)), promised: promised,
                        possible: possible, &random)
                else { continue }
                wrong += 1
                if first.isEmpty { first = "after call \(count): \(found)" }
            }
        }
        return (states, wrong, first)
    }

    /// Recovers, cuts the power again at any call of that recovery, recovers, and once more after
    /// it.
    private static func complaint(
        _ disk: SimulatedDisk, promised: Int, possible: Int, _ random: inout SeededRandom
    ) -> String? {
        let start = disk.snapshot
        let first = LogFixture(disk, segmentBytes: Self.segmentBytes)
        do throws(StorageError) { try first.open() } catch { return "refused: \(error)" }
        guard first.replayed >= promised else {
            return "\(first.replayed) frames of \(promised) promised"
        }
        guard first.replayed <= possible else {
            return "\(first.replayed) frames where \(possible) were written"
        }
        // In the middle of the recovery: what was promised before it must hold.
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
        // After it: all that it replayed may have been read by somebody (L21).
        let third = LogFixture(
            disk.afterPowerCut(seed: random.next()), segmentBytes: Self.segmentBytes)
        do throws(StorageError) { try third.open() } catch {
            return "refused after recovery: \(error)"
        }
        return third.replayed == first.replayed
            ? nil : "\(third.replayed) of \(first.replayed) replayed frames"
    }

    @Test(arguments: [11, 12, 13, 14] as [UInt64])
    func F3_everyLegalStateKeepsWhatWasPromised(seed: UInt64) throws {
        let history = try Self.run(seed: seed, steps: 60)
        // All prefixes; four seeds give 10,000 states.
        let samples = 2_500 / (history.operations.count + 1) + 1
        let result = Self.failures(of: history, samples: samples, seed: seed)
        print(
            "F3: seed \(seed), \(history.operations.count) calls, \(result.states) states (3 "
                + "recoveries each), \(result.wrong) wrong"
        )
        #expect(result.wrong == 0, "\(result.first)")
        #expect(result.states >= 2_500)
    }

    @Test func diskThatIgnoresSyncsLosesFrames() throws {
        // Sabotage: shows that the test above can fail.
        let history = try Self.run(seed: 11, steps: 30, ignoringSyncs: true)
        #expect(Self.failures(of: history, samples: 3, seed: 5).wrong > 0)
    }
}
