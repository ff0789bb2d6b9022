import Bytes
import Profiles
import Testing

@testable import Messages

@Suite struct TrackResponseTests {
    private let encoder = MessageEncoder()

    /// Numbers of every length, so that each varint has each of its lengths.
    private struct Numbers: SeededNumbers {
        var state: UInt64

        mutating func id() -> ProfileID {
            self.below(4) == 0
                ? ProfileID(high: 0, low: 0) : ProfileID(high: self.number(), low: self.number())
        }

        mutating func text(_ countMax: Int) -> [UInt8] {
            (0 ..< self.below(countMax + 1)).map { _ in UInt8(97 + self.below(26)) }
        }
    }

    private func result(_ numbers: inout Numbers) -> [UInt8] {
        var buffer = ByteBuffer()
        let flags: ResultFlags = numbers.below(3) == 0 ? .replayed : []
        let start = ResultHeader(
            rejection: .none, flags: flags, kind: .track, lsn: numbers.number()
        )
        .begin(in: &buffer)
        let profile = numbers.id()
        let count = 1 + numbers.below(15)
        let kind: IdentifierKind? = [nil, .profileID, .customID, .installationID][numbers.below(4)]
        let from = kind == .profileID ? [UInt8](repeating: 7, count: 16) : numbers.text(1_024)
        from.withUnsafeBytes { bytes in
            TrackResultBody(
                profileID: profile, revision: numbers.number(),
                redirectedFrom: kind.map { IdentifierView(kind: $0, bytes: bytes) },
                eventCount: count
            ).write(into: &buffer)
        }
        for _ in 0 ..< count {
            numbers.text(100).withUnsafeBytes { id in
                EventResultView(
                    outcome: numbers.below(2) == 0 ? .stored : .duplicate, rejection: .none,
                    contentDiffers: numbers.below(2) == 0,
                    effectiveTime: Int64(numbers.below(3) - 1)
                        &* Int64(truncatingIfNeeded: numbers.number() >> 2), lsn: numbers.number(),
                    holder: numbers.below(2) == 0 ? profile : numbers.id(), detail: 0, eventID: id,
                    violations: UnsafeRawBufferPointer(start: nil, count: 0)
                ).write(into: &buffer)
            }
        }
        ResultHeader.end(at: start, in: &buffer)
        return Array(buffer.bytes)
    }

    @Test func anResponseHasTheBytesThatProtobufCGivesIt() throws {
        var numbers = Numbers(state: 1)
        for _ in 0 ..< 5_000 {
            let result = self.result(&numbers)
            let sequence = numbers.below(2) == 0 ? 0 : numbers.number()
            try result.withUnsafeBytes { bytes in
                var plainBody = ByteReader(bytes)
                let header = try #require(ResultHeader(from: &plainBody))
                var body = plainBody
                var plain = ByteBuffer()
                plain.append(UInt8(1))
                let outcomes = MessageEncoder.writePlainResponse(
                    header, body: &plainBody, sequence: sequence, into: &plain)
                var packed = ByteBuffer()
                packed.append(UInt8(1))
                self.encoder.arena.reset()
                let (response, expected) = self.encoder.trackResponse(header, body: &body)
                response.pointee.sequence = sequence
                MessageEncoder.pack(UnsafeMutableRawPointer(response), into: &packed)
                #expect(outcomes == expected)
                try #require(Array(plain.bytes) == Array(packed.bytes))
                #expect(plainBody.isAtCleanEnd && body.isAtCleanEnd)
            }
        }
    }

    @Test func anResponseWithARejectedEventIsLeftToProtobufC() throws {
        var buffer = ByteBuffer()
        let start = ResultHeader(rejection: .none, flags: [], kind: .track, lsn: 9).begin(
            in: &buffer)
        TrackResultBody(
            profileID: ProfileID(high: 1, low: 2), revision: 3, redirectedFrom: nil, eventCount: 2
        ).write(into: &buffer)
        for outcome in [EventOutcome.stored, .rejected] {
            let none = UnsafeRawBufferPointer(start: nil, count: 0)
            EventResultView(
                outcome: outcome, rejection: outcome == .stored ? .none : .timeWindow,
                contentDiffers: false, effectiveTime: 1, lsn: 8,
                holder: ProfileID(high: 0, low: 0), detail: 5, eventID: none, violations: none
            ).write(into: &buffer)
        }
        ResultHeader.end(at: start, in: &buffer)
        var body = ByteReader(buffer.bytes)
        let header = try #require(ResultHeader(from: &body))
        let offset = body.offset
        var output = ByteBuffer()
        #expect(
            MessageEncoder.writePlainResponse(header, body: &body, sequence: 0, into: &output)
                == nil)
        #expect(output.count == 0 && body.offset == offset)
        let outcomes = self.encoder.encodeTrackResponse(
            header, body: &body, sequence: 0, into: &output)
        #expect(outcomes.rejected == 1 && output.count > 0)
    }
}
