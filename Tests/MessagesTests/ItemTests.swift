import Bytes
import Profiles
import Testing

@testable import Messages

/// What is wrong inside of one item says nothing about the others: events of a Track that allows
/// partial success, and writes of a best-effort batch.
@Suite struct ItemTests {
    private let decoder = MessageDecoder()

    /// What can be wrong inside of an event without hiding where it ends, and a path of it.
    static let badEvents: [(name: String, bytes: [UInt8], path: String)] = [
        ("a NUL", Wire.event("a\0b", id: "e1"), ".name"),
        ("a NUL in a value", Wire.event("a", [("s", Wire.string("b\0"))]), ".attributes"),
        ("invalid UTF-8", Wire.event(extra: Wire.field(5, [0xC0, 0xAF])), ".label"),
        (
            "101 map entries", Wire.event("a", (0 ..< 101).map { ("k\($0)", Wire.integer(1)) }),
            ".attributes"
        ),
        (
            "a key given twice", Wire.event("a", [("k", Wire.integer(1)), ("k", Wire.integer(2))]),
            ".attributes"
        ),
        ("four levels", Wire.event("a", [("k", Self.nested(3))]), ".attributes.k"),
        ("six levels", Wire.event("a", [("k", Self.nested(5))]), ""),
        ("100 levels", Wire.event("a", [("k", Self.nested(100))]), ""),
        ("two kinds", Wire.event("a", [("k", Wire.integer(1) + Wire.string("x"))]), ".attributes"),
        ("a name given twice", Wire.event("a", extra: Wire.field(2, "b")), ".name"),
        (
            "101 elements", Wire.event("a", [("l", Wire.list(Array(repeating: "x", count: 101)))]),
            ""
        ),
        (
            "2,001 unknown fields",
            Wire.event(extra: Array(repeating: Wire.field(99, 1), count: 2_001).flatMap { $0 }), ""
        ),
        ("a group", Wire.event(extra: [0x0B, 0x0C]), ""),
        ("a tag of 0", Wire.event(extra: [0x00, 0x01]), ""),
        ("a length past its end", Wire.event(extra: [0x2A, 0x7F]), ""),
        ("another wire type", Wire.event(extra: [0x28, 0x01]), ""),
        ("no name", [], ".name"),
    ]

    private static func nested(_ objects: Int) -> [UInt8] {
        var value = Wire.integer(1)
        for _ in 0 ..< objects { value = Wire.object([("a", value)]) }
        return value
    }

    private static let noWindows = AdvisoryWindows(
        nowMicroseconds: 0, lateMicroseconds: 0, historicalMicroseconds: 0, aheadMicroseconds: 0)

    private static let allowPartial = Wire.field(7, 1)
    private static let bestEffort = Wire.field(4, 1)

    /// `operations` with one Track of a person.
    private static func operation(_ events: [[UInt8]], extra: [UInt8] = []) -> [UInt8] {
        let track = Wire.field(3, Wire.field(2, "ann")) + events.flatMap { Wire.field(4, $0) }
        return Wire.field(3, Wire.field(2, track + extra))
    }

    private static func batch(_ operations: [[UInt8]], extra: [UInt8] = []) -> [UInt8] {
        Wire.field(1, "default") + operations.flatMap { $0 } + extra
    }

    private func track(_ wire: [UInt8]) -> Decoded<[UInt8]> {
        self.record(wire) { $0.decodeTrack($1) { _ in Self.noWindows } }
    }

    private func batch(_ wire: [UInt8]) -> Decoded<[UInt8]> {
        self.record(wire) { $0.decodeBatch($1) { _ in Self.noWindows } }
    }

    private func record(
        _ wire: [UInt8],
        _ decode: (MessageDecoder, UnsafeRawBufferPointer) -> Decoded<DecodedWrite>
    ) -> Decoded<[UInt8]> {
        wire.withUnsafeBytes { bytes in
            decode(self.decoder, bytes).map { write in
                var buffer = ByteBuffer()
                self.decoder.appendRecord(of: write, project: ProjectID(rawValue: 7), to: &buffer)
                return Array(buffer.bytes)
            }
        }
    }

