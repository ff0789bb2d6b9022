import Bytes
import Testing

@testable import Profiles

/// Keys in snapshots and replays.
@Suite struct KeySnapshotTests {
    /// One change of keys; projects 0 and 1 have some.
    private static func step(
        _ fixture: TrackFixture, _ random: inout SeededRandom, _ names: inout [KeyName]
    ) throws {
        fixture.now += Int64(random.below(2_000_000))
        if names.isEmpty || random.chance(55) {
            let spec = KeySpec(UInt8(random.below(256))) {
                $0.project = UInt32(random.below(2))
                $0.scopes = $0.project == 0 ? .operator : [.read, .admin]
                $0.requestID = random.chance(30) ? "r\(random.below(20))" : ""
                if random.chance(40) { $0.expiresAt = fixture.now + Int64(random.below(9_000_000)) }
                $0.displayName = random.chance(50) ? "key \(random.below(1_000))" : ""
            }
            let made = try fixture.createKey(spec)
            if made.header.rejection == .none, let name = made.name { names.append(name) }
        } else {
            let name = names[random.below(names.count)]
            try fixture.revokeKey(name, project: UInt32(random.below(2)))
        }
    }

    /// What listings show, but for numbers, which are of the process.
    private static func listing(_ store: Store) -> [ListedKey] {
        (0 ..< 2).flatMap { store.keys.list(of: ProjectID(rawValue: UInt32($0))) }.map {
            var listed = $0
            listed.key.number = 0
            return listed
        }
    }

    @Test(arguments: 0 ..< 20)
    func snapshotShowsTheKeysAsTheyWereWhenItBegan(seed: Int) throws {
        let fixture = TrackFixture()
        var random = SeededRandom(state: UInt64(seed))
        var names: [KeyName] = []
        for _ in 0 ..< random.below(400) { try Self.step(fixture, &random, &names) }
        let (digest, listing) = (fixture.store.digest(), Self.listing(fixture.store))
        let blocks = try SnapshotTests.blocks(of: fixture.store) {
            for _ in 0 ..< 5 { try Self.step(fixture, &random, &names) }
            if random.chance(10) { fixture.store.keys.dropAll(of: ProjectID(rawValue: 1)) }
        }
        let loaded = try SnapshotTests.load(blocks)
        #expect(loaded.digest() == digest)
        #expect(Self.listing(loaded) == listing)
        for listed in listing { #expect(loaded.keys.find(listed.key.name) != nil) }
    }

    @Test(arguments: 0 ..< 10)
    func replayMakesTheSameKeysAndResponses(seed: Int) throws {
        let fixture = TrackFixture()
        var random = SeededRandom(state: UInt64(seed))
        var names: [KeyName] = []
        for _ in 0 ..< 300 { try Self.step(fixture, &random, &names) }
        let again = Store(genesis: fixture.store.genesis)
        for entry in fixture.log {
            let result = try TrackFixture.apply(
                entry.record, to: again, firstLSN: entry.firstLSN, receivedAt: entry.receivedAt)
            #expect(result == entry.result)
        }
        #expect(again.digest() == fixture.store.digest())
        #expect(Self.listing(again) == Self.listing(fixture.store))
    }

    @Test func digestKnowsEachFieldOfAKey() throws {
        var digests: Set<UInt64> = []
        let changes: [(inout KeySpec) -> Void] = [
            { _ in }, { $0.secret = 2 }, { $0.scopes = .write },
            { $0.expiresAt = 9_000_000_000_000_000 },
            { $0.updatesPerSecondMax = 1 }, { $0.concurrentCallsMax = 1 }, { $0.displayName = "x" },
            {
                $0.project = 0
                $0.scopes = .operator
            },
        ]
        for change in changes {
            let fixture = TrackFixture()
            try fixture.createKey(KeySpec(1, change: change))
            digests.insert(fixture.store.digest())
        }
        #expect(digests.count == changes.count)
        let fixture = TrackFixture()
        let name = try #require(try fixture.createKey().name)
        try fixture.revokeKey(name)
        #expect(digests.insert(fixture.store.digest()).inserted)
    }

    @Test func damagedItemOfKeysIsRejected() throws {
        let fixture = TrackFixture()
        try fixture.createKey(KeySpec { $0.displayName = "name" })
        try fixture.createKey()
        fixture.store.beginSnapshot()
        let item = try #require(Self.item(of: fixture.store))
        fixture.store.endSnapshot()
        #expect(Self.count(item) == 2)
        for length in 0 ..< item.count {
            let count = Self.count(Array(item[..<length]))
            // Cut between its keys it is an item of fewer ones.
            #expect(count == nil || count == 1)
        }
        var twice = item
        twice += item[4...]
        #expect(Self.count(twice) == nil)
    }

    /// The body of the item with the keys of project 1.
    private static func item(of store: Store) -> [UInt8]? {
        var buffer = ByteBuffer()
        buffer.append(UInt32(1))
        store.keys.forEach { $0.write(into: &buffer) }
        return buffer.count > 4 ? Array(buffer.bytes) : nil
    }

    private static func count(_ item: [UInt8]) -> Int? {
        let store = TrackFixture().store
        return item.withUnsafeBytes { store.keys.load($0) }
    }
}
