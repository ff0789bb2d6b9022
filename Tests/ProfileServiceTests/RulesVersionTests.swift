import Bytes
import IOSimulation
import Profiles
import Storage
import Testing

@testable import ProfileService

/// What a release does with frames of its own rules, of older and of newer ones.
///
/// The next release's store is this one with the number raised, which is what that release will be
/// for frames of today's rules; a directory that it continues holds frames of several.
@Suite struct RulesVersionTests {
    private static let next = Store.rulesVersion + 1

    /// The golden directory of version 1, continued by the next release.
    private static func continued() throws -> (disk: SimulatedDisk, digest: UInt64) {
        let fixture = try ServiceFixture(GoldenDirectory.disk(), rulesVersion: Self.next)
        #expect(fixture.store.digest() == GoldenDirectory.digest, "old frames by the old rules")
        let done = fixture.commit([fixture.batch([("next-version", ["1", "2"], "")])])
        #expect(done[0].slots[0].rejection == .none)
        fixture.end()
        fixture.disk.killProcess()
        return (fixture.disk, fixture.store.digest())
    }

    @Test func goldenLogOfVersion1IsReplayedByTheNextRelease() throws {
        for hidden in [[], ["0000000000000262.snapshot"]] {
            let fixture = try ServiceFixture(
                GoldenDirectory.disk(without: hidden), rulesVersion: Self.next)
            #expect(fixture.store.digest() == GoldenDirectory.digest)
            #expect(fixture.store.appliedLSN == GoldenDirectory.lsn)
        }
    }

    @Test func logOfBothVersionsIsReplayedByTheReleaseThatWroteIt() throws {
        let (disk, digest) = try Self.continued()
        let again = try ServiceFixture(disk, rulesVersion: Self.next)
        #expect(again.store.digest() == digest)
        #expect(again.count("next-version") == 2)
    }

    @Test func frameOfNewerRulesIsRejectedWithBothVersionsInTheText() throws {
        let (disk, _) = try Self.continued()
        let before = disk.snapshot.files.map(\.content)
        do throws(RecoveryError) {
            _ = try ServiceFixture(disk)
            Issue.record("a frame of newer rules was applied")
        } catch {
            guard case .newerRules(Self.next, _, let lsn, known: Store.rulesVersion) = error
            else { throw error }
            #expect(lsn == GoldenDirectory.lsn + 1)
            #expect(
                error.description.contains(
                    "was written by rules version \(Self.next), and this release knows "
                        + "versions up to \(Store.rulesVersion)"))
        }
        #expect(disk.snapshot.files.map(\.content) == before, "nothing was changed")
    }

    @Test func applyGetsTheVersionOfItsFrame() throws {
        let fixture = try ServiceFixture()
        var payload = ByteBuffer()
        let offset = beginRecord(.tick, in: &payload)
        endRecord(at: offset, operations: 1, in: &payload)
        let lsn = fixture.store.appliedLSN + 1
        var results = ByteBuffer()
        let outcomes = [1, Self.next].map { (version: UInt32) -> RecoveryError? in
            let frame = LogFrame(
                firstLSN: lsn, operationCount: 1,
                receivedAt: fixture.clock.wallMicroseconds(), rulesVersion: version,
                results: ResultsMark(lsn: 0, digest: 0), payload: payload.bytes)
            do throws(RecoveryError) {
                _ = try fixture.store.applyFrame(
                    ReplayedFrame(frame, number: 1), results: &results)
                return nil
            } catch { return error }
        }
        #expect(outcomes[0] == nil)
        guard case .record(.newerRules(Self.next, _), _) = outcomes[1] else {
            Issue.record("the store did not see the version")
            return
        }
    }
}
