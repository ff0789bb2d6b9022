import Bytes
import Dispatch
import Synchronization
import Testing

@testable import Profiles

/// A project that is deleted is out of reach at once, and gone for good in pieces after its time.
@Suite struct ProjectPurgeTests {
    private static let first = ProjectID(rawValue: 1)
    private static let second = ProjectID(rawValue: 2)

    /// A store with two projects, which hold the same, of every kind.
    private static func filled(seed: UInt64 = 1, steps: Int = 300) throws -> TrackFixture {
        let fixture = TrackFixture(limits: SnapshotTests.limits)
        try fixture.create("second")
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        for _ in 0 ..< steps {
            for project in [1, 2] as [UInt32] {
                try fixture.with(project: project) { () throws in
                    try SnapshotTests.step(fixture, &generator)
                }
            }
        }
        return fixture
    }

    @Test func nothingOfAProjectIsServedWhileItIsBeingDeleted() throws {
        let fixture = TrackFixture()
        try fixture.create("second")
        try fixture.with(project: 2) {
            _ = try fixture.track(TrackSpec().with { $0.requestID = "r" })
        }
        let deleted = try fixture.delete(2)
        #expect(deleted.project?.deleteDue == fixture.now + TrackFixture.day)
        #expect(deleted.project?.revision == 2 && fixture.store.isDeleted(Self.second))
        try fixture.with(project: 2) { () throws in
            #expect(try fixture.track().rejection == .projectDeleted)
            #expect(
                try fixture.track(TrackSpec().with { $0.requestID = "r" }).rejection
                    == .projectDeleted, "no replay either")
        }
        #expect(try fixture.update(2, ProjectOptions()).rejection == .projectDeleted)
        #expect(try fixture.create("second").rejection == .projectDeleted)
        #expect(try fixture.track().rejection == .none, "another project is served")
        fixture.now += 5
        #expect(try fixture.delete(2).project == deleted.project, "deleted twice is deleted")
        #expect(fixture.store.project(Self.second)?.exists(at: fixture.now) == true)

