import Bytes
import Dispatch
import Synchronization
import Testing

@testable import Profiles

/// What a start from a snapshot makes of projects, and what it rejects.
@Suite struct ProjectSnapshotTests {
    private static let first = ProjectID(rawValue: 1)
    private static let second = ProjectID(rawValue: 2)

    /// Blocked identifiers come before the profiles, so a profile of one project is the next after
    /// those of another.
    @Test func bytesOfBlockedIdentifiersAreThoseOfTheirProject() throws {
        let live = TrackFixture()
        try live.create("second")
        try live.create("third")
        try live.apply(IdentifySpec(person: "ann").record)
        for project in [2, 3] as [UInt32] {
            try live.with(project: project) { () throws in
                for number in 0 ..< 40 {
                    let (device, person) = ("d\(number)", "p\(number)")
                    try live.apply(IdentifySpec(device: device, person: person).record)
                    try live.erase(person)
                }
            }
        }
        let loaded = try SnapshotTests.load(SnapshotTests.blocks(of: live.store))
        var sum = loaded.projects.instance.counts.bytes
        for project in live.store.projects.all {
            let other = try #require(loaded.projects.find(project.id))
            #expect(other.counts.bytes == project.counts.bytes, "project \(project.id.rawValue)")
            sum += other.counts.bytes
        }
        #expect(sum == loaded.slab.bytesInUse && sum == live.store.slab.bytesInUse)
    }

    /// What would make a sum of times overflow, or could never have been written.
    @Test(arguments: 0 ..< 10)
    func projectWithImpossibleTimesOrOptionsIsRejected(number: Int) throws {
        let live = TrackFixture()
        try live.create("second")
        let project = try #require(live.store.projects.find(Self.second))
        var details = project.record.pointee.details
        var counts = project.counts
        switch number {
        case 0: details.createdAt = -1
        case 1: details.deleteDue = .max
        case 2: (details.deleteDue, details.purgedAt) = (1, .max - 1)
        case 3: (details.deleteDue, details.purgedAt) = (0, 1)
        case 4: details.options.eventRetentionDays = 91
        case 5: details.options.eventsPerProfileMax = .max
        case 6: counts.oldestEvent = .max - 1
        case 7: counts.oldestEvent = .min
        case 8: counts.oldestBehind = .max - 1
        default: details.deleteDue = 253_402_300_800_000_000
        }
        live.store.projects.change(project, to: details)
        project.counts = counts
        #expect(throws: SnapshotError.malformed(item: SnapshotItem.project.rawValue)) {
            try SnapshotTests.load(SnapshotTests.blocks(of: live.store))
        }
    }

    @Test func projectWithTheLastTimesThereAreIsLoaded() throws {
        let live = TrackFixture()
        try live.create("second")
        let project = try #require(live.store.projects.find(Self.second))
        var details = project.record.pointee.details
        (details.deleteDue, details.purgedAt) = (
            SnapshotFormat.times.upperBound, SnapshotFormat.times.upperBound
        )
        live.store.projects.change(project, to: details)
        project.record.pointee.counts.oldestEvent = SnapshotFormat.times.upperBound
        let loaded = try SnapshotTests.load(SnapshotTests.blocks(of: live.store))
        #expect(loaded.digest() == live.store.digest())
    }

    @Test(arguments: [-1, .max, .min] as [Int64])
    func impossibleTimesOfTheStateAreRejected(time: Int64) throws {
        for field in 0 ..< 3 {
            let live = TrackFixture()
            try live.track()
            switch field {
            case 0: live.store.state.pointee.lastReceivedAt = time
            case 1: live.store.state.pointee.sweep.startedAt = time
            default: live.store.state.pointee.sweep.lastTickAt = time
            }
            #expect(throws: SnapshotError.malformed(item: SnapshotItem.state.rawValue)) {
                try SnapshotTests.load(SnapshotTests.blocks(of: live.store))
            }
        }
    }

    /// A reader sees a change a moment before its record is complete; what is counted it sees with
    /// its lsn.
    @Test func everythingUpToTheCountedLSNIsCounted() throws {
        let live = TrackFixture()
        let store = live.store
        let isFinished = Atomic<Bool>(false)
        let missing = Atomic<Int>(0)
        let group = DispatchGroup()
        DispatchQueue.global().async(group: group) {
            repeat {
                // One event with each lsn.
                let counted = store.countedLSN
                let events = store.statistics(of: ProjectSnapshotTests.first)?.events ?? 0
                if events < Int(counted) || store.appliedLSN < counted {
                    missing.add(1, ordering: .relaxed)
                }
            } while !isFinished.load(ordering: .acquiring)
        }
        for number in 1 ... 2_000 {
            try live.track(TrackSpec("p\(number % 50)"))
            #expect(store.countedLSN == UInt64(number) && store.appliedLSN == UInt64(number))
        }
        isFinished.store(true, ordering: .releasing)
        group.wait()
        #expect(missing.load(ordering: .relaxed) == 0)
        let loaded = try SnapshotTests.load(SnapshotTests.blocks(of: live.store))
        #expect(loaded.countedLSN == 2_000 && loaded.appliedLSN == 2_000)
    }
}
