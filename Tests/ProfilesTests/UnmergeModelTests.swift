import Testing

@testable import Profiles

/// Histories of merges and their undoing, in any order.
@Suite struct UnmergeModelTests {
    private static let people = ["p0", "p1", "p2", "p3", "p4"]

    /// What people have, written by whatever there is but erasures.
    private static func populated(_ seed: UInt64, _ limits: StoreLimits) throws -> (
        TrackFixture, MixedGenerator
    ) {
        let fixture = TrackFixture(limits: limits)
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        for person in Self.people { try fixture.identify(person, device: "own-\(person)") }
        for _ in 0 ..< 60 { try Self.write(fixture, &generator) }
        return (fixture, generator)
    }

    private static func write(_ fixture: TrackFixture, _ generator: inout MixedGenerator) throws {
        fixture.now += Int64(generator.random.below(3_000_000)) + 1
        switch generator.random.below(4) {
        case 0: try fixture.apply(generator.identify(fixture.now).record)
        case 1:
            let states: [SubscriptionState] = [.subscribed, .unsubscribed, .unset]
            _ = try fixture.consent(
                [(.email, "t\(generator.random.below(2))", states[generator.random.below(3)])],
                by: generator.random.chance(60) ? .user : .api,
                of: Self.people[generator.random.below(5)])
        default: try fixture.apply(generator.track(fixture.now).record)
        }
    }

    /// Merges in a chain, a star or anything else: with nothing between, whatever the order of
    /// their undoing, everybody is who they were.
    @Test(arguments: 1 ... 24 as ClosedRange<UInt64>)
    func mergesUndoneInAnyOrderGiveEverybodyBack(seed: UInt64) throws {
        var (fixture, generator) = try Self.populated(seed, StoreLimits())
        let before = Self.people.map { fixture.parts(.person($0)) }
        var open: [ProfileID] = []
        for _ in 0 ..< 4 {
            let loser = Self.people[generator.random.below(5)]
            let survivor = Self.people[generator.random.below(5)]
            let merge = try fixture.merge(.person(loser), into: .person(survivor))
            if merge.outcome == .merged { open.append(merge.mergeID) }
        }
        try #require(!open.isEmpty)
        open.shuffle(using: &generator.random)
        for id in open { try #require(try fixture.unmerge(id).rejection == .none) }
        for (person, parts) in zip(Self.people, before) {
            #expect(fixture.parts(.person(person)) == parts, "\(person)")
        }
        try Self.check(fixture)
    }

    /// With writes, snapshots and erasures between: a replay and a loaded snapshot agree, nothing
    /// is lost or counted twice, and no memory leaks.
    @Test(arguments: 31 ... 46 as ClosedRange<UInt64>)
    func replayAndALoadedSnapshotAgreeAboutEveryUnmerge(seed: UInt64) throws {
        var limits = BatchTests.limits
        limits.mergesPerProject = 12
        let live = TrackFixture(limits: limits)
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        var merges: [ProfileID] = []
        for _ in 0 ..< 250 { try Self.step(live, &generator, &merges) }
        live.store.beginSnapshot()
        let cut = live.log.count
        let digest = live.store.digest()
        for _ in 0 ..< 150 {
            live.store.advanceSnapshot(bytes: 200)
            try Self.step(live, &generator, &merges)
        }
        live.store.advanceSnapshot(bytes: .max)
        var blocks: [[UInt8]] = []
        while let block = live.store.takeSnapshotBlock() { blocks.append(Array(block.bytes)) }
        live.store.endSnapshot()
        let loaded = try SnapshotTests.load(blocks)
        #expect(loaded.digest() == digest)
        for entry in live.log[cut...] {
            let result = try TrackFixture.apply(
                entry.record, to: loaded, firstLSN: entry.firstLSN, receivedAt: entry.receivedAt)
            try #require(result == entry.result)
        }
        #expect(loaded.digest() == live.store.digest())
        let replayed = try live.replayed(limits: limits)
        #expect(replayed.isSame && replayed.store.digest() == live.store.digest())
        #expect(
            replayed.store.memory.slabBytesInUse == live.store.memory.slabBytesInUse)
        #expect(loaded.memory.retainedEvents == live.store.memory.retainedEvents)
        try Self.check(live)
    }

    private static func step(
        _ fixture: TrackFixture, _ generator: inout MixedGenerator, _ merges: inout [ProfileID]
    ) throws {
        switch generator.random.below(10) {
        case 0, 1:
            let (one, other) = (generator.random.below(5), generator.random.below(5))
            let loser: Who = generator.random.chance(50) ? .person("p\(one)") : .device("d\(one)")
            let merge = try fixture.merge(loser, into: .person("p\(other)"))
            if merge.mergeID != .none { merges.append(merge.mergeID) }
        case 2:
            guard !merges.isEmpty else { return }
            let id = merges.remove(at: generator.random.below(merges.count))
            let response = try fixture.unmerge(id)
            #expect([.none, .mergeExpired].contains(response.rejection))
        case 3: try fixture.detach("d\(generator.random.below(5))")
        default:
            let before = fixture.log.count
            try SnapshotTests.step(fixture, &generator)
            guard fixture.log.count > before, let last = fixture.log.last,
                last.record[4] == RecordKind.identify.rawValue,
                let response = RepairResponse(last.result), response.mergeID != .none
            else { return }
            merges.append(response.mergeID)
        }
    }

    /// Every event is in one list, and every profile is found by its identifiers.
    private static func check(_ fixture: TrackFixture) throws {
        let store = fixture.store
        var seen: Set<UInt64> = []
        for shard in 0 ..< Shards.count {
            for slot in 0 ..< store.pool.count(shard) {
                let profile = ProfileRef(shard: shard, slot: slot)
                let header = store.pool.header(profile).pointee
                guard header.isLive else {
                    #expect(header.eventCount == 0)
                    continue
                }
                for number in 0 ..< Int(header.eventCount) {
                    let event = EventBlock(
                        store.slab.pointer(store.eventStore.list(header)[number]))
                    #expect(seen.insert(event.lsn).inserted && event.holder == profile)
                }
                IdentityPart(store.slab.pointer(header.identity)).forEachInstallation {
                    let id = String(decoding: $0.id, as: UTF8.self)
                    #expect(fixture.ref(.device(id)) == profile)
                }
                #expect(fixture.ref(.profile(header.id)) == profile)
            }
        }
        #expect(seen.count == store.memory.retainedEvents)
    }
}
