import Foundation
import IOSimulation
import Testing

@testable import ProfileService

/// A data directory that a service of format 1 wrote: two snapshots and the log from the older one
/// on, of five seeds of the reference model (every kind of record, merges, erasures, opt-outs).
/// Made once; no test writes it anew.
@Suite struct GoldenDirectoryTests {
    /// Of the whole state at the end.
    private static let digest: UInt64 = 5_035_109_408_437_910_022
    private static let lsn: UInt64 = 752

    private static func disk(without missing: String...) throws -> SimulatedDisk {
        let golden = try #require(Bundle.module.url(forResource: "Golden", withExtension: nil))
        let folder = golden.appendingPathComponent("data-v1")
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter {
            !missing.contains($0)
        }
        let files = try names.sorted().map { name in
            (
                path: "d/\(name)",
                content: [UInt8](try Data(contentsOf: folder.appendingPathComponent(name)))
            )
        }
        return SimulatedDisk(DiskState(files: files))
    }

    @Test func L15_directoryOfVersion1GivesTheStateThatItHad() throws {
        let fixture = try ServiceFixture(Self.disk())
        #expect(fixture.report.snapshot?.name == "0000000000000262.snapshot")
        #expect(fixture.store.digest() == Self.digest)
        #expect(fixture.store.appliedLSN == Self.lsn)
    }

    @Test func L12_theOlderSnapshotAndMoreLogGiveTheSame() throws {
        let fixture = try ServiceFixture(Self.disk(without: "0000000000000262.snapshot"))
        #expect(fixture.report.snapshot?.name == "00000000000001e4.snapshot")
        #expect(fixture.store.digest() == Self.digest)
        #expect(fixture.store.appliedLSN == Self.lsn)
    }

    @Test func L12_withoutSnapshotsTheLogThatIsLeftIsRejected() throws {
        let disk = try Self.disk(without: "0000000000000262.snapshot", "00000000000001e4.snapshot")
        #expect(throws: RecoveryError.self) { try ServiceFixture(disk) }
    }
}
