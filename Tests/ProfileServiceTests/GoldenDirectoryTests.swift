import Foundation
import IOSimulation
import Testing

@testable import ProfileService

/// A data directory that a service of format 1 wrote: two snapshots and the log from the older one
/// on, of five seeds of the reference model (every kind of record, merges, erasures, opt-outs).
/// Made once; no test writes it anew.
enum GoldenDirectory {
    /// Of the whole state at the end.
    static let digest: UInt64 = 5_035_109_408_437_910_022
    static let lsn: UInt64 = 752

    static func disk(without missing: [String] = []) throws -> SimulatedDisk {
        try Self.disk("data-v1", without: missing)
    }

    static func disk(_ name: String, without missing: [String] = []) throws -> SimulatedDisk {
        let golden = try #require(Bundle.module.url(forResource: "Golden", withExtension: nil))
        let folder = golden.appendingPathComponent(name)
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
}

@Suite struct GoldenDirectoryTests {
    @Test func L15_directoryOfVersion1GivesTheStateThatItHad() throws {
        let fixture = try ServiceFixture(GoldenDirectory.disk())
        #expect(fixture.report.snapshot?.name == "0000000000000262.snapshot")
        #expect(fixture.store.digest() == GoldenDirectory.digest)
        #expect(fixture.store.appliedLSN == GoldenDirectory.lsn)
    }

    @Test func L12_theOlderSnapshotAndMoreLogGiveTheSame() throws {
        let fixture = try ServiceFixture(
            GoldenDirectory.disk(without: ["0000000000000262.snapshot"]))
        #expect(fixture.report.snapshot?.name == "00000000000001e4.snapshot")
        #expect(fixture.store.digest() == GoldenDirectory.digest)
        #expect(fixture.store.appliedLSN == GoldenDirectory.lsn)
    }

    @Test func L12_withoutSnapshotsTheLogThatIsLeftIsRejected() throws {
        let disk = try GoldenDirectory.disk(
            without: ["0000000000000262.snapshot", "00000000000001e4.snapshot"])
        #expect(throws: RecoveryError.self) { try ServiceFixture(disk) }
    }
}
