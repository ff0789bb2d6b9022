import Bytes
import Profiles
import Testing

@testable import Messages

/// Messages of an import: what they may hold, the ids of their events, and where they are cut.
@Suite struct ImportDecoderTests {
    private let decoder = MessageDecoder()
    private static let store = Store(
        genesis: Genesis(
            directoryID: ProfileID(high: 1, low: 2), hashKey: SipHashKey(k0: 3, k1: 4),
            secret: SipHashKey(k0: 5, k1: 6), limits: StoreLimits()))

    private static func operation(_ track: [UInt8]) -> [UInt8] { Wire.field(2, track) }

    /// A Track of a person without a project.
    private static func track(
        _ events: [[UInt8]] = [Wire.event()], customID: String = "ann", extra: [UInt8] = []
    ) -> [UInt8] {
        Self.operation(
            Wire.field(3, Wire.field(2, customID)) + events.flatMap { Wire.field(4, $0) } + extra)
    }

    private static func message(
        _ operations: [[UInt8]], chunkID: String = "c1", project: String = "default",
        extra: [UInt8] = []
    ) -> [UInt8] {
        Wire.field(1, project) + Wire.field(2, chunkID)
            + operations.flatMap { Wire.field(3, $0) } + extra
    }

    /// The chunk of a message, packed; `nil`: it was rejected.
    private func chunk(
        _ wire: [UInt8], limits: ImportChunk.PartLimits = ImportChunk.PartLimits(),
        buffers: ImportBuffers = ImportBuffers()
    ) -> ImportChunk? {
        wire.withUnsafeBytes { bytes in
            guard case .message(let request) = self.decoder.decodeImport(bytes) else { return nil }
            let chunk = ImportChunk(
                request, project: ProjectID(rawValue: 7),
                eventIDs: Self.store.importEventIDs(chunkID: request.chunkID),
                content: Self.store.importContent(), limits: limits, buffers: buffers)
            while !chunk.packSlice(with: self.decoder) {}
            return chunk
        }
    }

    private func violations(_ wire: [UInt8]) -> [String] {
        wire.withUnsafeBytes { bytes in
            guard case .invalid(let violations, _) = self.decoder.decodeImport(bytes) else {
                return []
            }
            return violations.list.map(\.path)
        }
    }

    /// An operation by one of the two ways.
    private func packed(_ operation: [UInt8], isPlain: Bool) -> (item: [UInt8], [Violation]) {
        var buffer = ByteBuffer()
        let name = Array("default".utf8)
        let packed = name.withUnsafeBytes { name in
            withUnsafeBytes(of: UInt64(1)) { id in
                operation.withUnsafeBytes { bytes in
                    let imported = ImportedOperation(
                        project: name, eventIDs: Self.store.importEventIDs(chunkID: id), index: 3)
                    let project = ProjectID(rawValue: 7)
                    return isPlain
                        ? self.decoder.packImported(
                            bytes, imported, project: project, into: &buffer)
                        : self.decoder.packAnyImported(
                            bytes, imported, project: project, into: &buffer)
                }
            }
        }
        return (Array(buffer.bytes), packed.violations.list)
    }

    /// The items of a part.
    private func items(_ chunk: ImportChunk, part: Int) -> [(kind: UInt8, payload: [UInt8])] {
        var buffer = ByteBuffer()
        chunk.writePart(part, into: &buffer)
        var reader = ByteReader(buffer.bytes)
        guard let header = ImportPartHeader(from: &reader) else { return [] }
        return (0 ..< header.itemCount).map { _ in
            let bytes = Int(reader.read(UInt32.self))
            let kind = reader.read(UInt8.self)
            _ = reader.read(UInt8.self)
            _ = reader.read(UInt16.self)
            return (kind, Array(reader.read(count: bytes)))
        }
    }

