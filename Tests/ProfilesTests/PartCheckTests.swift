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

    @Test func aliasesAreOfAKindAndOfItsLength() {
        func isWhole(kind: UInt8, count: Int) -> Bool {
            let part =
                [0, 0, 0, 0, 1, 0, kind, UInt8(count), 0] + [UInt8](repeating: 7, count: count)
            return part.withUnsafeBytes { IdentityPart.isWhole($0) { _ in true } }
        }
        #expect(isWhole(kind: 1, count: 16) && isWhole(kind: 2, count: 15))
        #expect(!isWhole(kind: 1, count: 15) && !isWhole(kind: 9, count: 16))
    }

    /// What an image of attributes may take follows from the longest name of a source.
    @Test func sourcesAreAsShortAsAnImageCounts() {
        func isWhole(_ count: Int) -> Bool {
            var source = ByteBuffer()
            [UInt8](repeating: 0x78, count: count).withUnsafeBytes { source.appendPrefixed($0) }
            var part = ByteBuffer()
            part.append(UInt16(1))
            part.append(UInt16(0))
            part.append(UInt32(source.count))
            for _ in 0 ..< 3 { part.append(UInt64(1)) }
            // The first of the sources, and no platform.
            part.append(UInt32(1 << 8))
            part.append(source.bytes)
            return AttributePart.isWhole(part.bytes)
        }
        #expect(isWhole(100) && isWhole(400))
        #expect(!isWhole(401) && !isWhole(10_000))
    }

    @Test func ledgersHaveWholeEntriesAndNoMoreThanAreKept() {
        func isWhole(fixed: Int = LedgerPart.fixedBytes, _ entries: [UInt8]) -> Bool {
            ([UInt8](repeating: 0, count: fixed) + entries).withUnsafeBytes {
                LedgerPart.isWhole($0)
            }
        }
        #expect(isWhole([]) && isWhole([2, 8, 1, 0]))
        #expect(!isWhole([2, 8]) && !isWhole([2, 1, 1]) && !isWhole(fixed: 40, []))
        #expect(isWhole([UInt8](repeating: 0, count: LedgerPart.entriesMax)))
        #expect(!isWhole([UInt8](repeating: 0, count: LedgerPart.entriesMax + 1)))
    }

    @Test func whatAMergePushedOutIsAnIdentityBehindItsPlaces() {
        func isWhole(_ bytes: [UInt8]) -> Bool {
            bytes.withUnsafeBytes { LeftIdentity.isWhole($0) { _ in true } }
        }
        let nobody: [UInt8] = [0, 0, 0, 0, 0, 0]
        #expect(isWhole([0, 0] + nobody) && isWhole([1, 0, 5, 0] + nobody))
        #expect(
            !isWhole([2, 0, 5, 0] + nobody) && !isWhole([0, 0]) && !isWhole([0, 0] + nobody + [1]))
    }

    @Test func nobodyIsNoPlace() throws {
        let fixture = TrackFixture()
        try fixture.identify("ann")
        #expect(fixture.store.isPlace(try #require(fixture.ref(.person("ann"))).rawValue))
        #expect(!fixture.store.isPlace(0) && !fixture.store.isPlace(.max))
    }

    // MARK: Snapshots

    /// The blocks of a snapshot of a world whose merges have kept attributes.
    private static func blocks() throws -> [[UInt8]] {
        let fixture = TrackFixture()
        try fixture.identify("ann", device: "d", set: [("a", 1)])
        try fixture.identify("bob", device: "e", set: [("a", 2)])
        _ = try fixture.consent([(.email, "", .subscribed)], by: .user, after: 1_000, of: "bob")
        try fixture.merge(.person("bob"), into: .person("ann"))
        _ = try fixture.track(TrackSpec("ann"))
        return try SnapshotTests.blocks(of: fixture.store)
    }

    /// Loads them after a change of the first item of a kind for which `change` finds something.
    ///
    /// - Parameter change: Gets the item's body, and returns whether it has changed it.
    private static func loadChanged(
        _ item: SnapshotItem, _ change: (inout [UInt8]) -> Bool
    ) throws -> Store {
        var (blocks, isChanged) = (try Self.blocks(), false)
        for index in blocks.indices {
            var start = 0
            while start < blocks[index].count {
                let header = Array(blocks[index][start ..< start + 8])
                let bytes = header.withUnsafeBytes {
                    Int($0.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
                }
                let range = start + 8 ..< start + 8 + bytes
                if header[0] == item.rawValue, !isChanged {
                    var body = Array(blocks[index][range])
                    isChanged = change(&body)
                    blocks[index].replaceSubrange(range, with: body)
                }
                start = range.upperBound
            }
        }
        try #require(isChanged)
        return try SnapshotTests.load(blocks)
    }

    /// Where the parts of a profile begin in its item, and what its header says of them.
    private static func parts(_ body: [UInt8]) -> (start: Int, header: ProfileHeader) {
        body.withUnsafeBytes {
            var reader = ByteReader($0)
            var reference: UInt32 = 0
            let header = ProfileHeader(from: &reader, reference: &reference)
            return (reader.offset, header)
        }
    }

    /// Sets all bits of a field.
    private static func fill(_ field: Range<Int>, of body: inout [UInt8]) -> Bool {
        for index in field { body[index] = 0xFF }
        return true
    }

    /// What is wrong with a profile.
    private static let faults: [(fault: String, change: @Sendable (inout [UInt8]) -> Bool)] = [
        (
            "one installation more than there are",
            { body in
                let (start, header) = Self.parts(body)
                guard header.identityBytes > 0 else { return false }
                body[start + 2] += 1
                return true
            }
        ),
        (
            "one attribute more than there are",
            { body in
                let (start, header) = Self.parts(body)
                guard header.attributesBytes > 0 else { return false }
                body[start + Int(header.identityBytes) + 2] += 1
                return true
            }
        ),
        (
            "an entry of the ledger that is a byte longer than it is",
            { body in
                let (start, header) = Self.parts(body)
                guard header.ledgerBytes > 0 else { return false }
                let before = header.identityBytes + header.attributesBytes + header.consentBytes
                body[start + Int(before) + LedgerPart.fixedBytes] += 1
                return true
            }
        ),
        (
            // Reference and project come before the profile that this one was merged into.
            "merged into nobody that is there",
            { body in
                body.replaceSubrange(8 ..< 12, with: [0xFF, 0xFF, 0xFF, 0x7F])
                return true
            }
        ),
        (
            "merged into itself",
            { body in
                body.replaceSubrange(8 ..< 12, with: body[0 ..< 4])
                return true
            }
        ),
        // Reference, project, the profile it was merged into and its id come before these.
        ("a revision that no one can be added to", { Self.fill(28 ..< 36, of: &$0) }),
        ("changed by an operation behind the snapshot", { Self.fill(36 ..< 44, of: &$0) }),
        ("made before 1970", { Self.fill(44 ..< 52, of: &$0) }),
        (
            "a count of folded entries that none can be added to",
            { body in
                let (start, header) = Self.parts(body)
                guard header.ledgerBytes > 0 else { return false }
                let before = header.identityBytes + header.attributesBytes + header.consentBytes
                body[start + Int(before) + 7] = 0xFF
                return true
            }
        ),
        (
            "an event before 1970",
            { body in
                let (start, header) = Self.parts(body)
                guard header.eventCount == 1 else { return false }
                let before = [
                    header.identityBytes, header.attributesBytes, header.consentBytes,
                    header.ledgerBytes, UInt32(header.counterCount) * 24,
                ].reduce(0, +)
                body[start + Int(before) + 7] = 0x80
                return true
            }
        ),
        (
            // The events come last, and the count of its fields is the last of one without.
            "an event with a field that is not there",
            { body in
                guard Self.parts(body).header.eventCount == 1, body.last == 0 else { return false }
                body[body.count - 1] = 1
                return true
            }
        ),
    ]

    @Test(arguments: faults.indices)
    func profilesWithAFaultAreMalformed(index: Int) throws {
        #expect(throws: Never.self) { try Self.loadChanged(.profile) { _ in true } }
        #expect(
            throws: SnapshotError.malformed(item: SnapshotItem.profile.rawValue),
            "\(Self.faults[index].fault)"
        ) { try Self.loadChanged(.profile, Self.faults[index].change) }
    }

    /// Two profiles that were merged into each other.
    @Test func ringsOfMergesAreMalformed() throws {
        var loser: [UInt8] = []
        _ = try Self.loadChanged(.profile) { body in
            loser = Array(body[0 ..< 4])
            return Self.parts(body).header.mergedInto != 0
        }
        #expect(throws: SnapshotError.malformed(item: SnapshotItem.profile.rawValue)) {
            try Self.loadChanged(.profile) { body in
                guard Self.parts(body).header.mergedInto == 0 else { return false }
                body.replaceSubrange(8 ..< 12, with: loser)
                return true
            }
        }
    }

    @Test func whatAMergeKeepsIsChecked() throws {
        #expect(throws: SnapshotError.malformed(item: SnapshotItem.merge.rawValue)) {
            try Self.loadChanged(.merge) { body in
                // Project, references, time, lsn and counts; no events have moved. One entry more.
                body[4 + 36 + 2] += 1
                return true
            }
        }
    }
}
