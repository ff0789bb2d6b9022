import Bytes
import Profiles
import Testing

@testable import Messages

@Suite struct TrackCodecTests {
    private let decoder = MessageDecoder()
    private static let now: Int64 = 1_700_000_000_000_000

    private static let windows = AdvisoryWindows(
        nowMicroseconds: now, lateMicroseconds: 86_400_000_000,
        historicalMicroseconds: 90 * 86_400_000_000,
        aheadMicroseconds: 300_000_000)

    /// The record of a message, or its violations.
    ///
    /// What goes the short way must come to the same on the long one.
    private func record(_ wire: [UInt8]) -> (record: [UInt8], violations: [String]) {
        if let short = PlainTrackTests.outcome(wire, self.decoder, isPlain: true) {
            #expect(short == PlainTrackTests.outcome(wire, self.decoder, isPlain: false))
        }
        var buffer = ByteBuffer()
        buffer.append(UInt64(0xAA))
        return wire.withUnsafeBytes { bytes in
            switch self.decoder.decodeTrack(bytes, windows: { _ in Self.windows }) {
            case .message(let track):
                self.decoder.appendRecord(of: track, project: ProjectID(rawValue: 1), to: &buffer)
                return (Array(buffer.bytes.dropFirst(8)), [])
            case .invalid(let violations, _): return ([], violations.list.map(\.path))
            case .malformed(let found): return ([], ["malformed: \(found)"])
            case .tooLarge: return ([], ["too large"])
            case .unsupported(let field): return ([], ["unsupported: \(field)"])
            }
        }
    }

    @Test func aTrackIsWrittenAsItsRecord() throws {
        let attributes = [
            ("Size", Wire.integer(-3)), ("colour", Wire.string("red")), ("price", Wire.number(1.5)),
        ]
        let wire = Wire.track(
            [
                Wire.event(
                    "Purchase", id: "e1", attributes,
                    extra: Wire.field(4, Wire.timestamp(1_700_000_000, nanos: 123_456_789)))
            ],
            extra: Wire.field(2, "r1") + Wire.field(7, 1) + Wire.field(10, Wire.field(1, 9)))
        let (bytes, violations) = self.record(wire)
        #expect(violations.isEmpty)
        try bytes.withUnsafeBytes { raw in
            let record = try #require(RecordView(raw))
            #expect(record.kind == RecordKind.track.rawValue)
            #expect(record.operations == 1)
            var reader = ByteReader(record.payload)
            let header = try #require(TrackHeader(from: &reader))
            #expect(header.flags == [.allowPartial, .hasExpectedRevision])
            #expect(header.expectedRevision == 9)
            #expect(String(decoding: header.identifier.bytes, as: UTF8.self) == "ann")
            #expect(String(decoding: header.requestID, as: UTF8.self) == "r1")
            let event = try #require(TrackEventView(from: &reader, in: record.payload))
            #expect(String(decoding: event.name, as: UTF8.self) == "purchase")
            #expect(event.occurredAt == 1_700_000_000_123_456)
            #expect(reader.isAtCleanEnd)
            // Name, no label, no tags, then three fields in the order of their lower-case names.
            var content = ByteBuffer()
            content.appendPrefixed(event.name)
            content.append([0, 0] as StaticBytes)
            var fields = ByteBuffer()
            fields.appendVarint(3)
            fields.append(name: "colour")
            fields.append([1, 3, 0x72, 0x65, 0x64] as StaticBytes)
            fields.append(name: "price")
            fields.appendPacked(number: 1.5)
            fields.append(name: "size")
            fields.append([2, 5] as StaticBytes)
            content.appendPrefixed(fields.bytes)
            #expect(Array(event.content) == Array(content.bytes))
        }
    }

    @Test func equalMessagesGiveEqualBytes() {
        let fields = [
            ("b", Wire.integer(1)), ("A", Wire.integer(2)),
            ("c", Wire.object([("y", Wire.integer(1)), ("x", Wire.integer(2))])),
        ]
        let other = [
            ("c", Wire.object([("X", Wire.integer(2)), ("y", Wire.integer(1))])),
            ("a", Wire.integer(2)), ("B", Wire.integer(1)),
        ]
        let one = self.record(Wire.track([Wire.event("V", fields)])).record
        #expect(!one.isEmpty)
        #expect(one == self.record(Wire.track([Wire.event("v", other)])).record)
        #expect(one != self.record(Wire.track([Wire.event("v", fields.dropLast())])).record)
    }

