import Bytes
import Testing

@testable import Profiles

/// A walk passes each profile that exists throughout exactly once, whatever happens meanwhile.
@Suite struct ProfileWalkTests {
    private static let project = ProjectID(rawValue: 1)

    /// The ids of all live profiles of a project.
    static func ids(_ store: Store, _ project: ProjectID = Self.project) -> Set<ProfileID> {
        var ids: Set<ProfileID> = []
        store.forEachProfile(now: TrackFixture.start) { owner, image in
            if owner == project { ids.insert(image.profileID) }
        }
        return ids
    }

    /// The ids that one piece passes.
    static func advance(
        _ walk: inout ProfileWalk, in store: Store, slots: Int
    ) -> [ProfileID] {
        var ids: [ProfileID] = []
        let passed = store.advance(&walk, slots: slots, fetching: .all) {
            ids.append($1.pointee.id)
            return .next
        }
        #expect(passed <= slots)
        return ids
    }

    /// Every kind of record between the pieces, and now and then a start from a snapshot, or one
    /// from the log.
    @Test(arguments: 1 ... 30 as ClosedRange<UInt64>)
    func profilesThatExistThroughoutArePassedOnce(seed: UInt64) throws {
        let fixture = TrackFixture(limits: SnapshotTests.limits)
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        for number in 0 ..< 40 { try fixture.track(TrackSpec("q\(number)"), after: 1) }
        for _ in 0 ..< 60 { try SnapshotTests.step(fixture, &generator) }
        var store = fixture.store
        var throughout = Self.ids(store)
        var passed: [ProfileID] = []
        var walk = ProfileWalk(Self.project)
        while !walk.isAtEnd {
            let slots = 1 + generator.random.below(3)
            passed += Self.advance(&walk, in: store, slots: slots)
            try SnapshotTests.step(fixture, &generator)
            store = fixture.store
            if generator.random.chance(10) {
                // Another process goes on from the position.
                store = try SnapshotTests.load(SnapshotTests.blocks(of: fixture.store))
                walk = ProfileWalk(Self.project, from: walk.position)
            }
            throughout.formIntersection(Self.ids(store))
        }
        let counts = Dictionary(passed.map { ($0, 1) }, uniquingKeysWith: +)
        #expect(counts.values.allSatisfy { $0 == 1 }, "no profile comes twice")
        #expect(throughout.isSubset(of: Set(passed)))
        #expect(throughout.count > 20)
    }

    @Test func profilesOfOtherProjectsAreNotPassed() throws {
        let fixture = TrackFixture()
        for number in 0 ..< 20 { try fixture.track(TrackSpec("p\(number)"), after: 1) }
        try fixture.create("other")
        fixture.project = 2
        for number in 0 ..< 5 { try fixture.track(TrackSpec("p\(number)"), after: 1) }
        for (project, count) in [(1, 20), (2, 5), (3, 0)] {
            var walk = ProfileWalk(ProjectID(rawValue: UInt32(project)))
            var ids: [ProfileID] = []
            while !walk.isAtEnd { ids += Self.advance(&walk, in: fixture.store, slots: 100) }
            #expect(ids.count == count && Set(ids).count == count)
        }
    }

    @Test func mergedAndErasedProfilesAreNotPassed() throws {
        let fixture = TrackFixture()
        try fixture.track(.installation("phone"), after: 1)
        try fixture.track(TrackSpec("ann"), after: 1)
        try fixture.track(TrackSpec("bob"), after: 1)
        try fixture.apply(IdentifySpec(device: "phone", person: "ann").record)
        try fixture.erase(.customID, Array("bob".utf8), after: 1)
        var walk = ProfileWalk(Self.project)
        var ids: [ProfileID] = []
        while !walk.isAtEnd { ids += Self.advance(&walk, in: fixture.store, slots: 100) }
        #expect(Set(ids) == Self.ids(fixture.store) && ids.count == 1)
    }

    /// A visitor that runs out of space sees the profile again, one that is full does not.
    @Test func pieceEndsBehindOrBeforeAProfile() throws {
        let fixture = TrackFixture()
        for number in 0 ..< 500 { try fixture.track(TrackSpec("p\(number)"), after: 1) }
        var walk = ProfileWalk(Self.project)
        var ids: [ProfileID] = []
        var isRepeated = false
        while !walk.isAtEnd {
            fixture.store.advance(&walk, slots: 100, fetching: []) { _, header in
                isRepeated.toggle()
                guard !isRepeated else { return .stopBefore }
                ids.append(header.pointee.id)
                return .stop
            }
        }
        #expect(ids.count == 500 && Set(ids) == Self.ids(fixture.store))
    }

    @Test func positionBehindTheEndIsTheEnd() {
        #expect(ProfileWalk(Self.project, from: .max).isAtEnd)
        #expect(ProfileWalk(Self.project, from: ProfileWalk.endPosition).isAtEnd)
        #expect(!ProfileWalk(Self.project, from: ProfileWalk.endPosition - 1).isAtEnd)
    }

    @Test func positionInsideOfAShardThatIsShorterLeadsToTheNext() throws {
        let fixture = TrackFixture()
        try fixture.track(TrackSpec("ann"), after: 1)
        var walk = ProfileWalk(Self.project, from: 0xFFFF_FFFF)
        #expect(Self.advance(&walk, in: fixture.store, slots: 10).isEmpty)
        #expect(walk.position == 1 << 32)
    }
}
