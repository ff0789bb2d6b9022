import Bytes
import IOSimulation
import Profiles
import Storage
import Testing

@testable import ProfileService

@Suite struct ReplayTests {
    @Test(arguments: [UInt64(7)])
    func L10_replayDigestEqualsLiveDigestAfter100000RandomOperations(seed: UInt64) throws {
        // Limits so small that events, results and names are dropped all the time.
        var limits = StoreLimits()
        limits.eventsPerProfile = 20
        limits.requestIDsPerProject = 500
        var fixture = try ServiceFixture(limits: limits)
        var random = SeededRandom(seed: seed)
        var operations = 0
        var restarts = 0
        while operations < 100_000 {
            let batches = (0 ... random.below(3)).map { _ in
                fixture.batch(
                    (0 ... random.below(40)).map { _ in
                        let events = (0 ... random.below(10)).map { _ in "e\(random.below(400))" }
                        operations += events.count
                        return (
                            "p\(random.below(300))", events,
                            random.below(4) == 0 ? "r\(random.below(2_000))" : ""
                        )
                    })
            }
            fixture.clock.advance(nanoseconds: UInt64(random.below(50_000_000)))
            #expect(fixture.commit(batches).count == batches.count)
            guard random.below(60) == 0 else { continue }
            restarts += 1
            let live = fixture.store.digest()
            let lsn = fixture.store.appliedLSN
            fixture.disk.killProcess()
            fixture = try ServiceFixture(fixture.disk, limits: limits)
            #expect(fixture.store.digest() == live)
            #expect(fixture.store.appliedLSN == lsn)
        }
        print("replay: seed \(seed), \(operations) operations, \(restarts) restarts, digests equal")
        #expect(restarts > 3)
    }

    @Test func aSealWhoseResultsDifferStopsTheStart() throws {
        let fixture = try ServiceFixture()
        _ = fixture.commit([fixture.batch([("ann", ["1"], "")])])
        // The seal says that the last frame gave other results; no frame of records follows.
        fixture.committer.results = ResultsChain(
            behind: ResultsMark(lsn: fixture.store.appliedLSN, digest: 1))
        fixture.end()
        fixture.disk.killProcess()
        do throws(RecoveryError) {
            _ = try ServiceFixture(fixture.disk)
            Issue.record("the seal was not compared")
        } catch {
            guard case .digest(_, let lsn) = error else { throw error }
            #expect(lsn == fixture.store.appliedLSN + 1)
        }
    }

    @Test func aFrameWhoseResultsDifferStopsTheStart() throws {
        let fixture = try ServiceFixture()
        _ = fixture.commit([fixture.batch([("ann", ["1"], "")])])
        // The next frame says that the one before gave other results.
        fixture.committer.results = ResultsChain(
            behind: ResultsMark(lsn: fixture.store.appliedLSN, digest: 1))
        _ = fixture.commit([fixture.batch([("ann", ["2"], "")])])
        fixture.disk.killProcess()
        #expect(throws: RecoveryError.self) { try ServiceFixture(fixture.disk) }
    }

    /// Windows and ages are counted from the times of a frame. Checksums are no secret.
    @Test(
        arguments: [
            (.min, nil), (-1, nil), (.max, nil), (1_767_225_600_000_000, -1),
            (1_767_225_600_000_000, .min),
        ] as [(Int64, Int64?)])
    func aFrameOfAnImpossibleTimeIsRejected(receivedAt: Int64, clock: Int64?) throws {
        let fixture = try ServiceFixture()
        var payload = ByteBuffer()
        if let clock { FrameClock.write(clock, into: &payload) }
        let start = beginRecord(.tick, in: &payload)
        endRecord(at: start, operations: 1, in: &payload)
        let (lsn, digest) = (fixture.store.appliedLSN, fixture.store.digest())
        let frame = LogFrame(
            firstLSN: lsn + 1, operationCount: 1, receivedAt: receivedAt,
            rulesVersion: Store.rulesVersion, results: ResultsMark(lsn: 0, digest: 0),
            payload: payload.bytes)
        var results = ByteBuffer()
        do throws(RecoveryError) {
            _ = try fixture.store.applyFrame(ReplayedFrame(frame, number: 1), results: &results)
            Issue.record("a frame without a possible time was applied")
        } catch {
            guard case .impossibleTime(lsn: lsn + 1) = error else { throw error }
        }
        #expect(fixture.store.appliedLSN == lsn && fixture.store.digest() == digest)
    }
}