        #expect(try fixture.delete(2, isUndo: true).project?.deleteDue == 0)
        #expect(!fixture.store.isDeleted(Self.second))
        #expect(
            try fixture.delete(2, isUndo: true).project?.revision == 3, "undone twice is undone")
        try fixture.with(project: 2) { () throws in
            #expect(try fixture.track(TrackSpec().with { $0.requestID = "r" }).isReplayed)
        }
        #expect(fixture.store.state.pointee.nextProjectDue == .max)
    }

    @Test func deletionIsFinalFromItsTimeOnWhetherOrNotATickCame() throws {
        let fixture = TrackFixture()
        try fixture.create("second")
        try fixture.delete(2, delay: 10, requestID: "r")
        fixture.now += 9
        #expect(try fixture.delete(2, isUndo: true).rejection == .none)
        try fixture.delete(2, delay: 10)
        fixture.now += 10
        #expect(fixture.store.tickDue(at: fixture.now))
        #expect(try fixture.delete(2, isUndo: true).rejection == .projectDeleted)
        #expect(fixture.store.project(Self.second)?.exists(at: fixture.now) == false)
    }

    @Test func undoIsRejectedOnceTheRemovalBeganWhateverTheClockSays() throws {
        let fixture = try Self.filled(steps: 100)
        try fixture.with(project: 2) { () throws in
            for number in 0 ..< 3_000 { try fixture.track(TrackSpec("many\(number)")) }
        }
        try fixture.delete(2, delay: 10 * TrackFixture.second)
        try fixture.tick(after: 10 * TrackFixture.second)
        try #require(fixture.store.state.pointee.purge.phase != .idle)
        fixture.clockBehind = 5 * TrackFixture.second
        #expect(try fixture.delete(2, isUndo: true).rejection == .projectDeleted, "half is gone")
        fixture.clockBehind = 0
        try fixture.purge()
        fixture.clockBehind = fixture.now - TrackFixture.start
        #expect(try fixture.delete(2, isUndo: true).rejection == .projectDeleted, "all is gone")
        fixture.clockBehind = 0
        try fixture.tick(after: ProjectPurge.nameTaken)
        #expect(fixture.find("second") == nil)
    }

    @Test func deletionCanBeRetriedUntilTheNameIsFree() throws {
        let fixture = try Self.filled(steps: 50)
        let first = try fixture.delete(2, delay: 10, requestID: "r")
        let due = try #require(first.project?.deleteDue)
        fixture.now += 10
        // The delay is of the server, not of the message.
        for delay in [10, 20] as [Int64] {
            let replayed = try fixture.delete(2, delay: delay, requestID: "r")
            #expect(replayed.isReplayed && replayed.project == first.project)
        }
        #expect(try fixture.delete(2).project?.deleteDue == due)
        try fixture.tick(after: RetentionSweep.tickInterval)
        let project = try #require(fixture.store.projects.find(Self.second))
        try #require(project.record.pointee.isPurging && project.requests.count == 0)
        for _ in 0 ..< 2 {
            for requestID in ["r", "s"] {
                let retried = try fixture.delete(2, delay: 10, requestID: requestID)
                #expect(retried.rejection == .none && retried.project == first.project)
            }
            #expect(project.requests.count == 0, "nothing is left behind")
            #expect(try fixture.delete(2, isUndo: true).rejection == .projectDeleted)
            try fixture.purge()
        }
        let bytes = project.counts.bytes
        #expect(bytes == 0)
        try fixture.tick(after: ProjectPurge.nameTaken)
        #expect(try fixture.delete(2, delay: 10, requestID: "r").rejection == .projectNotFound)
        try Self.expectReplay(of: fixture)
    }

    @Test func everythingOfTheProjectIsGoneAndNothingOfAnother() throws {
        let fixture = try Self.filled()
        let address = AddressHash(low: 7, high: 9)
        for project in [1, 2] as [UInt32] {
            try fixture.with(project: project) { () throws in
                _ = try fixture.track(TrackSpec("kept", [EventSpec(name: "secret_name")]))
                try fixture.apply(Self.suppression(address))
            }
        }
        let before = fixture.store.statistics(of: Self.first)
        let read = fixture.read("kept")
        try #require(fixture.store.statistics(of: Self.second)?.profiles ?? 0 > 0)
        try fixture.delete(2, delay: 0)
        try fixture.purge()
        let store = fixture.store
        #expect(store.statistics(of: Self.first) == before && fixture.read("kept") == read)
        #expect(store.suppressions.reasons(Self.first, address) == [.manual])
        let project = try #require(store.projects.find(Self.second))
        #expect(store.statistics(of: Self.second) == ProjectStatistics())
        #expect(project.requests.count == 0 && project.merges.count == 0)
        #expect(project.blocks.count == 0 && project.record.pointee.suppressions == 0)
        #expect(
            project.names.count == 0 && store.suppressions.reasons(Self.second, address).isEmpty)
        #expect(store.memory.retainedEvents == before?.events)
        for shard in 0 ..< Shards.count {
            for slot in 0 ..< store.pool.count(shard) {
                let header = store.pool.header(ProfileRef(shard: shard, slot: slot)).pointee
                #expect(header.project != Self.second)
                #expect(!header.isVacant || header.identity == 0 && header.ledger == 0)
            }
        }
        #expect(store.lastEraseLSN == store.appliedLSN, "snapshots are due until the disk is clean")
        try Self.expectReplay(of: fixture)
    }

    /// Every block that the project had is given back: what is left is what the other one has.
    @Test func memoryOfTheProjectIsFreed() throws {
        let fixture = try Self.filled()
        try fixture.delete(2, delay: 0)
        try fixture.purge()
        let first = try #require(fixture.store.projects.find(Self.first))
        let instance = fixture.store.projects.instance
        #expect(
            fixture.store.slab.bytesInUse == first.counts.bytes + instance.counts.bytes)
        // And the last project can go too.
        try fixture.delete(1, delay: 0)
        try fixture.purge()
        #expect(fixture.store.slab.bytesInUse == instance.counts.bytes)
        #expect(fixture.store.profileCount == 0 && fixture.store.memory.retainedEvents == 0)
    }

    private static func suppression(_ address: AddressHash) -> [UInt8] {
        var buffer = ByteBuffer()
        let start = beginRecord(.addSuppression, in: &buffer)
        SuppressionCommand(
            project: ProjectID(rawValue: 1), reason: .manual, address: address, requestID: .none
        ).write(into: &buffer)
        endRecord(at: start, operations: 1, in: &buffer)
        return Array(buffer.bytes)
    }

    private static func expectReplay(of fixture: TrackFixture) throws {
        let replayed = Store(genesis: fixture.store.genesis)
        for entry in fixture.log {
            let result = try TrackFixture.apply(
                entry.record, to: replayed, firstLSN: entry.firstLSN, receivedAt: entry.receivedAt)
            #expect(result == entry.result)
        }
        #expect(replayed.digest() == fixture.store.digest())
    }

    @Test func nameIsTakenForADayAfterThePurgeAndItsNumberForEver() throws {
        let fixture = try Self.filled(steps: 20)
        try fixture.delete(2, delay: 0)
        try fixture.purge()
        let purgedAt = fixture.now
        fixture.now = purgedAt + ProjectPurge.nameTaken - 1
        try fixture.tick()
        #expect(try fixture.create("second").rejection == .projectDeleted)
        #expect(fixture.store.projectCount == 2)
        fixture.now += RetentionSweep.tickInterval
        #expect(fixture.store.tickDue(at: fixture.now))
        try fixture.tick()
        #expect(fixture.find("second") == nil && fixture.store.projectCount == 1)
        try fixture.with(project: 2) { () throws in
            #expect(try fixture.track().rejection == .projectNotFound)
        }
        #expect(try fixture.create("second").project?.id.rawValue == 3)
        try fixture.with(project: 3) { () throws in
            #expect(fixture.read("p1") == nil)
            #expect(try fixture.track(TrackSpec("p1")).revision == 1)
        }
        try Self.expectReplay(of: fixture)
    }

    @Test func defaultCanBeDeletedAndMadeAgain() throws {
        let fixture = TrackFixture()
        _ = try fixture.track()
        try fixture.delete(1, delay: 0)
        try fixture.purge()
        try fixture.tick(after: ProjectPurge.nameTaken)
        #expect(fixture.find("default") == nil && fixture.store.projectCount == 0)
        #expect(try fixture.create("default").project?.id.rawValue == 2)
        #expect(fixture.find("default") == 2)
        let loaded = try SnapshotTests.load(SnapshotTests.blocks(of: fixture.store))
        #expect(loaded.digest() == fixture.store.digest())
        #expect(withBytes("default") { loaded.findProject($0)?.rawValue } == 2)
        try Self.expectReplay(of: fixture)
    }

    /// The slot of a profile that is gone is used again; no reference leads from one to the other.
    @Test func slotsAreUsedAgainAlsoInABatchThatIsRolledBack() throws {
        let fixture = TrackFixture(limits: SnapshotTests.limits)
        try fixture.create("second")
        try fixture.with(project: 2) { () throws in
            for number in 0 ..< 200 { try fixture.track(TrackSpec("p\(number)")) }
        }
        try fixture.delete(2, delay: 0)
        try fixture.purge()
        var generator = MixedGenerator(random: SeededRandom(state: 4))
        for number in 0 ..< 40 {
            try fixture.apply(generator.batch(fixture.now, fails: number % 2 == 0).record)
            fixture.now += 1
        }
        for number in 0 ..< 150 { try fixture.track(TrackSpec("q\(number)")) }
        let slots = (0 ..< Shards.count).reduce(0) { $0 + fixture.store.pool.count($1) }
        #expect(slots < 200 + 80, "most new profiles are in slots that were free")
        try Self.expectReplay(of: fixture)
        let loaded = try SnapshotTests.load(SnapshotTests.blocks(of: fixture.store))
        #expect(loaded.digest() == fixture.store.digest())
    }

    /// The purge stops after each tick, goes on from a snapshot of that moment, and comes to the
    /// same; also with writes of another project in between, and a snapshot that runs meanwhile.
    @Test(arguments: [1, 2, 3, 4, 5, 6] as [UInt64])
    func purgeGoesOnFromASnapshotAtAnyTick(seed: UInt64) throws {
        let live = try Self.filled(seed: seed, steps: 120)
        try live.with(project: 2) { () throws in
            for number in 0 ..< 8_000 {
                try live.track(TrackSpec("many\(number)").with { $0.requestID = "r\(number)" })
            }
        }
        try live.delete(2, delay: 0)
        var generator = MixedGenerator(random: SeededRandom(state: seed &+ 50))
        var ticks = 0
        repeat {
            live.now += RetentionSweep.tickInterval
            try live.tick()
            ticks += 1
            let digest = live.store.digest()
            let lsn = live.store.appliedLSN
            live.store.beginSnapshot()
            // The purge goes on while the snapshot is written.
            live.now += RetentionSweep.tickInterval
            try live.tick()
            try SnapshotTests.step(live, &generator)
            let blocks = try SnapshotTests.blocks(of: live.store, pieceBytes: 4_096, isBegun: true)
            let loaded = try SnapshotTests.load(blocks)
            #expect(loaded.digest() == digest && loaded.appliedLSN == lsn)
            for entry in live.log where entry.firstLSN > lsn {
                let result = try TrackFixture.apply(
                    entry.record, to: loaded, firstLSN: entry.firstLSN,
                    receivedAt: entry.receivedAt)
                #expect(result == entry.result)
            }
            #expect(loaded.digest() == live.store.digest())
            for project in [1, 2] as [UInt32] {
                let id = ProjectID(rawValue: project)
                let (one, other) = (loaded.statistics(of: id), live.store.statistics(of: id))
                #expect(one?.profiles == other?.profiles && one?.identified == other?.identified)
                #expect(one?.events == other?.events)
            }
        } while live.store.state.pointee.purge.phase != .idle && ticks < 200
        #expect(ticks > 3, "the purge takes several ticks")
        #expect(live.store.statistics(of: Self.second) == ProjectStatistics())
        try Self.expectReplay(of: live)
    }

    /// A tick does a bounded piece, however large the project is.
    @Test func oneTickRemovesABoundedNumberOfProfiles() throws {
        let fixture = TrackFixture()
        try fixture.create("second")
        try fixture.with(project: 2) { () throws in
            for number in 0 ..< 5_000 { try fixture.track(TrackSpec("p\(number)")) }
        }
        try fixture.delete(2, delay: 0)
        var left = 5_000
        var ticks = 0
        while left > 0, ticks < 100 {
            try fixture.tick(after: RetentionSweep.tickInterval)
            let now = fixture.store.statistics(of: Self.second)?.profiles ?? 0
            #expect(left - now <= ProjectPurge.unitsPerTick / ProjectPurge.unitsPerProfile + 1)
            left = now
            ticks += 1
        }
        #expect(left == 0 && ticks >= 5)
    }

    /// Readers ask for projects and profiles while projects come, change and go; also meant for the
    /// thread sanitizer.
    @Test func readersSeeWholeProjectsWhileTheyComeAndGo() throws {
        let fixture = TrackFixture()
        let store = fixture.store
        let finished = Atomic<Bool>(false)
        let wrong = Atomic<Int>(0)
        let group = DispatchGroup()
        for reader in 0 ..< 2 {
            DispatchQueue.global().async(group: group) {
                var random = SeededRandom(state: UInt64(reader))
                var buffer = ByteBuffer()
                while !finished.load(ordering: .acquiring) {
                    let name = "p\(random.below(4))"
                    buffer.removeAll()
                    let found = withBytes(name) { store.findProject($0) }
                    guard let id = found else { continue }
                    let info = store.project(id)
                    if let info, info.name != Array(name.utf8) { wrong.add(1, ordering: .relaxed) }
                    // Retention and late window are always those of one update.
                    if let windows = store.timeWindows(of: id),
                        windows.historicalSeconds != windows.lateSeconds + 86_400
                    {
                        wrong.add(1, ordering: .relaxed)
                    }
                    _ = store.statistics(of: id)
                    _ = store.isDeleted(id)
                    _ = store.projects(after: [], limit: 3)
                    // Of a project that stays: time runs a thousand times as fast here, so that
                    // nothing waits until the reader of one that goes has ended.
                    _ = withBytes("ann") {
                        store.read(
                            project: Self.first,
                            identifier: IdentifierView(kind: .customID, bytes: $0),
                            now: TrackFixture.start, into: &buffer)
                    }
                }
            }
        }
        try fixture.track()
        for round in 0 ..< 60 {
            for number in 0 ..< 4 {
                let days = UInt32(2 + round % 5)
                let options = ProjectOptions.with {
                    $0.eventRetentionDays = days
                    $0.lateWindowSeconds = (days - 1) * 86_400
                }
                guard let id = try fixture.create("p\(number)", options).project?.id else {
                    continue
                }
                try fixture.with(project: id.rawValue) {
                    _ = try fixture.track(TrackSpec("ann", [EventSpec(name: "n\(round)")]))
                }
                try fixture.update(
                    id.rawValue,
                    .with {
                        $0.eventRetentionDays = days + 1
                        $0.lateWindowSeconds = days * 86_400
                    })
                try fixture.delete(id.rawValue, delay: 0)
            }
            try fixture.purge()
            try fixture.tick(after: ProjectPurge.nameTaken)
        }
        finished.store(true, ordering: .releasing)
        group.wait()
        #expect(wrong.load(ordering: .relaxed) == 0)
        #expect(store.projectCount == 1 && store.profileCount == 1)
    }
}