    /// The events of a Track's record: the violations of each.
    private func events(in payload: UnsafeRawBufferPointer) throws -> [(id: String, [Violation])] {
        var reader = ByteReader(payload)
        let header = try #require(TrackHeader(from: &reader))
        return try (0 ..< header.eventCount).map { _ in
            let event = try #require(TrackEventView(from: &reader, in: payload))
            return (
                String(decoding: event.eventID, as: UTF8.self),
                Violations(packed: event.violations).list
            )
        }
    }

    /// The items of a batch's record: its kind, or the violations of a rejected one.
    private func items(
        in record: [UInt8]
    ) throws -> [(kind: UInt8, operations: Int, payload: [UInt8], violations: [Violation])] {
        try record.withUnsafeBytes { raw in
            let view = try #require(RecordView(raw))
            var reader = ByteReader(view.payload)
            let header = try #require(BatchHeader(from: &reader))
            return (0 ..< header.itemCount).map { _ in
                let bytes = Int(reader.read(UInt32.self))
                let kind = reader.read(UInt8.self)
                _ = reader.read(UInt8.self)
                let operations = Int(reader.read(UInt16.self))
                let payload = reader.read(count: bytes)
                let violations = kind == 0 ? Violations(packed: payload).list : []
                return (kind, operations, Array(payload), violations)
            }
        }
    }

    // MARK: Track

