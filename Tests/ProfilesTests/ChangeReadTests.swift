import Bytes
import Testing

@testable import Profiles

/// What a reader of records asks the store, and what it makes of damaged bytes.
@Suite struct ChangeReadTests {
    private static let project = ProjectID(rawValue: 1)

    private static func chain(
        _ store: Store, _ kind: IdentifierKind, _ text: String, in project: ProjectID = project
    ) -> [ProfileID] {
        withBytes(text) { store.chain(project, IdentifierView(kind: kind, bytes: $0)) }
    }

    @Test func identifierLeadsToItsHolderAndAProfileIdToEachSurvivor() throws {
        let fixture = TrackFixture()
        let store = fixture.store
        try fixture.apply(IdentifySpec(device: "d").record)
        let anonymous = try #require(fixture.read(.installationID, Array("d".utf8))?.id)
        try fixture.apply(IdentifySpec(person: "ann").record)
        let ann = try #require(fixture.read("ann")?.id)
        #expect(Self.chain(store, .installationID, "d") == [anonymous])
        #expect(Self.chain(store, .customID, "ann") == [ann])
        try fixture.apply(IdentifySpec(device: "d", person: "ann").record)
        #expect(Self.chain(store, .installationID, "d") == [ann], "its holder now")
        let both = anonymous.binary.withUnsafeBytes {
            store.chain(Self.project, IdentifierView(kind: .profileID, bytes: $0))
        }
        #expect(both == [anonymous, ann])
        #expect(Self.chain(store, .customID, "nobody").isEmpty)
        #expect(Self.chain(store, .customID, "ann", in: ProjectID(rawValue: 2)).isEmpty)
    }

