import Foundation
import IOSimulation
import Profiles
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

    // MARK: Version 2

    /// Two snapshots and the log from the older one on, of six projects: with profiles, merges,
    /// opt-outs, suppressions, erasures and request ids each, one of them gone, one to be deleted
    /// in both snapshots and kept by the log. Made once; no test writes it anew.
    private static let older = "0000000000000130.snapshot"
    private static let newer = "0000000000000163.snapshot"

    @Test(arguments: [[], ["0000000000000163.snapshot"]])
    func L15_directoryOfVersion2GivesTheStateThatItHad(missing: [String]) throws {
        let fixture = try ServiceFixture(GoldenDirectory.disk("data-v2", without: missing))
        #expect(
            fixture.report.snapshot?.name == (missing.isEmpty ? Self.newer : Self.older))
        let store = fixture.store
        #expect(store.digest() == 5_920_812_249_518_020_557 && store.appliedLSN == 428)
        let projects = store.projects(after: [], limit: 10)
        #expect(
            projects.map { String(decoding: $0.name, as: UTF8.self) } == [
                "brand-a", "brand-b", "brand-c", "brand-d", "brand-e", "default",
            ])
        #expect(projects.map(\.id.rawValue) == [2, 3, 4, 5, 6, 1])
        #expect(projects.map(\.revision) == [2, 1, 3, 2, 1, 1])
        #expect(projects.map { $0.deleteDue != 0 } == [false, false, false, true, false, false])
        #expect(projects[0].options.latestWins && projects[1].options.eventRetentionDays == 30)
        let counts = (1 ... 6 as ClosedRange<UInt32>).map {
            store.statistics(of: ProjectID(rawValue: $0))?.events
        }
        #expect(counts == [18, 24, 18, 36, 0, 9])
    }
}
