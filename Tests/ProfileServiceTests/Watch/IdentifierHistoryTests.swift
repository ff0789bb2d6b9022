import Profiles
import Testing

@testable import ProfileService

/// Whom identifiers led to at a watcher's first position, read from the feed within its limits.
@Suite struct IdentifierHistoryTests {
    /// Of a state that knows nobody any more.
    private static func find(
        _ identifiers: [OwnedIdentifier], _ changes: [ChangeSpec],
        _ limits: WatchLimits = WatchLimits()
    ) throws -> IdentifierHistory.Finding {
        try self.find(identifiers, changes.map { [$0] }, limits)
    }

    /// - Parameter changes: Those of each lsn.
    private static func find(
        _ identifiers: [OwnedIdentifier], _ changes: [[ChangeSpec]],
        _ limits: WatchLimits = WatchLimits()
    ) throws -> IdentifierHistory.Finding {
        let world = WatchWorld(limits)
        for specs in changes { world.append(specs) }
        try world.advance(through: world.feed.headLSN)
        let history = IdentifierHistory(
            world.watcher(from: 1, following: identifiers), from: 1, store: world.store,
            feed: world.feed, limits)
        while true {
            let finding = history.proceed()
            if case .more = finding { continue }
            return finding
        }
    }

    private static func targets(_ finding: IdentifierHistory.Finding) -> [ProfileID]? {
        if case .resolved(let tracks) = finding { tracks.targets } else { nil }
    }

    private static func limit(_ finding: IdentifierHistory.Finding) -> String? {
        if case .tooLong(let limit, let maximum) = finding { "\(limit) \(maximum)" } else { nil }
    }

    /// Merges that were undone one after the other: each un-merge tells of one more profile, which
    /// was in another one until the un-merge before it.
    private static func undoneInTurn(_ count: Int) -> [ChangeSpec] {
        (1 ... count).map { number in
            ChangeSpec(
                kind: .unmerged, lsn: UInt64(number), profile: IdentityModel.id(number - 1),
                other: IdentityModel.id(number))
        }
    }

    @Test func mergesThatWereUndoneInTurnTakeAReadingEach() throws {
        let last = IdentityModel.identifiers.last!
        let changes = Self.undoneInTurn(IdentityModel.profiles - 1)
        #expect(Self.targets(try Self.find([last], changes)) == [IdentityModel.id(0)])
        var limits = WatchLimits()
        limits.historyReadingsMax = IdentityModel.profiles - 1
        #expect(Self.targets(try Self.find([last], changes, limits)) == [IdentityModel.id(0)])
        limits.historyReadingsMax -= 1
        #expect(Self.limit(try Self.find([last], changes, limits)) == "identity_readings 6")
    }

    @Test func changesThatConcernTheIdentifiersAreLimited() throws {
        let changes = (1 ... 20).map { number -> ChangeSpec in
            var moved = ChangeSpec(
                kind: .installationMoved, lsn: UInt64(number),
                profile: IdentityModel.id(number % 2), other: IdentityModel.id((number + 1) % 2))
            moved.installation = "phone"
            return moved
        }
        let phone = WatchWorld.identifier(.installationID, "phone")
        var limits = WatchLimits()
        limits.historyMax = 20
        #expect(Self.targets(try Self.find([phone], changes, limits)) == [IdentityModel.id(0)])
        limits.historyMax = 19
        #expect(Self.limit(try Self.find([phone], changes, limits)) == "identity_changes 19")
        let tablet = WatchWorld.identifier(.installationID, "tablet")
        #expect(Self.targets(try Self.find([tablet], changes, limits)) == [])
    }

    @Test func aProfileThatAMoveMadeHadTheInstallationOnlySinceThen() throws {
        let (ann, bob) = (IdentityModel.id(0), IdentityModel.id(1))
        var created = ChangeSpec(kind: .created, lsn: 1, profile: bob)
        created.installation = "phone"
        var moved = ChangeSpec(kind: .installationMoved, lsn: 1, profile: bob, other: ann)
        moved.installation = "phone"
        let phone = WatchWorld.identifier(.installationID, "phone")
        #expect(Self.targets(try Self.find([phone], [[created, moved]])) == [ann])
        #expect(Self.targets(try Self.find([phone], [[created]])) == [])
    }

    @Test func whatAnErasedProfileWasMergedIntoIsKnownByItsID() throws {
        let (ann, bob, eve) = (IdentityModel.id(0), IdentityModel.id(1), IdentityModel.id(2))
        var erased = ChangeSpec(kind: .erased, lsn: 3, profile: eve)
        erased.mergedBefore = [ann, bob]
        let merges = [
            ChangeSpec(kind: .merged, lsn: 1, profile: bob, other: ann),
            ChangeSpec(kind: .merged, lsn: 2, profile: eve, other: bob),
        ]
        let annID = try #require(IdentityModel.identifiers.first { $0.kind == .profileID })
        #expect(Self.targets(try Self.find([annID], merges + [erased])) == [ann])
        // Merges before the first position are known by the erasure only.
        #expect(Self.targets(try Self.find([annID], [erased])) == [eve], "a record of before")
        erased.survivors = [bob, eve]
        #expect(Self.targets(try Self.find([annID], merges + [erased])) == [ann])
        #expect(Self.targets(try Self.find([annID], [erased])) == [eve])
        let later = [merges[1], erased]
        #expect(Self.targets(try Self.find([annID], later)) == [bob], "before the merge into Eve")
    }
}
