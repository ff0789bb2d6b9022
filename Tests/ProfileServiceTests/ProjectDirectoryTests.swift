import Bytes
import IOSimulation
import Profiles
import Testing

@testable import ProfileService

/// Directories with more than one project, and those of before there were any.
@Suite struct ProjectDirectoryTests {
    private static func find(_ name: String, in store: Store) -> UInt32? {
        ProjectRecords.with(name) { store.findProject($0)?.rawValue }
    }

    /// What a directory of version 1 has stays, and goes on as project 1.
    @Test func L15_directoryOfVersion1IsUpgraded() throws {
        let disk = try GoldenDirectory.disk()
        let fixture = try ServiceFixture(disk)
        #expect(fixture.store.projectCount == 1 && Self.find("default", in: fixture.store) == 1)
        let first = try #require(fixture.store.project(ProjectID(rawValue: 1)))
        #expect(first.revision == 1 && first.createdAt == 0 && first.deleteDue == 0)
        #expect(
            fixture.store.statistics(of: first.id)?.profiles == fixture.store.profileCount)
        #expect(
            fixture.append([
                ProjectRecords.create("new"), ProjectRecords.update(1, latestWins: true),
            ])
                == [Rejection.none, Rejection.none])
        fixture.fill(2, people: 5)
        let digest = fixture.store.digest()
        // From the old snapshot and the log of both releases, then from a snapshot of today.
        disk.killProcess()
        let again = try ServiceFixture(disk)
        #expect(again.report.snapshot?.name == "0000000000000262.snapshot")
        #expect(again.store.digest() == digest)
        #expect(again.store.project(ProjectID(rawValue: 1))?.revision == 2)
        let file = try SnapshotRun(again).take()
        disk.killProcess()
        let last = try ServiceFixture(disk)
        #expect(last.report.snapshot?.position == file.position)
        #expect(Self.find("new", in: last.store) == 2 && last.store.projectCount == 2)
        #expect(last.store.statistics(of: first.id) != nil)
        #expect(
            last.store.project(ProjectID(rawValue: 1))
                == again.store.project(ProjectID(rawValue: 1)))
    }

    /// Each restart in the middle of a removal goes on with it, whatever is on the disk by then.
    @Test(arguments: [false, true])
    func purgeGoesOnAfterARestart(withSnapshots: Bool) throws {
        let disk = SimulatedDisk()
        let clock = SimulatedClock()
        var fixture = try ServiceFixture(disk, clock: clock)
        fixture.append([ProjectRecords.create("brand")])
        fixture.fill(1, people: 3)
        fixture.fill(2, people: 6)
        let kept = fixture.store.statistics(of: ProjectID(rawValue: 1))
        fixture.append([ProjectRecords.delete(2, delay: 1_000_000)])
        var restarts = 0
        while fixture.store.statistics(of: ProjectID(rawValue: 2))?.profiles != 0, restarts < 100 {
            clock.advance(nanoseconds: 100_000_000)
            fixture.rest()
            if withSnapshots { _ = try SnapshotRun(fixture).take() }
            let (digest, lsn) = (fixture.store.digest(), fixture.store.appliedLSN)
            disk.killProcess()
            fixture = try ServiceFixture(disk, clock: clock)
            // A tick may be on the disk that was not applied yet.
            #expect(fixture.store.appliedLSN > lsn || fixture.store.digest() == digest)
            restarts += 1
        }
        #expect(restarts > 9 && restarts < 100, "due after a second, and not before")
        #expect(fixture.store.statistics(of: ProjectID(rawValue: 1))?.profiles == kept?.profiles)
        #expect(fixture.store.statistics(of: ProjectID(rawValue: 1))?.events == kept?.events)
    }

    /// Within two snapshots nothing of a deleted project is on the disk.
    @Test func deletedProjectIsGoneFromTheDisk() throws {
        let secret = "x-secret-of-brand"
        let disk = SimulatedDisk()
        let clock = SimulatedClock()
        let fixture = try ServiceFixture(disk, clock: clock)
        fixture.append([ProjectRecords.create("brand")])
        fixture.append([
            ProjectRecords.track(2, secret, event: "visit", requestID: "request-\(secret)")
        ])
        fixture.append([ProjectRecords.delete(2, delay: 0)])
        let run = SnapshotRun(fixture)
        func isOnDisk() -> Bool {
            let wanted = Array(secret.utf8)
            return disk.snapshot.files.contains { file in
                guard file.content.count >= wanted.count else { return false }
                return (0 ... file.content.count - wanted.count).contains {
                    file.content[$0 ..< $0 + wanted.count].elementsEqual(wanted)
                }
            }
        }
        for _ in 0 ..< 30 {
            clock.advance(nanoseconds: 100_000_000)
            fixture.rest()
        }
        #expect(fixture.store.lastEraseLSN > 0 && isOnDisk())
        // The schedule makes as many as the erasure of a person needs.
        var made = 0
        while isOnDisk(), made < 10 {
            clock.advance(nanoseconds: 24 * 3_600 * 1_000_000_000 / 4)
            fixture.rest()
            if run.isMadeBySchedule() { made += 1 }
        }
        #expect(!isOnDisk() && made <= 4)
    }
}
