import IOSimulation
import Testing

@testable import Storage

/// What a power cut may leave, after every single call of a workload: behind a recovery the feed
/// from its beginning to its head is that of an uninterrupted run, and what a snapshot has waited
/// for is there.
@Suite struct FeedPowerCutTests {
    /// A workload's calls, and what had been promised after how many of them.
    private struct History {
        var operations: [DiskOperation] = []
        /// From `operations` calls on, a start may have a snapshot of `frames` frames, behind which
        /// the feed goes back to `earliest`.
        var snapshots: [(operations: Int, frames: Int, earliest: UInt64)] = [(0, 0, 1)]
        var losses: UInt64 = 0
    }

    private static func run(seed: UInt64, frames: Int, ignoringSyncs: Bool = false) -> History {
        let disk = SimulatedDisk(seed: seed)
        if ignoringSyncs { disk.ignoreSyncs() }
        var random = SeededRandom(seed: seed)
        var history = History()
        let clock = SimulatedClock()
        var fixture = FeedFixture.begun(disk, clock: clock) { $0.bytesMax = 24_000 }
        for index in 0 ..< frames {
            fixture.append(index)
            fixture.work()
            switch random.below(12) {
            case 0, 1: fixture.pass(seconds: 1)
            case 2:
                guard fixture.sync() == true else { continue }
                history.snapshots.append(
                    (disk.operationCount, index + 1, fixture.feed.earliestLSN))
            case 3:
                // Killed, and started from the last snapshot.
                disk.killProcess()
                let frames = history.snapshots[history.snapshots.count - 1].frames
                fixture = FeedFixture(disk, clock: clock) { $0.bytesMax = 24_000 }
                fixture.open(behind: UInt64(frames) * FeedFixture.lsnsPerFrame)
                history.losses += fixture.feed.metrics.losses
                fixture.run(frames ..< index + 1)
            default: break
            }
        }
        history.operations = disk.operations
        return history
    }

    /// Recovers behind a snapshot, cuts the power again at any call of that recovery, recovers, and
    /// once more.
    private static func complaint(
        _ state: DiskState, frames: Int, behind snapshot: Int, earliest: UInt64,
        _ random: inout SeededRandom
    ) -> String? {
        var (state, bound) = (state, earliest)
        for round in 0 ..< 3 {
            let fixture = FeedFixture(SimulatedDisk(state)) { $0.bytesMax = 24_000 }
            fixture.open(behind: UInt64(snapshot) * 3)
            if fixture.feed.earliestLSN > bound {
                return "round \(round): begins at \(fixture.feed.earliestLSN), not \(bound)"
            }
            fixture.run(snapshot ..< frames)
            if random.below(3) == 0 { _ = fixture.sync() }
            if let wrong = FeedFixture.complaint(fixture.feed, frames: frames) {
                return "round \(round): \(wrong)"
            }
            // What the bytes have removed is no loss.
            bound = max(bound, fixture.feed.earliestLSN)
            var middle = state
            let operations = fixture.disk.operations
            for operation in operations.prefix(random.below(operations.count + 1)) {
                middle.apply(operation)
            }
            state = middle.afterPowerCut(&random)
        }
        return nil
    }

    private static func failures(
        of history: History, samples: Int, seed: UInt64
    ) -> (states: Int, wrong: Int, first: String) {
        var random = SeededRandom(seed: seed)
        var state = DiskState()
        var (states, wrong, first) = (0, 0, "")
        for count in 0 ... history.operations.count {
            if count > 0 { state.apply(history.operations[count - 1]) }
            let known = history.snapshots.filter { $0.operations <= count }
            // The last of them: the older one is what a damaged newer one leaves, and it goes back
            // as far. What the bytes have removed since then is no loss.
            guard let snapshot = known.last else { continue }
            let later = history.snapshots.first { $0.operations > count }
            for _ in 0 ..< samples {
                states += 1
                guard
                    let found = Self.complaint(
                        state.afterPowerCut(&random), frames: snapshot.frames + 6,
                        behind: snapshot.frames,
                        earliest: max(snapshot.earliest, later?.earliest ?? .max), &random)
                else { continue }
                wrong += 1
                if first.isEmpty { first = "after call \(count): \(found)" }
            }
        }
        return (states, wrong, first)
    }

    @Test(arguments: [21, 22, 23] as [UInt64])
    func everyLegalStateGivesTheFeedOfAnUninterruptedRun(seed: UInt64) {
        let history = Self.run(seed: seed, frames: 90)
        #expect(history.snapshots.count > 3 && history.losses == 0)
        let result = Self.failures(of: history, samples: 2, seed: seed)
        print(
            "feed: seed \(seed), \(history.operations.count) calls, \(result.states) states (3 "
                + "recoveries each), \(result.wrong) wrong")
        #expect(result.wrong == 0, "\(result.first)")
        #expect(result.states > 300)
    }

    @Test func diskThatIgnoresSyncsLosesTheFeedOfASnapshot() {
        // Sabotage: shows that the test above can fail.
        let history = Self.run(seed: 21, frames: 60, ignoringSyncs: true)
        #expect(Self.failures(of: history, samples: 2, seed: 5).wrong > 0)
    }
}
