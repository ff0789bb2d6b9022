import Testing

@testable import Profiles

/// Merges that are asked for.
@Suite struct MergeProfilesTests {
    @Test func twoIdentifiedProfilesNeedPermissionAndTheCustomIDBecomesAnAlias() throws {
        let fixture = TrackFixture()
        try fixture.identify("old", device: "d", set: [("a", 1), ("b", 1)])
        try fixture.identify("ann", set: [("b", 2)])
        try fixture.track(TrackSpec("old"), after: 1_000)
        let refused = try fixture.merge(
            .person("old"), into: .person("ann"), allowsIdentified: false)
        #expect(refused.rejection == .bothIdentified)
        let old = try #require(fixture.id(.person("old")))
        let merged = try fixture.merge(.person("old"), into: .person("ann"))
        #expect(merged.outcome == .merged && merged.mergeID != .none && merged.revision == 2)
        #expect(fixture.id(.person("old")) == merged.profileID)
        #expect(fixture.id(.profile(old)) == merged.profileID)
        #expect(fixture.attributes(.person("ann")) == ["a": "1", "b": "2"])
        #expect(fixture.counts(.person("old")) == ["visit": 1])
        // Writes through the alias are the survivor's.
        try fixture.track(TrackSpec("old"), after: 1_000)
        try fixture.identify("old", device: "new", set: [("c", 3)])
        #expect(fixture.counts(.person("ann")) == ["visit": 2])
        #expect(fixture.id(.device("new")) == merged.profileID)
        #expect(fixture.attributes(.person("ann"))["c"] == "3")
        #expect(fixture.store.profileCount == 1)
    }

    @Test func anonymousSurvivorTakesTheCustomIDAndIsFoundDirectly() throws {
        let fixture = TrackFixture()
        try fixture.track(.installation("d"))
        try fixture.identify("ann", device: "e")
        let merged = try fixture.merge(
            .person("ann"), into: .device("d"), allowsIdentified: false)
        #expect(merged.outcome == .merged)
        #expect(fixture.id(.device("d")) == merged.profileID)
        let found = withBytes("ann") { bytes in
            let identifier = IdentifierView(kind: .customID, bytes: bytes)
            let project = ProjectID(rawValue: 1)
            return fixture.store.identities.find(
                project, identifier, hash: fixture.store.hash.identifier(project, identifier))
        }
        #expect(found?.profile == fixture.ref(.device("d")) && found?.isAlias == false)
    }

    @Test func sameProfileIsNoopAndRevisionComesFirst() throws {
        let fixture = TrackFixture()
        try fixture.identify("ann", device: "d")
        let same = try fixture.merge(.device("d"), into: .person("ann"))
        #expect(same.outcome == .noop && same.mergeID == .none && same.revision == 1)
        let missing = try fixture.merge(
            .person("ann"), into: .person("bob"), expectedRevision: 3)
        #expect(missing.rejection == .revisionMismatch && missing.detail == 0)
        let unknown = try fixture.merge(.person("bob"), into: .person("ann"))
        #expect(unknown.rejection == .profileNotFound)
        try fixture.identify("bob")
        #expect(
            try fixture.merge(.person("bob"), into: .person("ann"), expectedRevision: 2).rejection
                == .revisionMismatch)
        let merged = try fixture.merge(
            .person("bob"), into: .person("ann"), requestID: "r", expectedRevision: 1)
        #expect(merged.outcome == .merged)
        let again = try fixture.merge(
            .person("bob"), into: .person("ann"), requestID: "r", expectedRevision: 1)
        #expect(again.isReplayed && again.mergeID == merged.mergeID)
        let alias = try fixture.merge(.person("bob"), into: .person("ann"))
        #expect(alias.outcome == .noop)
    }

    @Test func aliasSurvivesFinalMergesSnapshotsAndEndsWithAnErasure() throws {
        var limits = StoreLimits()
        limits.mergesPerProject = 0
        let fixture = TrackFixture(limits: limits)
        try fixture.identify("name-before-the-merge", device: "d", set: [("a", 1)])
        try fixture.identify("ann")
        try fixture.merge(.person("name-before-the-merge"), into: .person("ann"))
        let ann = fixture.id(.person("ann"))
        #expect(fixture.id(.person("name-before-the-merge")) == ann)
        let blocks = try SnapshotTests.blocks(of: fixture.store)
        let loaded = TrackFixture(store: try SnapshotTests.load(blocks))
        #expect(
            loaded.id(.person("name-before-the-merge")) == ann
                && loaded.store.digest() == fixture.store.digest())
        try fixture.erase("name-before-the-merge")
        #expect(fixture.read("ann") == nil && fixture.read("name-before-the-merge") == nil)
        let project = ProjectID(rawValue: 1)
        for name in ["name-before-the-merge", "ann"] {
            let until = withBytes(name) {
                fixture.store.blockedUntil(
                    project, IdentifierView(kind: .customID, bytes: $0), now: fixture.now)
            }
            #expect(until != nil, "\(name)")
        }
        #expect(!fixture.slabContains("name-before-the-merge"))
    }

    @Test func nobodyIsSeenByAMerge() throws {
        let fixture = TrackFixture()
        try fixture.identify("old", device: "d")
        try fixture.identify("ann", after: 5_000)
        let seen = fixture.now
        try fixture.merge(.person("old"), into: .person("ann"), after: 9_000)
        let header = try #require(fixture.header(.person("ann")))
        #expect(header.lastSeenAt == seen)
        fixture.store.identityDraft(header).installations.forEach {
            #expect($0.lastSeenAt < seen)
        }
    }
}
