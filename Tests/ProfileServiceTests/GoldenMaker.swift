import Foundation
import IOSimulation
import Profiles
import Testing

@testable import ProfileService

@Suite struct GoldenMaker {
    @Test func make() throws {
        guard let folder = ProcessInfo.processInfo.environment["GOLDEN_V2"] else { return }
        let fixture = try ServiceFixture()
        fixture.fill(1, people: 8)
        #expect(
            fixture.append([
                ProjectRecords.create("brand-a", requestID: "a"),
                ProjectRecords.create("brand-b", days: 30, requestID: "b"),
                ProjectRecords.create("brand-c"), ProjectRecords.create("brand-d"),
            ]).allSatisfy { $0 == Rejection.none })
        for project in [2, 3, 4, 5] as [UInt32] { fixture.fill(project, people: 8) }
        fixture.append([ProjectRecords.update(2, latestWins: true)])
        // One that is gone, one that will be.
        fixture.append([ProjectRecords.delete(5, delay: 0)])
        for _ in 0 ..< 40 {
            fixture.clock.advance(nanoseconds: 100_000_000)
            fixture.rest()
        }
        fixture.append([ProjectRecords.delete(4, delay: 86_400_000_000)])
        _ = try SnapshotRun(fixture).take()
        fixture.fill(2, people: 3)
        fixture.append([ProjectRecords.create("brand-e")])
        fixture.fill(6, people: 4)
        _ = try SnapshotRun(fixture).take()
        fixture.append([ProjectRecords.delete(4, delay: 0, isUndo: true)])
        fixture.fill(4, people: 10)
        for file in fixture.disk.snapshot.files where file.path.hasPrefix("d/") {
            let name = String(file.path.dropFirst(2))
            try Data(file.content).write(to: URL(fileURLWithPath: folder + "/" + name))
        }
        print("GOLDEN digest \(fixture.store.digest()) lsn \(fixture.store.appliedLSN)")
        print("GOLDEN", fixture.store.projects(after: [], limit: 10))
        for number in 1 ... 6 as ClosedRange<UInt32> {
            print("GOLDEN", fixture.store.statistics(of: ProjectID(rawValue: number)) as Any)
        }
    }
}