    @Test func requestNeedsAProjectAChunkIDAndAtMostTenThousandOperations() {
        #expect(self.violations(Self.message([], chunkID: "")) == ["chunk_id"])
        #expect(
            self.violations(Self.message([], chunkID: String(repeating: "c", count: 101)))
                == ["chunk_id"])
        #expect(self.violations(Self.message([], project: "Default")) == ["project"])
        let many = Array(repeating: [] as [UInt8], count: 10_001)
        #expect(self.violations(Self.message(many)) == ["operations"])
        #expect(self.chunk(Self.message(Array(many.dropLast())))?.operationCount == 10_000)
        #expect(self.chunk(Self.message([]))?.partCount == 1)
    }

    /// Each alone, whatever is wrong inside of it.
    @Test func operationThatIsWrongIsRejectedAlone() throws {
        let wrong: [(operation: [UInt8], path: String)] = [
            ([], "operations[0]"), ([0xFF], "operations[0]"),
            (Self.track(extra: Wire.field(2, "r1")), "operations[0].track.request_id"),
            (
                Self.track(extra: Wire.field(10, Wire.field(1, 1))),
                "operations[0].track.expected_revision"
            ),
            (
                Self.track(extra: Wire.field(1, "another")), "operations[0].track.project"
            ),
            (
                Wire.field(1, Wire.field(4, "ann") + Wire.field(10, Wire.field(1, 1))),
                "operations[0].identify"
            ),
            (Self.track([Wire.event("a b")]), "operations[0].track.events[0].name"),
        ]
        for (operation, path) in wrong {
            let chunk = try #require(self.chunk(Self.message([operation, Self.track()])))
            let items = self.items(chunk, part: 0)
            #expect(items.map(\.kind) == [0, RecordKind.track.rawValue], "\(path)")
            let found = chunk.violations(ofOperation: 0).list.map(\.path)
            #expect(found.contains { $0.hasPrefix(path) }, "\(path): \(found)")
            #expect(chunk.violations(ofOperation: 1).isEmpty)
        }
        let own = Self.track(extra: Wire.field(1, "default"))
        let chunk = try #require(self.chunk(Self.message([own])))
        #expect(chunk.violations(ofOperation: 0).isEmpty)
    }

    @Test func tracksAreHistoricalAndTheirEventsHaveIDsOfChunkAndIndex() throws {
        func ids(_ chunkID: String) throws -> [String] {
            let events = [Wire.event("a"), Wire.event("b", id: "own"), Wire.event("c")]
            let wire = Self.message([Self.track(), Self.track(events)], chunkID: chunkID)
            let chunk = try #require(self.chunk(wire))
            return try self.items(chunk, part: 0).flatMap { item in
                try item.payload.withUnsafeBytes { payload in
                    var reader = ByteReader(payload)
                    let header = try #require(TrackHeader(from: &reader))
                    #expect(header.flags.contains(.historical))
                    #expect(header.project.rawValue == 7)
                    return try (0 ..< header.eventCount).map { _ in
                        let event = try #require(TrackEventView(from: &reader, in: payload))
                        return String(decoding: event.eventID, as: UTF8.self)
                    }
                }
            }
        }
        let one = try ids("c1")
        #expect(one.count == 4 && Set(one).count == 4 && one[2] == "own")
        #expect(one.enumerated().allSatisfy { $0.offset == 2 || $0.element.utf8.count == 26 })
        #expect(try ids("c1") == one)
        #expect(Set(try ids("c2")).intersection(one) == ["own"])
    }

    /// What the short way accepts, the long way accepts with the same bytes.
    @Test func bothWaysGiveTheSameBytes() {
        var random = SeededGenerator(state: 7)
        var plain = 0
        for _ in 0 ..< 10_000 {
            var track = random.track()
            if random.below(4) > 0 {
                // Without the project, as imports have it.
                track = Self.withoutField1(track)
            }
            let operation = Self.operation(track)
            let short = self.packed(operation, isPlain: true)
            let long = self.packed(operation, isPlain: false)
            #expect(short.item == long.item)
            if long.1.isEmpty { plain += 1 }
        }
        #expect(plain > 100)
    }

    private static func withoutField1(_ message: [UInt8]) -> [UInt8] {
        message.withUnsafeBytes { bytes in
            var fields = WireFieldReader(bytes)
            var rest: [UInt8] = []
            while let field = fields.next() {
                if field.number != 1 { rest += bytes[field.whole] }
            }
            return rest
        }
    }

    @Test func chunkIsCutByOperationsAndBytes() throws {
        var limits = ImportChunk.PartLimits()
        limits.operationsMax = 4
        let three = (0 ..< 3).map { Wire.event("e\($0)") }
        let chunk = try #require(
            self.chunk(
                Self.message([Self.track(), Self.track(three), Self.track(three), Self.track()]),
                limits: limits))
        #expect(chunk.parts.map(\.firstItem) == [0, 2])
        #expect(chunk.parts.map(\.operations) == [4, 4])
        #expect((0 ... 4).map { chunk.part(behind: $0) } == [0, 0, 1, 1, nil])
        limits = ImportChunk.PartLimits()
        limits.bytesMax = 150
        let small = try #require(
            self.chunk(Self.message(Array(repeating: Self.track(), count: 9)), limits: limits))
        #expect(small.partCount > 2)
        #expect(small.parts.reduce(0) { $0 + $1.itemCount } == 9)
        #expect(small.parts.allSatisfy { $0.bytes.count <= 150 })
    }

    /// Larger and smaller ones in turn, and one that is validated.
    @Test func chunksInTheStorageOfOthersAreTheSame() throws {
        func bytes(_ wire: [UInt8], _ buffers: ImportBuffers) throws -> [[UInt8]] {
            let chunk = try #require(self.chunk(wire, buffers: buffers))
            return (0 ..< chunk.partCount).map {
                var buffer = ByteBuffer()
                chunk.writePart($0, into: &buffer)
                return Array(buffer.bytes)
            }
        }
        let shared = ImportBuffers()
        for (count, extra) in [(700, [UInt8]()), (3, []), (20_000 / 3, Wire.field(4, 1)), (1, [])] {
            // Nothing of one chunk may pass for what stands at its place in the next.
            let track = Self.track(customID: "person-\(count)")
            let wire = Self.message(Array(repeating: track, count: count), extra: extra)
            #expect(try bytes(wire, shared) == bytes(wire, ImportBuffers()))
        }
    }

    @Test func contentIsThatOfTheOperationsAlone() throws {
        func content(_ wire: [UInt8]) throws -> Fingerprint {
            let chunk = try #require(self.chunk(wire))
            var buffer = ByteBuffer()
            chunk.writePart(0, into: &buffer)
            var reader = ByteReader(buffer.bytes)
            return try #require(ImportPartHeader(from: &reader)).content
        }
        let one = try content(Self.message([Self.track()]))
        #expect(
            try content(
                Self.message([Self.track(extra: Wire.field(5, Wire.timestamp(1_700_000_000)))]))
                == one, "a time of sending")
        #expect(try content(Self.message([Self.track(), Self.track()])) != one)
        #expect(try content(Self.message([Self.track(customID: "bob")])) != one)
        let wrong = try content(Self.message([Self.track([Wire.event("a b")])]))
        #expect(try content(Self.message([Self.track([])])) != wrong)
    }

    @Test func validationIsOnePart() throws {
        let operations = Array(repeating: Self.track(), count: 5_000)
        #expect(try #require(self.chunk(Self.message(operations))).partCount == 20)
        let validation = Self.message(operations, extra: Wire.field(4, 1))
        let chunk = try #require(self.chunk(validation))
        #expect(chunk.partCount == 1 && chunk.isValidation && chunk.items(ofPart: 0) == 0)
    }
}
