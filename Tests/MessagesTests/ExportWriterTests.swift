import Bytes
import CMessages
import CProtobufC
import Profiles
import Testing

@testable import Messages

/// Each part of an export as a client reads it.
@Suite struct ExportWriterTests {
    private let fixture = WatchFixture()

    private static func text(_ string: UnsafeMutablePointer<CChar>?) -> String {
        string.map { String(cString: $0) } ?? ""
    }

    /// Ann with attributes of several kinds, events, consent and a suppressed address.
    private func fill() throws {
        let patch =
            Wire.field(1, Wire.entry("age", Wire.integer(-7)))
            + Wire.field(1, Wire.entry("city", Wire.string("Nîmes")))
            + Wire.field(5, Wire.field(1, Wire.field(1, "Ann@example.com")))
        try self.fixture.identify(
            Wire.field(3, "phone") + Wire.field(4, "ann") + Wire.field(6, patch)
                + Wire.field(9, Wire.field(1, 4) + Wire.field(2, "crm")))
        let identifier = Wire.field(3, Wire.field(2, "ann"))
        for number in 0 ..< 3 {
            // A long label makes one message longer than two bytes of its length say.
            let label = String(repeating: "é", count: [0, 100, 200][number])
            let event =
                Wire.field(1, number == 0 ? "" : "e\(number)") + Wire.field(2, "visit")
                + Wire.field(3, Wire.entry("page", Wire.string("a")))
                + Wire.field(3, Wire.entry("n", Wire.integer(Int64(number) - 1)))
                + Wire.field(5, label) + Wire.field(6, "t1") + Wire.field(6, "t2")
            try self.fixture.track(
                Wire.field(1, "default") + identifier + Wire.field(4, event)
                    + (number == 1 ? Wire.field(6, Wire.field(1, 1)) : []))
        }
        let change = Wire.field(1, 1) + Wire.field(2, "news") + Wire.field(3, 3)
        try self.fixture.subscribe(
            Wire.field(3, Wire.field(2, "ann")) + Wire.field(4, change) + Wire.field(5, 1)
                + Wire.field(6, Wire.field(1, "form")))
        try self.fixture.suppress("ann@example.com", .manual)
        try self.fixture.suppress("ann@example.com", .hardBounce)
    }

    /// Runs `body` with each part, as written and as protobuf-c reads it.
    private func forEachPart(
        _ reader: ExportReader, token: [UInt8], redirectedFrom: IdentifierView? = nil,
        _ body: (ExportPart, Profiles__V1__ExportProfileResponse) throws -> Void
    ) throws {
        while true {
            let part: ExportPart
            switch reader.next(in: self.fixture.store, now: self.fixture.now) {
            case .more: continue
            case .part(let next): part = next
            case .end, .notFound, .changed: return
            }
            var output = ByteBuffer()
            token.withUnsafeBytes {
                self.fixture.encoder.encodeExportPart(
                    part, pageToken: $0, redirectedFrom: redirectedFrom, into: &output)
            }
            let bytes = output.bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
            let message = try #require(
                profiles__v1__export_profile_response__unpack(nil, output.count, bytes))
            defer { profiles__v1__export_profile_response__free_unpacked(message, nil) }
            var again = ByteBuffer()
            MessageEncoder.pack(UnsafeMutableRawPointer(message), into: &again)
            #expect(Array(again.bytes) == Array(output.bytes))
            #expect(message.pointee.lsn == part.lsn)
            #expect(Self.text(message.pointee.page_token).utf8.elementsEqual(token))
            try body(part, message.pointee)
        }
    }

    private var ann: ExportReader {
        Array("ann".utf8).withUnsafeBytes {
            ExportReader(
                WatchFixture.project,
                OwnedIdentifier(IdentifierView(kind: .customID, bytes: $0)))
        }
    }

    @Test func partsAreThoseThatProtobufReadsAndWrites() throws {
        try self.fill()
        var kinds: [UInt32] = []
        try self.forEachPart(self.ann, token: []) { part, response in
            kinds.append(response.part_case.rawValue)
            switch part.content {
            case .profile(let image):
                var whole = ByteBuffer()
                MessageEncoder.writeProfileField(
                    image, mask: ReadMask.standard.union(.attributeMetadata), into: &whole)
                var profile = ByteBuffer()
                MessageEncoder.pack(
                    UnsafeMutableRawPointer(try #require(response.profile)), into: &profile)
                #expect(Array(whole.bytes.suffix(profile.count)) == Array(profile.bytes))
                #expect(response.profile.pointee.n_attribute_metadata == 3)
            case .event(let image):
                var listed = ByteBuffer()
                self.fixture.encoder.encodeEvents(1, images: image, into: &listed)
                var event = ByteBuffer()
                MessageEncoder.pack(
                    UnsafeMutableRawPointer(try #require(response.event)), into: &event)
                #expect(Array(listed.bytes.suffix(event.count)) == Array(event.bytes))
            case .consentEntry:
                let entry = try #require(response.consent_entry).pointee
                #expect(entry.hash.len == 32 && entry.previous_hash.len == 32)
                #expect(Self.text(entry.topic) == "news")
                #expect(Self.text(entry.profile_id).utf8.count == 26)
            case .suppression:
                let record = try #require(response.suppression).pointee
                #expect(Self.text(record.address) == "Ann@example.com")
                #expect(record.channel.rawValue == 1 && record.n_reasons == 2)
                #expect(record.reasons[0].rawValue == 1 && record.reasons[1].rawValue == 4)
            case .position: Issue.record("there is somebody")
            }
        }
        #expect(kinds == [2, 3, 3, 3, 4, 6])
    }

    @Test func tokenAndAliasStandInTheirFields() throws {
        try self.fill()
        let token = Array(repeating: UInt8(ascii: "x"), count: 38)
        let id = ProfileID(high: 1, low: 2)
        try withUnsafeBytes(of: (id.high.bigEndian, id.low.bigEndian)) { bytes in
            let alias = IdentifierView(kind: .profileID, bytes: bytes)
            try self.forEachPart(self.ann, token: token, redirectedFrom: alias) { _, response in
                #expect(
                    id.withText { text in
                        Self.text(response.redirected_from).utf8.elementsEqual(text)
                    })
            }
        }
        let custom = Array("old".utf8)
        try custom.withUnsafeBytes { bytes in
            let alias = IdentifierView(kind: .customID, bytes: bytes)
            try self.forEachPart(self.ann, token: [], redirectedFrom: alias) { _, response in
                #expect(Self.text(response.redirected_from) == "old")
            }
        }
    }

    @Test func exportOfNobodyHasItsPositionOnly() throws {
        var lsns: [UInt64] = []
        let reader = ExportReader(WatchFixture.project, from: 0)
        self.fixture.now += 1
        try self.forEachPart(reader, token: []) { part, response in
            #expect(part.profileID == nil && response.part_case.rawValue == 0)
            lsns.append(response.lsn)
        }
        #expect(lsns == [self.fixture.store.appliedLSN])
    }
}
