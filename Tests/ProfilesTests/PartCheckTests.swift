import Bytes
import Testing

@testable import Profiles

/// Parts of profiles that a snapshot brings: whoever reads them relies on the counts in them.
@Suite struct PartCheckTests {
    /// Profiles with merges, moves, lists and deleted attributes.
    private static func world(_ seed: UInt64) throws -> TrackFixture {
        let fixture = TrackFixture(limits: SnapshotTests.limits)
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        for _ in 0 ..< 300 { try SnapshotTests.step(fixture, &generator) }
        return fixture
    }

    private static func headers(_ store: Store) -> [ProfileHeader] {
        (0 ..< Shards.count).flatMap { shard in
            (0 ..< store.pool.count(shard)).map {
                store.pool.header(ProfileRef(shard: shard, slot: $0)).pointee
            }
        }
    }

    /// - Parameter check: Of a part at the beginning of a block and the bytes of nothing else.
    private static func expectWholeOnly(
        _ part: [UInt8], _ check: (UnsafeRawBufferPointer) -> Bool
    ) {
        func isWhole(_ bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes { check($0) } }
        #expect(isWhole(part))
        for count in 0 ..< part.count { #expect(!isWhole(Array(part[..<count])), "\(count)") }
        #expect(!isWhole(part + [0]))
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func storedPartsAreWholeAndNothingShorterOrLongerIs(seed: UInt64) throws {
        let store = try Self.world(seed).store
        var (identities, attributes, moves) = (0, 0, 0)
        for header in Self.headers(store) {
            if header.identity != 0 {
                let memory = store.slab.pointer(header.identity)
                IdentityPart(memory).forEachInstallation { moves += $0.moveCount }
                let part = UnsafeRawBufferPointer(start: memory, count: Int(header.identityBytes))
                Self.expectWholeOnly(Array(part)) { IdentityPart.isWhole($0, store.isPlace) }
                identities += 1
            }
            if header.attributes != 0 {
                let part = UnsafeRawBufferPointer(
                    start: store.slab.pointer(header.attributes), count: Int(header.attributesBytes)
                )
                Self.expectWholeOnly(Array(part), AttributePart.isWhole)
                attributes += 1
            }
        }
        #expect(identities > 3 && attributes > 3 && moves > 3)
    }

    /// A stamp that is not there would be read from behind the part.
    @Test func stampsThatAreNotThereAreFound() throws {
        let fixture = TrackFixture()
        try fixture.identify("ann", set: [("a", 1)])
        let header = try #require(fixture.header(.person("ann")))
        var part = Array(
            UnsafeRawBufferPointer(
                start: fixture.store.slab.pointer(header.attributes),
                count: Int(header.attributesBytes)))
        #expect(part.withUnsafeBytes(AttributePart.isWhole))
        // The entry is the number, the kind, the stamp, and a tag with one byte.
        part[part.count - 3] = 1
        #expect(!part.withUnsafeBytes(AttributePart.isWhole))
    }

    @Test func profilesThatAreNotThereAreFound() throws {
        let fixture = TrackFixture()
        try fixture.identify("ann", device: "d")
        try fixture.identify("bob", device: "d", after: 10_000)
        let header = try #require(fixture.header(.person("bob")))
        let part = UnsafeRawBufferPointer(
            start: fixture.store.slab.pointer(header.identity), count: Int(header.identityBytes))
        let others = try [Who.person("ann"), .person("bob")].map {
            try #require(fixture.ref($0)).rawValue
        }
        #expect(IdentityPart.isWhole(part) { others.contains($0) })
        for missing in others { #expect(!IdentityPart.isWhole(part) { $0 != missing }) }
    }
}