    @Test(arguments: ItemTests.badEvents.indices)
    func anEventIsRejectedAloneWhateverIsWrongInside(index: Int) throws {
        let bad = Self.badEvents[index]
        let good = Wire.event("good", id: "g")
        let wire = Wire.track([good, bad.bytes, good], extra: Self.allowPartial)
        guard case .message(let record) = self.track(wire) else {
            Issue.record("\(bad.name) rejects the call")
            return
        }
        try record.withUnsafeBytes { raw in
            let view = try #require(RecordView(raw))
            let events = try self.events(in: view.payload)
            #expect(events.map(\.1.isEmpty) == [true, false, true], "\(bad.name)")
            #expect(
                events[1].1[0].path.hasPrefix("events[1]\(bad.path)"),
                "\(bad.name): \(events[1].1)")
        }
        // All or nothing: the call is rejected, and the event is named.
        guard case .invalid(let violations, let items) = self.track(Wire.track([good, bad.bytes]))
        else {
            Issue.record("\(bad.name) is not a violation")
            return
        }
        #expect(items == 2 && violations.index == 1, "\(bad.name)")
        #expect(violations.list.allSatisfy { $0.path.hasPrefix("events[1]") }, "\(bad.name)")
    }

    @Test func aRejectedEventKeepsItsID() throws {
        let bad = Wire.event("a\0", id: "e1")
        guard
            case .message(let record) = self.track(
                Wire.track([bad, Wire.field(1, "e\0")], extra: Self.allowPartial))
        else {
            Issue.record("rejected")
            return
        }
        try record.withUnsafeBytes { raw in
            let view = try #require(RecordView(raw))
            #expect(try self.events(in: view.payload).map(\.id) == ["e1", ""])
        }
    }

    @Test func aBrokenEnvelopeRejectsTheCall() {
        let event = Wire.event()
        for (wire, isProtobuf) in [
            (Wire.track([event], project: "a\0", extra: Self.allowPartial), true),
            (Wire.track(Array(repeating: event, count: 16), extra: Self.allowPartial), true),
            (Wire.track([event], extra: Self.allowPartial + [0x22, 0x7F]), false),
            (Wire.track([event], extra: Self.allowPartial + [0x00]), false),
        ] {
            switch self.track(wire) {
            case .invalid(_, let items): #expect(isProtobuf && items == wire.count(of: event))
            case .malformed: #expect(!isProtobuf)
            default: Issue.record("accepted")
            }
        }
    }

    // MARK: BatchWrite

    @Test(arguments: ItemTests.badEvents.indices)
    func aWriteIsRejectedAloneWhateverIsWrongInside(index: Int) throws {
        let bad = Self.badEvents[index]
        let good = Self.operation([Wire.event()])
        let wire = Self.batch(
            [good, Self.operation([Wire.event(), bad.bytes]), good], extra: Self.bestEffort)
        guard case .message(let record) = self.batch(wire) else {
            Issue.record("\(bad.name) rejects the call")
            return
        }
        let items = try self.items(in: record)
        #expect(items.map(\.kind) == [RecordKind.track.rawValue, 0, RecordKind.track.rawValue])
        let path = "operations[1].track.events[1]\(bad.path)"
        #expect(
            try #require(items[1].violations.first).path.hasPrefix(path),
            "\(bad.name): \(items[1].violations)")
        // Atomic: the call is rejected, and the write is named.
        let atomic = Self.batch([good, Self.operation([bad.bytes])])
        guard case .invalid(let violations, let count) = self.batch(atomic) else {
            Issue.record("\(bad.name) is not a violation")
            return
        }
        #expect(violations.index == 1 && count == 2, "\(bad.name)")
    }

    @Test func aTrackInABatchMayAllowPartialSuccess() throws {
        for bad in Self.badEvents {
            let partial = Self.operation([bad.bytes, Wire.event()], extra: Self.allowPartial)
            guard case .message(let record) = self.batch(Self.batch([partial])) else {
                Issue.record("\(bad.name) rejects the call")
                continue
            }
            let items = try self.items(in: record)
            #expect(items.map(\.kind) == [RecordKind.track.rawValue], "\(bad.name)")
            try items[0].payload.withUnsafeBytes { payload in
                let events = try self.events(in: payload)
                #expect(events.map(\.1.isEmpty) == [false, true], "\(bad.name)")
                let path = "operations[0].track.events[0]\(bad.path)"
                #expect(events[0].1[0].path.hasPrefix(path), "\(bad.name): \(events[0].1)")
            }
        }
    }

    @Test func whateverIsWrongWithAWriteItselfRejectsItAlone() throws {
        let good = Self.operation([Wire.event()])
        let identify = Wire.field(1, Wire.field(4, "ann"))
        let bad: [(bytes: [UInt8], path: String, items: Int)] = [
            (Wire.field(3, identify + Wire.field(2, Wire.field(3, []))), "operations[1].track", 0),
            (Wire.field(3, [0xFF]), "operations[1]", 0),
            (Wire.field(3, []), "operations[1]", 0),
            (
                Self.operation(Array(repeating: Wire.event(), count: 16)),
                "operations[1].track.events", 16
            ),
            (
                Wire.field(
                    3,
                    Wire.field(
                        1,
                        Wire.field(4, "ann")
                            + Wire.field(
                                6,
                                (0 ..< 101).flatMap {
                                    Wire.field(1, Wire.entry("k\($0)", Wire.integer(1)))
                                }))),
                "operations[1].identify.attributes.set", 101
            ),
        ]
        for (bytes, path, count) in bad {
            let wire = Self.batch([good, bytes, good], extra: Self.bestEffort)
            var items = 0
            let decoded = wire.withUnsafeBytes { bytes in
                self.decoder.decodeBatch(bytes) { _ in Self.noWindows }.map { write in
                    items = write.itemCount
                    return write.operations
                }
            }
            guard case .message(3) = decoded, case .message(let record) = self.batch(wire) else {
                Issue.record("\(path) rejects the call")
                continue
            }
            #expect(items == 2 + count, "\(path)")
            let packed = try self.items(in: record)
            #expect(
                packed.map(\.kind) == [RecordKind.track.rawValue, 0, RecordKind.track.rawValue])
            #expect(packed[1].violations.first?.path == path)
        }
    }

    @Test func aBatchWithinEveryLimitOfItsWritesIsAccepted() {
        // 200 writes of 15 events of 20 attributes, and as many of lists.
        let attributes = (0 ..< 20).map { ("a\($0)", Wire.integer(1)) }
        let many = Self.operation(Array(repeating: Wire.event("e", attributes), count: 15))
        guard case .message = self.batch(Self.batch(Array(repeating: many, count: 200))) else {
            Issue.record("200 writes of 300 attributes are rejected")
            return
        }
        let lists = (0 ..< 20).map { ("l\($0)", Wire.list(Array(repeating: "x", count: 25))) }
        let long = Self.operation(Array(repeating: Wire.event("e", lists), count: 15))
        guard case .message = self.batch(Self.batch(Array(repeating: long, count: 100))) else {
            Issue.record("100 writes of 300 lists are rejected")
            return
        }
        let changes = (0 ..< 100).flatMap { number in
            Wire.field(4, Wire.field(1, 1) + Wire.field(2, "t\(number % 25)") + Wire.field(3, 3))
        }
        let consent = Wire.field(
            3, Wire.field(3, Wire.field(3, Wire.field(2, "ann")) + changes + Wire.field(5, 1)))
        guard case .message = self.batch(Self.batch(Array(repeating: consent, count: 200))) else {
            Issue.record("200 writes of 100 changes are rejected")
            return
        }
    }

    @Test func evidenceInTheLedgerIsBoundedByWrite() throws {
        // 100 changes with 3 KiB of evidence take 350 KiB of ledger; 13 MiB hold 38 of them.
        let text = String(repeating: "x", count: 512)
        let evidence = (1 ... 6).flatMap { Wire.field(UInt64($0), text) }
        let changes = (0 ..< 100).flatMap { number in
            Wire.field(4, Wire.field(1, 1) + Wire.field(2, "t\(number % 25)") + Wire.field(3, 3))
        }
        let consent = Wire.field(
            3,
            Wire.field(
                3,
                Wire.field(3, Wire.field(2, "ann")) + changes + Wire.field(5, 1)
                    + Wire.field(6, evidence)))
        let writes = Array(repeating: consent, count: 40)
        guard case .message(let record) = self.batch(Self.batch(writes, extra: Self.bestEffort))
        else {
            Issue.record("the call is rejected")
            return
        }
        let items = try self.items(in: record)
        #expect(items.filter { $0.kind != 0 }.count == 38)
        #expect(
            items.last?.violations.first?.path == "operations[39].update_subscription.changes")
    }

    @Test func theTextsOfARecordDoNotDependOnTheClock() throws {
        // A malformed event beside a late one.
        let late = Wire.event("late", extra: Wire.field(4, Wire.timestamp(1_600_000_000)))
        let wire = Self.batch([Self.operation([Wire.event("a b"), late])], extra: Self.bestEffort)
        let records = [1_700_000_000_000_000, 1_700_000_001_000_000].map { (now: Int64) in
            self.record(wire) {
                $0.decodeBatch($1) { _ in
                    AdvisoryWindows(
                        nowMicroseconds: now, lateMicroseconds: 86_400_000_000,
                        historicalMicroseconds: 0, aheadMicroseconds: 0)
                }
            }
        }
        guard case .message(let first) = records[0], case .message(let second) = records[1] else {
            Issue.record("the call is rejected")
            return
        }
        #expect(first == second)
        #expect(
            try self.items(in: first)[0].violations.map(\.path)
                == ["operations[0].track.events[0].name"])
    }
}

extension [UInt8] {
    /// How often `part` occurs in the array.
    fileprivate func count(of part: [UInt8]) -> Int {
        self.indices.count { self[$0...].starts(with: part) }
    }
}
