import Bytes
import CMessages
import CProtobufC
import Profiles
import Testing

@testable import Messages

/// Each kind of change as a client reads it.
@Suite struct WatchWriterTests {
    private let fixture = WatchFixture()

    private static func text(_ string: UnsafeMutablePointer<CChar>?) -> String {
        string.map { String(cString: $0) } ?? ""
    }

    /// The changes as `kind custom-id revision`.
    private func kinds() throws -> [String] {
        try self.fixture.changes.map { record in
            var line = ""
            try self.fixture.withResponse(record) { response, change in
                line =
                    "\(response.lsn) \(change.kind.rawValue) \(Self.text(change.custom_id))"
                    + " r\(change.revision)"
            }
            return line
        }
    }

    /// An AttributePatch: values of every kind, and two native attributes.
    private static let patch =
        Wire.field(1, Wire.entry("Age", Wire.integer(-7)))
        + Wire.field(1, Wire.entry("city", Wire.string("Nîmes")))
        + Wire.field(1, Wire.entry("score", Wire.number(1.5)))
        + Wire.field(1, Wire.entry("vip", Wire.field(4, 1)))
        + Wire.field(1, Wire.entry("born", Wire.field(5, Wire.timestamp(-86_400))))
        + Wire.field(1, Wire.entry("page", Wire.field(6, "https://example.com/a")))
        + Wire.field(1, Wire.entry("tags", Wire.list(["a", "b"])))
        + Wire.field(
            5,
            Wire.field(1, Wire.field(1, "ann@example.com"))
                + Wire.field(3, Wire.field(1, "fr")))

    private static let source = Wire.field(1, 4) + Wire.field(2, "crm")

    @Test func createdProfileHasItsAttributesInstallationAndSource() throws {
        try self.fixture.identify(
            Wire.field(3, "phone") + Wire.field(4, "ann") + Wire.field(6, Self.patch)
                + Wire.field(9, Self.source))
        #expect(self.fixture.changes.count == 1)
        try self.fixture.withResponse(self.fixture.changes[0]) { response, change in
            #expect(response.lsn == 1)
            #expect(change.kind == PROFILES__V1__CHANGE_KIND__CHANGE_KIND_PROFILE_CREATED)
            #expect(Self.text(change.profile_id).utf8.count == 26 && change.revision == 1)
            #expect(Self.text(change.custom_id) == "ann")
            #expect(Self.text(change.installation_id) == "phone")
            #expect(change.received_at.pointee.seconds == 1_700_000_001)
            #expect(change.source.pointee.platform.rawValue == 4)
            #expect(Self.text(change.source.pointee.name) == "crm")
            #expect(change.event == nil && change.n_consent_entries == 0)
            #expect(Self.text(change.other_profile_id) == "" && change.historical == 0)
            let attributes = try #require(change.attributes).pointee
            let names = (0 ..< attributes.n_set).map { Self.text(attributes.set[$0]?.pointee.key) }
            #expect(names == ["age", "born", "city", "page", "score", "tags", "vip"])
            #expect(attributes.set[0]?.pointee.value.pointee.integer == -7)
            #expect(attributes.set[1]?.pointee.value.pointee.time.pointee.seconds == -86_400)
            #expect(Self.text(attributes.set[2]?.pointee.value.pointee.string) == "Nîmes")
            let page = Self.text(attributes.set[3]?.pointee.value.pointee.url)
            #expect(page == "https://example.com/a")
            #expect(attributes.set[4]?.pointee.value.pointee.number == 1.5)
            #expect(attributes.set[5]?.pointee.value.pointee.list.pointee.n_items == 2)
            #expect(attributes.set[6]?.pointee.value.pointee.boolean == 1)
            #expect(attributes.n_deleted == 0)
            let native = try #require(attributes.native).pointee
            #expect(Self.text(native.email_address.pointee.value) == "ann@example.com")
            #expect(Self.text(native.language.pointee.value) == "fr" && native.region == nil)
        }
    }

    @Test func changedAttributesAreThoseSetAndThoseDeleted() throws {
        try self.fixture.identify(Wire.field(4, "ann") + Wire.field(6, Self.patch))
        let patch =
            Wire.field(1, Wire.entry("age", Wire.integer(8)))
            + Wire.field(2, "email_address") + Wire.field(2, "vip")
            + Wire.field(3, Wire.entry("tags", Wire.field(1, "c")))
        try self.fixture.identify(Wire.field(4, "ann") + Wire.field(6, patch))
        #expect(try self.kinds() == ["1 1 ann r1", "2 2 ann r2"])
        try self.fixture.withResponse(self.fixture.changes[1]) { _, change in
            let attributes = try #require(change.attributes).pointee
            let names = (0 ..< attributes.n_set).map { Self.text(attributes.set[$0]?.pointee.key) }
            #expect(names == ["age", "tags"] && attributes.native == nil)
            #expect(attributes.set[0]?.pointee.value.pointee.integer == 8)
            #expect(attributes.set[1]?.pointee.value.pointee.list.pointee.n_items == 3)
            let deleted = (0 ..< attributes.n_deleted).map { Self.text(attributes.deleted[$0]) }
            #expect(deleted == ["email_address", "vip"])
            #expect(change.source == nil)
        }
    }

