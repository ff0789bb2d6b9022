import Bytes
import IOSimulation
import Profiles
import Storage
import Testing

@testable import ProfileService

/// What a release does with frames of its own rules, of older and of newer ones.
///
/// A release of newer rules is this one with the number raised, which is what that release will be
/// for the frames of today. A directory that it continues holds frames of every version.
@Suite struct RulesVersionTests {
    /// A version that this release does not know.
    private static let newer = Store.rulesVersion + 1

    /// The golden directory of version 1, continued by a release of newer rules.
    private static func continued() throws -> (disk: SimulatedDisk, digest: UInt64) {
        let fixture = try ServiceFixture(GoldenDirectory.disk(), rulesVersion: Self.newer)
        #expect(fixture.store.digest() == GoldenDirectory.digest, "old frames by the old rules")
        let done = fixture.commit([fixture.batch([("newer-rules", ["1", "2"], "")])])
        #expect(done[0].slots[0].rejection == .none)
        fixture.end()
        fixture.disk.killProcess()
        return (fixture.disk, fixture.store.digest())
    }

    @Test func goldenLogOfVersion1IsReplayedByReleasesOfNewerRules() throws {
        for version in [Store.rulesVersion, Self.newer] {
            for hidden in [[], ["0000000000000262.snapshot"]] {
                let fixture = try ServiceFixture(
                    GoldenDirectory.disk(without: hidden), rulesVersion: version)
                #expect(fixture.store.digest() == GoldenDirectory.digest)
                #expect(fixture.store.appliedLSN == GoldenDirectory.lsn)
            }
        }
    }

    @Test func logOfBothVersionsIsReplayedByTheReleaseThatWroteIt() throws {
        let (disk, digest) = try Self.continued()
        let again = try ServiceFixture(disk, rulesVersion: Self.newer)
        #expect(again.store.digest() == digest)
        #expect(again.count("newer-rules") == 2)
    }

    @Test func frameOfNewerRulesIsRejectedWithBothVersionsInTheText() throws {
        let (disk, _) = try Self.continued()
        let before = disk.snapshot.files.map(\.content)
        do throws(RecoveryError) {
            _ = try ServiceFixture(disk)
            Issue.record("a frame of newer rules was applied by this release")
        } catch {
            guard case .newerRules(Self.newer, _, let lsn, known: Store.rulesVersion) = error else {
                throw error
            }
            #expect(lsn == GoldenDirectory.lsn + 1)
            #expect(
                error.description.contains(
                    "was written by rules version \(Self.newer), and this release knows versions "
                        + "up to \(Store.rulesVersion)"))
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
        let outcomes = [Store.rulesVersion, Self.newer].map { (version: UInt32) -> RecoveryError? in
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
        guard case .record(.newerRules(Self.newer, _), _) = outcomes[1] else {
            Issue.record("the store did not see the version of the frame")
            return
        }
    }
}
