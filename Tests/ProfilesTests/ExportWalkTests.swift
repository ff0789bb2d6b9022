import Bytes
import Testing

@testable import Profiles

/// Everyone of a project, while writes go on: who comes, how often, and from which position on.
@Suite struct ExportWalkTests {
    /// One record of many kinds: people come, change, are merged and erased.
    private static func step(_ fixture: TrackFixture, _ generator: inout MixedGenerator) throws {
        fixture.now += Int64(generator.random.below(3))
        switch generator.random.below(10) {
        case 0: try fixture.track(TrackSpec("new\(fixture.lsn)"))
        case 1: try fixture.erase("p\(generator.random.below(5))")
        case 2: try fixture.track(.installation("d\(generator.random.below(5))"))
        case 3 ..< 7: try fixture.apply(generator.identify(fixture.now).record)
        default: try fixture.track(generator.track(fixture.now))
        }
    }

    @Test(arguments: 1 ... 12 as ClosedRange<UInt64>)
    func whoExistsThroughoutComesOnceWhateverIsWritten(seed: UInt64) throws {
        let fixture = TrackFixture()
        var generator = MixedGenerator(random: SeededRandom(state: seed))
        for _ in 0 ..< 300 { try Self.step(fixture, &generator) }
        let before = fixture.livingIDs
        var throughout = before
        let export = try ReadExport(fixture.exporter(), fixture) { _ in
            for _ in 0 ..< generator.random.below(3) { try Self.step(fixture, &generator) }
            throughout.formIntersection(fixture.livingIDs)
        }
        #expect(export.ending == "end" && throughout.count > 10)
        #expect(Set(export.ids).count == export.ids.count, "nobody comes twice")
        #expect(throughout.isSubset(of: Set(export.ids)))
        let lasts = export.parts.filter { $0.nextPosition != nil }
        #expect(lasts.count == export.ids.count)
        #expect(lasts.compactMap(\.nextPosition) == lasts.compactMap(\.nextPosition).sorted())
    }

    @Test func partsAreThoseOfEachPersonAlone() throws {
        let fixture = TrackFixture()
        var generator = MixedGenerator(random: SeededRandom(state: 7))
        for _ in 0 ..< 300 { try Self.step(fixture, &generator) }
        let export = ReadExport(fixture.exporter(), fixture)
        for id in export.ids {
            let reader = ExportReader(
                ProjectID(rawValue: 1),
                id.binary.withUnsafeBytes {
                    OwnedIdentifier(IdentifierView(kind: .profileID, bytes: $0))
                })
            let alone = ReadExport(reader, fixture)
            let texts = export.parts.filter { $0.profileID == id }.map(\.text)
            #expect(texts == alone.texts)
        }
        #expect(Set(export.ids) == fixture.livingIDs)
    }

    @Test func exportGoesOnBehindEachPersonAlsoAfterAStart() throws {
        let fixture = TrackFixture()
        var generator = MixedGenerator(random: SeededRandom(state: 3))
        for _ in 0 ..< 300 { try Self.step(fixture, &generator) }
        let whole = ReadExport(fixture.exporter(), fixture)
        let blocks = try SnapshotTests.blocks(of: fixture.store)
        let loaded = TrackFixture(store: try SnapshotTests.load(blocks))
        loaded.now = fixture.now
        for (index, part) in whole.parts.enumerated() {
            guard let position = part.nextPosition else { continue }
            let rest = Array(whole.parts[(index + 1)...])
            for each in [fixture, loaded] {
                let export = ReadExport(each.exporter(from: position), each)
                if rest.isEmpty {
                    #expect(export.texts == ["position"] && export.lsns == [fixture.lsn])
                } else {
                    #expect(export.parts == rest)
                }
            }
        }
    }

    /// The first message shows a position from which the change feed has what the export lacks.
    @Test(arguments: 1 ... 40 as ClosedRange<UInt64>)
    func nobodyIsMissedWhoWasMadeBeforeTheFirstLSN(seed: UInt64) throws {
        let fixture = TrackFixture()
        var random = SeededRandom(state: seed)
        // Most shards have nobody.
        for number in 0 ..< random.below(3) { try fixture.track(TrackSpec("p\(number)")) }
        var made: [ProfileID: UInt64] = [:]
        func make(_ name: String) throws {
            let response = try fixture.track(TrackSpec(name), after: 1)
            made[response.profileID] = response.lsn
        }
        let export = try ReadExport(fixture.exporter(), fixture) { read in
            guard read.parts.isEmpty else { return }
            if random.chance(20) { try make("n\(fixture.lsn)") }
        }
        let first = try #require(export.parts.first).lsn
        for (id, lsn) in made where lsn <= first {
            #expect(export.ids.contains(id), "made at \(lsn), begun at \(first)")
        }
    }

    @Test func exportOfNobodyIsItsPosition() throws {
        let fixture = TrackFixture()
        try fixture.track(TrackSpec("ann"))
        try fixture.erase("ann")
        let export = ReadExport(fixture.exporter(), fixture)
        #expect(export.texts == ["position"] && export.lsns == [fixture.lsn])
        #expect(export.parts[0].profileID == nil && export.parts[0].nextPosition == nil)
    }

    @Test func mergedPersonComesWithTheSurvivorOnlyAndAnErasedOneNot() throws {
        let fixture = TrackFixture()
        for name in ["ann", "bob", "eve"] { try fixture.track(TrackSpec(name)) }
        try fixture.track(.installation("d", [EventSpec(id: "seen")]))
        var spec = IdentifySpec()
        (spec.device, spec.person) = ("d", "ann")
        try fixture.apply(spec.record)
        try fixture.erase("eve")
        let export = ReadExport(fixture.exporter(), fixture)
        #expect(Set(export.ids) == Set(["ann", "bob"].compactMap { fixture.id(of: $0) }))
        #expect(export.texts.contains("event seen") && export.ids.count == 2)
    }

    // MARK: Tokens

    private static func token(_ store: Store, _ project: UInt32, _ position: UInt64) -> [UInt8] {
        var buffer = ByteBuffer()
        store.appendExportToken(
            ProjectID(rawValue: project), position: position, to: &buffer)
        return Array(buffer.bytes)
    }

    @Test func tokenIsOfItsProjectAndDirectory() throws {
        let store = Store(genesis: TrackFixture.genesis())
        let one = ProjectID(rawValue: 1)
        for position in [0, 1, 7 << 32 | 5, UInt64.max] as [UInt64] {
            let token = Self.token(store, 1, position)
            token.withUnsafeBytes {
                #expect(store.verifyExportToken($0, in: one) == position)
                #expect(store.verifyExportToken($0, in: ProjectID(rawValue: 2)) == nil)
            }
            for index in token.indices {
                var other = token
                other[index] = other[index] == 65 ? 66 : 65
                other.withUnsafeBytes {
                    #expect(store.verifyExportToken($0, in: one) == nil)
                }
                token[..<index].withUnsafeBytes {
                    #expect(store.verifyExportToken($0, in: one) == nil)
                }
            }
        }
    }

    /// Tokens are kept by clients through updates of the server.
    @Test func tokenStaysAsItIs() {
        let store = Store(genesis: TrackFixture.genesis())
        let text = String(decoding: Self.token(store, 1, 7 << 32 | 5), as: UTF8.self)
        #expect(text == "BQAAAAcAAAABAAAA7QzztFAW0dW4qgNgxEo69Q")
    }
}