    @Test func eventIsTheOneThatAListingShows() throws {
        let object = Wire.object([("n", Wire.integer(1)), ("s", Wire.string("x"))])
        let objects = Wire.field(9, Wire.field(1, Wire.field(1, Wire.entry("p", Wire.integer(-1)))))
        let event = Wire.event(
            "Buy", id: "order-1",
            [("amount", Wire.number(2.25)), ("item", object), ("items", objects)],
            extra: Wire.field(5, "label") + Wire.field(6, "t1") + Wire.field(6, "t2"))
        let call = Wire.track(
            [event, Wire.event("visit")], extra: Wire.field(6, Self.source) + Wire.field(8, 1))
        try self.fixture.track(call)
        #expect(try self.kinds() == ["1 1 ann r1", "1 3 ann r1", "2 3 ann r1"])

        var query = EventQuery(pageSize: 10)
        query.isOldestFirst = true
        var images = ByteBuffer()
        let page = Array("ann".utf8).withUnsafeBytes {
            self.fixture.store.listEvents(
                project: WatchFixture.project,
                identifier: IdentifierView(kind: .customID, bytes: $0), query: query, after: nil,
                now: self.fixture.now, into: &images)
        }
        #expect(page?.eventCount == 2)
        var listed = ByteBuffer()
        self.fixture.encoder.encodeEvents(2, images: images.bytes, into: &listed)
        let list = try #require(
            profiles__v1__list_events_response__unpack(
                nil, listed.count, listed.bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)))
        defer { profiles__v1__list_events_response__free_unpacked(list, nil) }
        for index in 0 ..< 2 {
            try self.fixture.withResponse(self.fixture.changes[index + 1]) { _, change in
                let event = try #require(change.event)
                let expected = try #require(list.pointee.events[index])
                #expect(Self.packed(event) == Self.packed(expected))
                #expect(Self.text(change.source.pointee.name) == "crm" && change.historical == 1)
            }
        }
    }

    private static func packed(_ event: UnsafeMutablePointer<Profiles__V1__StoredEvent>) -> [UInt8]
    {
        var buffer = ByteBuffer()
        MessageEncoder.pack(UnsafeMutableRawPointer(event), into: &buffer)
        return Array(buffer.bytes)
    }

    @Test func identitiesThatMoveNameTheOtherProfile() throws {
        let visit =
            Wire.field(1, "default") + Wire.field(3, Wire.field(3, "phone"))
            + Wire.field(4, Wire.event())
        try self.fixture.track(visit)
        try self.fixture.identify(Wire.field(3, "phone") + Wire.field(4, "ann"))
        try self.fixture.identify(Wire.field(3, "phone") + Wire.field(4, "bob"))
        try self.fixture.identify(Wire.field(3, "phone") + Wire.field(5, 1))
        try self.fixture.identify(Wire.field(3, "phone") + Wire.field(4, "bob"))
        #expect(
            try self.kinds() == [
                "1 1  r1", "1 3  r1",  // created, with its event
                "2 10 ann r2",  // identified
                "3 1 bob r1", "3 5 bob r1",  // switched
                "4 1  r1", "4 5  r1",  // logged out
                "5 6 bob r3", "5 5 bob r3",  // merged
            ])
        var ids: [String] = []
        for record in self.fixture.changes {
            try self.fixture.withResponse(record) { _, change in
                ids.append(Self.text(change.profile_id))
            }
        }
        for (number, other) in [(4, ids[0]), (6, ids[3]), (7, ids[5]), (8, ids[5])] {
            try self.fixture.withResponse(self.fixture.changes[number]) { _, change in
                #expect(Self.text(change.other_profile_id) == other)
                #expect(Self.text(change.installation_id) == (number == 7 ? "" : "phone"))
            }
        }
    }

    @Test func subscriptionHasTheEntriesOfTheLedger() throws {
        func change(_ channel: UInt64, _ topic: String, _ state: UInt64) -> [UInt8] {
            Wire.field(
                4,
                Wire.field(1, channel) + (topic.isEmpty ? [] : Wire.field(2, topic))
                    + Wire.field(3, state))
        }
        try self.fixture.subscribe(
            Wire.field(3, Wire.field(2, "ann")) + change(1, "", 3) + change(2, "news", 4)
                + Wire.field(5, 1) + Wire.field(6, Wire.field(2, "10.0.0.1")))
        #expect(try self.kinds() == ["1 1 ann r1", "1 4 ann r1", "2 4 ann r1"])
        var head: [UInt8] = [UInt8](repeating: 0, count: 32)
        for number in 1 ... 2 {
            try self.fixture.withResponse(self.fixture.changes[number]) { _, change in
                #expect(change.n_consent_entries == 1)
                let entry = try #require(change.consent_entries[0]).pointee
                #expect(entry.channel.rawValue == UInt32(number) && entry.applied == 1)
                #expect(Self.text(entry.topic) == ["", "news"][number - 1])
                #expect(Self.text(entry.evidence.pointee.ip) == "10.0.0.1")
                #expect(Self.text(entry.profile_id) == Self.text(change.profile_id))
                func bytes(_ data: ProtobufCBinaryData) -> [UInt8] {
                    Array(UnsafeBufferPointer(start: data.data, count: data.len))
                }
                #expect(bytes(entry.previous_hash) == head)
                head = bytes(entry.hash)
                #expect(head.count == 32)
            }
        }
    }

    @Test func suppressionHasChannelAndReasons() throws {
        try self.fixture.identify(Wire.field(4, "ann") + Wire.field(6, Self.patch))
        try self.fixture.suppress("ann@example.com", .manual)
        try self.fixture.suppress("ann@example.com", .hardBounce)
        #expect(try self.kinds() == ["1 1 ann r1", "2 9 ann r1", "3 9 ann r1"])
        try self.fixture.withResponse(self.fixture.changes[2]) { _, change in
            #expect(change.channel.rawValue == 1)
            let reasons = (0 ..< change.n_suppression_reasons).map {
                change.suppression_reasons[$0].rawValue
            }
            #expect(reasons == [1, 4])
        }
    }

    @Test func erasureNamesTheProfileIdOnly() throws {
        let device = Wire.field(3, "phone")
        try self.fixture.identify(device)
        try self.fixture.identify(Wire.field(4, "ann"))
        try self.fixture.identify(device + Wire.field(4, "ann"))
        try self.fixture.erase("ann")
        let record = try #require(self.fixture.changes.last)
        try self.fixture.withResponse(record) { response, change in
            #expect(response.lsn == 4)
            #expect(change.kind == PROFILES__V1__CHANGE_KIND__CHANGE_KIND_PROFILE_ERASED)
            #expect(Self.text(change.profile_id).utf8.count == 26)
            #expect(Self.text(change.custom_id) == "" && Self.text(change.other_profile_id) == "")
            #expect(change.revision == 0 && change.received_at.pointee.seconds == 1_700_000_004)
        }
        // The profile that had been merged into the person, and into which one, are for the reader
        // only.
        #expect(try #require(self.fixture.response(record)).count < 60)
        #expect(record.count == 56 + 2 * 16)
    }

    @Test func undoneMergeNamesTheProfileThatIsRestored() throws {
        try self.fixture.identify(Wire.field(3, "phone"))
        try self.fixture.identify(Wire.field(4, "ann"))
        try self.fixture.identify(Wire.field(3, "phone") + Wire.field(4, "ann"))
        // No command makes this kind yet; its record is that of a merge.
        var record = try #require(
            self.fixture.changes.first { $0[ChangeRecordHeader.kindOffset] == 3 })
        record[ChangeRecordHeader.kindOffset] = ChangeKind.unmerged.rawValue
        try self.fixture.withResponse(record) { _, change in
            #expect(change.kind == PROFILES__V1__CHANGE_KIND__CHANGE_KIND_PROFILES_UNMERGED)
            #expect(Self.text(change.other_profile_id).utf8.count == 26)
        }
    }

    @Test func heartbeatHasThePositionOnly() throws {
        var output = ByteBuffer()
        self.fixture.encoder.encodeHeartbeat(lsn: 300, into: &output)
        #expect(Array(output.bytes) == Wire.field(1, 300))
        output.removeAll()
        self.fixture.encoder.encodeHeartbeat(lsn: .max, into: &output)
        #expect(Array(output.bytes) == Wire.field(1, .max))
    }

    private struct Damage: SeededNumbers {
        var state: UInt64
    }

    /// Whatever a record became on the disk: no trap, and nothing is read beyond it.
    @Test func damagedRecordIsRejectedOrReadWithinItsBytes() throws {
        try self.fixture.identify(
            Wire.field(3, "phone") + Wire.field(4, "ann") + Wire.field(6, Self.patch))
        try self.fixture.track(
            Wire.track([
                Wire.event(
                    "buy", id: "x", [("a", Wire.integer(1)), ("l", Wire.list(["a"]))],
                    extra: Wire.field(6, "t"))
            ]))
        try self.fixture.subscribe(
            Wire.field(3, Wire.field(2, "ann"))
                + Wire.field(4, Wire.field(1, 1) + Wire.field(3, 3)) + Wire.field(5, 1))
        try self.fixture.suppress("ann@example.com", .manual)
        try self.fixture.erase("ann")
        #expect(self.fixture.changes.count == 5)
        var damage = Damage(state: 7)
        var (rejected, written) = (0, 0)
        for record in self.fixture.changes {
            for cut in 0 ..< record.count {
                #expect(record[..<cut].withUnsafeBytes { ChangeView($0) } == nil)
            }
            for _ in 0 ..< 3_000 {
                var bytes = record
                for _ in 0 ... damage.below(3) {
                    bytes[damage.below(bytes.count)] = UInt8(damage.below(256))
                }
                if self.fixture.response(bytes) == nil { rejected += 1 } else { written += 1 }
            }
        }
        #expect(rejected > 1_000 && written > 1_000)
    }
}
