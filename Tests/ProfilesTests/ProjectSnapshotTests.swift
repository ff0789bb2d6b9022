import Bytes
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

    /// Sees what readers do at the moment when a change is visible and its record not complete.
    private final class CountReader: ChangeConsumer {
        unowned let store: Store
        var seen: [(applied: UInt64, counted: UInt64, events: Int)] = []

        init(_ store: Store) {
            self.store = store
        }

        func consume(_ changes: CommittedChanges) {
            let counted = self.store.countedLSN
            let events = self.store.statistics(of: ProjectSnapshotTests.first)?.events ?? 0
            self.seen.append((self.store.appliedLSN, counted, events))
        }
    }

    @Test func everythingUpToTheCountedLSNIsCounted() throws {
        let live = TrackFixture()
        let reader = CountReader(live.store)
        live.store.attach(reader)
        for number in 1 ... 5 {
            try live.track(TrackSpec("p\(number)"))
            #expect(live.store.countedLSN == UInt64(number))
            #expect(live.store.appliedLSN == UInt64(number))
        }
        #expect(reader.seen.map(\.applied) == [1, 2, 3, 4, 5])
        // One event with each lsn.
        for seen in reader.seen { #expect(seen.events >= Int(seen.counted)) }
        let loaded = try SnapshotTests.load(SnapshotTests.blocks(of: live.store))
        #expect(loaded.countedLSN == 5 && loaded.appliedLSN == 5)
    }
}