    @Test(
        arguments: [
            (Wire.track(project: "Bad"), ["project"]),
            (Wire.track([]), ["events"]),
            (Wire.track(customID: ""), ["identifier.custom_id"]),
            (Wire.field(1, "default") + Wire.field(4, Wire.event()), ["identifier"]),
            (Wire.track([Wire.event("a b")]), ["events[0].name"]),
            (
                Wire.track([Wire.event("a", id: String(repeating: "x", count: 101))]),
                ["events[0].event_id"]
            ),
            (
                Wire.track([Wire.event("a", [("x y", Wire.integer(1))])]),
                ["events[0].attributes[0]"]
            ),
            (Wire.track([Wire.event("a", [("x", [])])]), ["events[0].attributes.x"]),
            (Wire.track([Wire.event("a", [("x", Wire.number(.nan))])]), ["events[0].attributes.x"]),
            (
                Wire.track([Wire.event("a", [("x", Wire.number(.infinity))])]),
                ["events[0].attributes.x"]
            ),
            (
                Wire.track([Wire.event("a", [("x", Wire.list(["ok", " "]))])]),
                ["events[0].attributes.x.items[1]"]
            ),
            (
                Wire.track([Wire.event("a", [("x", Wire.field(6, "nohost"))])]),
                ["events[0].attributes.x"]
            ),
            (
                Wire.track([Wire.event("a", [("x", Wire.string("a\nb"))])]),
                ["events[0].attributes.x"]
            ),
            (
                Wire.track([
                    Wire.event(
                        "a", [("x", Wire.object([("y", Wire.object([("z", Wire.object([]))]))]))])
                ]), ["events[0].attributes.x.y.z"]
            ),
            (
                Wire.track([Wire.event("a", [("K", Wire.integer(1)), ("k", Wire.integer(1))])]),
                ["events[0].attributes.k"]
            ),
            (Wire.track(extra: Wire.field(6, Wire.field(1, 77))), ["source.platform"]),
            (Wire.track(extra: Wire.field(5, Wire.timestamp(0))), ["sent_at"]),
            (
                Wire.track([Wire.event("", extra: Wire.field(4, Wire.timestamp(1_600_000_000)))]),
                ["events[0].name", "events[0].occurred_at"]
            ),
        ] as [([UInt8], [String])])
    func violationsHaveTheirPaths(wire: [UInt8], paths: [String]) {
        #expect(self.record(wire).violations == paths)
    }

    @Test func allowPartialTurnsBadEventsIntoRejectedOnes() throws {
        let (bytes, violations) = self.record(
            Wire.track(
                [Wire.event("bad name", id: "b"), Wire.event("good")], extra: Wire.field(7, 1)))
        #expect(violations.isEmpty)
        try bytes.withUnsafeBytes { raw in
            let record = try #require(RecordView(raw))
            var reader = ByteReader(record.payload)
            _ = try #require(TrackHeader(from: &reader))
            let bad = try #require(TrackEventView(from: &reader, in: record.payload))
            #expect(bad.flags == .rejected)
            #expect(String(decoding: bad.eventID, as: UTF8.self) == "b")
            #expect(!bad.violations.isEmpty)
            #expect(try #require(TrackEventView(from: &reader, in: record.payload)).flags == [])
        }
    }

    @Test func mutatedMessagesNeverTrapAndAlwaysGiveWholeRecords() {
        let attributes = [
            ("a", Wire.string("text")), ("b", Wire.list(["x", "y"])),
            ("c", Wire.object([("d", Wire.number(2))])),
        ]
        let valid = Wire.track([
            Wire.event("one", id: "1", attributes),
            Wire.event("two", extra: Wire.field(5, "label") + Wire.field(6, "tag")),
        ])
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        func next(_ bound: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state % UInt64(bound))
        }
        var written = 0
        for _ in 0 ..< 20_000 {
            var wire = valid
            for _ in 0 ... next(4) {
                switch next(3) {
                case 0: wire[next(wire.count)] = UInt8(next(256))
                case 1: wire.remove(at: next(wire.count))
                default: wire.insert(UInt8(next(256)), at: next(wire.count))
                }
            }
            let record = self.record(wire).record
            guard !record.isEmpty else { continue }
            written += 1
            let isWhole = record.withUnsafeBytes { RecordView($0)?.totalBytes == record.count }
            #expect(isWhole)
        }
        #expect(written > 200)
    }

    @Test func detailsStayBelowTheLimitOfTrailers() {
        var violations = Violations()
        for index in 0 ..< 1_000 {
            violations.add(
                Violation(
                    path: "events[\(index)].attributes.some_long_name",
                    description: String(repeating: "x", count: 90)))
        }
        for rejection in Rejection.allCases where rejection != .none {
            let status = StatusMapping.status(
                of: rejection, ErrorContext(violations: violations, retrySeconds: 1))
            #expect(status.code > 0 && status.code <= 16 && !status.message.isEmpty)
            // Base64 adds a third; names of the fields and the message come beside it.
            #expect(status.details.count * 4 / 3 < 7_000)
        }
    }
}

/// Literal bytes for a buffer.
private struct StaticBytes: ExpressibleByArrayLiteral {
    let bytes: [UInt8]
    init(arrayLiteral elements: UInt8...) { self.bytes = elements }
}

extension ByteBuffer {
    fileprivate mutating func append(_ literal: StaticBytes) {
        literal.bytes.withUnsafeBytes { self.append($0) }
    }

    fileprivate mutating func append(name: String) {
        Array(name.utf8).withUnsafeBytes { self.appendPrefixed($0) }
    }
}
