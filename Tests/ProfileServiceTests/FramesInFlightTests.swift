import IOSimulation
import Profiles
import Storage
import Testing

@testable import ProfileService

/// The pipeline on a log with 16 frames in flight that takes 5 ms for a commit.
@Suite struct FramesInFlightTests {
    /// Callers that wait for their response before they call again.
    private struct Callers {
        var idle: Int
        /// In each tick one of so many idle callers calls.
        let oneIn: Int
        var random: SeededRandom
        var calls = 0

        /// Those that call in this tick, as one batch; `nil`: none does.
        mutating func batch(_ fixture: ServiceFixture) -> LogBatch? {
            let count = (0 ..< self.idle).count { _ in self.random.below(self.oneIn) == 0 }
            guard count > 0 else { return nil }
            self.idle -= count
            self.calls += count
            return fixture.batch(
                (0 ..< count).map { ("p\((self.calls + $0) % 500)", ["e\(self.calls)-\($0)"], "") })
        }
    }

    /// Callers that call again at once go in lockstep, in bursts of 800; others are spread out.
    @Test(arguments: [1, 3])
    func at5MillisecondsACommitAnd800CallsAtLeast8FramesAreInFlight(oneIn: Int) throws {
        let world = LogWorld(.replicated, commitNanoseconds: 5_000_000)
        let fixture = try world.start()
        var callers = Callers(idle: 800, oneIn: oneIn, random: SeededRandom(seed: 3))
        var fewest = Int.max
        // Ticks of 100 µs for 500 ms; the first 50 ms are not counted.
        for tick in 0 ..< 5_000 {
            while fixture.committer.step() == .now {}
            callers.idle += fixture.takeFinished().reduce(0) { $0 + $1.slots.count }
            if let batch = callers.batch(fixture) { fixture.pipeline.submit(batch) }
            while fixture.committer.step() == .now {}
            if tick >= 500 { fewest = min(fewest, world.cluster.framesInFlight) }
            world.clock.advance(nanoseconds: 100_000)
        }
        let perFrame = callers.calls / world.cluster.framesAppended
        print(
            "frames in flight: at least \(fewest), \(perFrame) commands each, "
                + "\(callers.calls) calls"
        )
        #expect(fewest >= 8)
        #expect(perFrame >= 32, "frames are not made tiny")
        // 800 callers for 500 ms, less than 6 ms each: a commit, the wait for a free frame, and up
        // to 0.3 ms before the caller calls again.
        #expect(callers.calls > 800 * 500 / 6)
    }

    @Test func callsThatWaitAtOnceAreSpreadOverTheWindow() throws {
        let world = LogWorld(.replicated)
        let fixture = try world.start()
        fixture.pipeline.submit(fixture.batch((0 ..< 800).map { ("p\($0)", ["1"], "") }))
        _ = fixture.committer.step()
        #expect((8 ... 16).contains(world.cluster.framesInFlight))
        #expect(fixture.takeFinished().isEmpty)
        #expect((0 ..< 800).allSatisfy { fixture.count("p\($0)") == 0 }, "appended is not applied")
        world.clock.advance(nanoseconds: 5_000_000)
        _ = fixture.committer.step()
        #expect(fixture.takeFinished().count == 1)
        #expect((0 ..< 800).allSatisfy { fixture.count("p\($0)") == 1 })
    }

    @Test func fewCallsMakeOneFrame() throws {
        let world = LogWorld(.replicated)
        let fixture = try world.start()
        fixture.pipeline.submit(fixture.batch((0 ..< 32).map { ("p\($0)", ["1"], "") }))
        _ = fixture.committer.step()
        #expect(world.cluster.framesInFlight == 1)
    }

    @Test func aFullWindowGathersWhatComesMeanwhile() throws {
        let world = LogWorld(.replicated)
        let fixture = try world.start()
        for number in 0 ..< 20 {
            fixture.pipeline.submit(fixture.batch([("p\(number)", ["1"], "")]))
            _ = fixture.committer.step()
        }
        #expect(world.cluster.framesInFlight == 16)
        world.clock.advance(nanoseconds: 5_000_000)
        while fixture.committer.step() == .now {}
        #expect(fixture.takeFinished().count == 16)
        #expect(world.cluster.framesInFlight == 1, "the other four share a frame")
    }

    @Test func snapshotWithFramesInFlightAndTheLogBehindItGiveTheSameState() throws {
        let world = LogWorld(.replicated)
        let fixture = try world.start()
        var number = 0
        let submit = {
            for _ in 0 ..< 3 {
                number += 1
                fixture.pipeline.submit(fixture.batch([("p\(number % 40)", ["\(number)"], "")]))
            }
            _ = fixture.committer.step()
            world.clock.advance(nanoseconds: 1_000_000)
        }
        for _ in 0 ..< 30 { submit() }
        fixture.feed.want()
        var writer: SnapshotWriter?
        var isComplete = false
        for _ in 0 ..< 1_000 where !isComplete {
            submit()
            switch fixture.feed.next() {
            case .begun(let position):
                #expect(world.cluster.framesInFlight > 0)
                writer = try SnapshotWriter(
                    fixture.environment, directoryID: fixture.recovered.opened.directoryID,
                    position: position)
            case .block(let block): try writer?.append(block.bytes)
            case .complete: isComplete = true
            case .nothing: break
            case .failed(let failure): throw failure
            }
        }
        var file: SnapshotFile?
        while file == nil, let writer {
            if case .finished(let verified) = try writer.finishStep() { file = verified }
        }
        for _ in 0 ..< 30 { submit() }
        // What is in flight now is lost.
        while fixture.committer.step() == .now {}
        let digest = fixture.store.digest()
        world.crash()
        let again = try world.start()
        #expect(again.report.snapshot == file)
        #expect(again.report.frames > 10)
        #expect(again.store.digest() == digest)
    }
}