    @Test func erasedPersonIsErasedUnderEachOfItsProfileIds() throws {
        let fixture = TrackFixture()
        let store = fixture.store
        try fixture.apply(IdentifySpec(device: "d").record)
        let anonymous = try #require(fixture.read(.installationID, Array("d".utf8))?.id)
        try fixture.apply(IdentifySpec(person: "ann").record)
        let ann = try #require(fixture.read("ann")?.id)
        try fixture.apply(IdentifySpec(device: "d", person: "ann").record)
        try fixture.track(TrackSpec("bob"))
        let bob = try #require(fixture.read("bob")?.id)
        for id in [anonymous, ann, bob] { #expect(!store.isErased(Self.project, id)) }
        #expect(store.isErased(ProjectID(rawValue: 2), ann), "another project does not know it")
        try fixture.erase("ann")
        #expect(store.isErased(Self.project, anonymous) && store.isErased(Self.project, ann))
        #expect(!store.isErased(Self.project, bob))
        #expect(store.isErased(Self.project, ProfileID(high: 5, low: 5)), "never there")
        #expect(Self.chain(store, .installationID, "d").isEmpty)
        for id in [anonymous, ann] {
            let chain = id.binary.withUnsafeBytes {
                store.chain(Self.project, IdentifierView(kind: .profileID, bytes: $0))
            }
            #expect(chain.isEmpty)
        }
    }

    @Test func equalHashesOfIdentifiersAreToldApart() throws {
        let fixture = TrackFixture(hashMask: 0)
        for person in ["ann", "bob", "eve"] { try fixture.track(TrackSpec(person)) }
        let ids = try ["ann", "bob", "eve"].map { try #require(fixture.read($0)?.id) }
        #expect(Self.chain(fixture.store, .customID, "bob") == [ids[1]])
        try fixture.erase("bob")
        #expect(ids.map { fixture.store.isErased(Self.project, $0) } == [false, true, false])
    }

    @Test func nameOfANumberThatWasNeverGivenIsEmpty() throws {
        let fixture = TrackFixture()
        try fixture.track()
        let resolver = fixture.store.resolver(of: Self.project)
        #expect(String(decoding: resolver.name(0), as: UTF8.self) == "visit")
        for number in [16, 40_000, 65_534, 65_535, .max] {
            #expect(resolver.name(number).count == 0)
        }
        #expect(fixture.store.resolver(of: ProjectID(rawValue: 9)).name(0).count == 0)
    }

    // MARK: Damage

    /// Records of a few kinds, one behind the other.
    private static func records() throws -> (bytes: [UInt8], offsets: [Int]) {
        let fixture = TrackFixture()
        _ = fixture.record()
        var spec = IdentifySpec(device: "d", person: "ann")
        spec.patch = [("a", .set, 1, []), ("l", .add, 0, ["x"])]
        try fixture.apply(spec.record)
        try fixture.track(TrackSpec("ann", [EventSpec(tags: ["t"], attributes: [("a", 1)])]))
        _ = try fixture.consent([(.email, "", .subscribed)], by: .user)
        try fixture.erase("ann")
        var (bytes, offsets): ([UInt8], [Int]) = ([], [])
        fixture.store.takeChanges { records, _ in
            bytes = Array(records)
            var reader = ChangeReader(records)
            while true {
                let offset = reader.offset
                guard let change = try? reader.next() else { return }
                offsets.append(offset)
                #expect(offset + change.bytes.count == reader.offset)
            }
        }
        return (bytes, offsets)
    }

    @Test func readerStopsAtTheRecordThatIsDamaged() throws {
        let (bytes, offsets) = try Self.records()
        #expect(offsets.count == 4)
        func read(_ bytes: [UInt8]) -> (count: Int, error: ChangeError?) {
            bytes.withUnsafeBytes { bytes in
                var reader = ChangeReader(bytes)
                var count = 0
                do throws(ChangeError) {
                    while try reader.next() != nil { count += 1 }
                    return (count, nil)
                } catch {
                    return (count, error)
                }
            }
        }
        #expect(read(bytes) == (4, nil) && read([]) == (0, nil))
        #expect(read(bytes.dropLast()) == (3, .malformed(offset: offsets[3])))
        // Each field of the head of the third record that a reader depends on.
        func damaged(_ offset: Int, _ value: UInt8) -> (count: Int, error: ChangeError?) {
            var copy = bytes
            copy[offsets[2] + offset] = value
            return read(copy)
        }
        let stopped = (count: 2, error: ChangeError?.some(.malformed(offset: offsets[2])))
        #expect(damaged(ChangeRecordHeader.bytesOffset, 8) == stopped)
        #expect(damaged(ChangeRecordHeader.bytesOffset + 2, 1) == stopped)
        #expect(damaged(ChangeRecordHeader.kindOffset, 0) == stopped)
        #expect(damaged(ChangeRecordHeader.kindOffset, 11) == stopped)
        #expect(damaged(ChangeRecordHeader.customIDBytesOffset + 1, 0xFF) == stopped)
        #expect(damaged(ChangeRecordHeader.sourceNameBytesOffset + 1, 0xFF) == stopped)
    }

    @Test func detailThatIsCutIsDamagedNotShorter() throws {
        let (bytes, offsets) = try Self.records()
        let ends = offsets.dropFirst() + [bytes.count]
        for (start, end) in zip(offsets, ends) {
            var record = Array(bytes[start ..< end])
            record.removeLast()
            record.replaceSubrange(
                0 ..< 4, with: withUnsafeBytes(of: UInt32(record.count).littleEndian) { Array($0) })
            record.withUnsafeBytes { bytes in
                guard let change = ChangeView(bytes) else { return }
                switch change.kind {
                case .created:
                    var attributes = change.attributes
                    while attributes.next() != nil {}
                    #expect(attributes.isDamaged)
                case .eventStored: #expect(change.event == nil)
                case .subscriptionChanged:
                    var entries = change.entries
                    #expect(entries.next() == nil && entries.isDamaged)
                default: break
                }
            }
        }
    }
}
