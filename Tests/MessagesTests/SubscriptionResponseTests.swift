import Bytes
import Profiles
import Testing

@testable import Messages

@Suite struct SubscriptionResponseTests {
    private let encoder = MessageEncoder()

    private struct Numbers: SeededNumbers {
        var state: UInt64

        mutating func text(_ countMax: Int) -> [UInt8] {
            (0 ..< self.below(countMax + 1)).map { _ in UInt8(97 + self.below(26)) }
        }

        mutating func id() -> ProfileID { ProfileID(high: self.number(), low: self.number()) }

        mutating func digest() -> SHA256Digest {
            SHA256Digest(words: (self.number(), self.number(), self.number(), self.number()))
        }

        mutating func time() -> Int64 {
            Int64(self.below(3) - 1) &* Int64(truncatingIfNeeded: self.number() >> 2)
        }

        mutating func of<Value>(_ values: [Value]) -> Value { values[self.below(values.count)] }
    }

    private static let channels: [Channel] = [.email, .sms, .push]
    private static let states: [SubscriptionState] = [.unset, .pending, .subscribed, .unsubscribed]

    /// What is hashed of an entry: fields 1 to 10 and 13 of a ConsentEntry.
    private func entry(_ numbers: inout Numbers) -> [UInt8] {
        var entry = Wire.field(1, UInt64(1 + numbers.below(3)))
        let topic = numbers.text(300)
        if !topic.isEmpty { entry += Wire.field(2, topic) }
        entry += Wire.field(4, 3) + Wire.field(6, 1)
        if numbers.below(3) == 0 {
            entry += Wire.field(7, Wire.field(3, [UInt8](repeating: 97, count: 512)))
        }
        entry += Wire.field(8, Wire.timestamp(Int64(1 + numbers.below(1 << 30)), nanos: 1_000))
        entry += Wire.field(10, 1 + numbers.number())
        var id = [UInt8](repeating: 0, count: ProfileID.textBytes)
        id.withUnsafeMutableBytes { numbers.id().writeText(into: $0) }
        return entry + Wire.field(13, id)
    }

    private func result(_ numbers: inout Numbers) -> [UInt8] {
        var buffer = ByteBuffer()
        let start = ResultHeader(
            rejection: .none, flags: numbers.below(3) == 0 ? .replayed : [],
            kind: .updateSubscription, lsn: numbers.number()
        ).begin(in: &buffer)
        let kind = numbers.of([IdentifierKind?.none, .profileID, .customID, .installationID])
        let from = kind == .profileID ? [UInt8](repeating: 7, count: 16) : numbers.text(512)
        let count = 1 + numbers.below(8)
        from.withUnsafeBytes { bytes in
            SubscriptionResultBody(
                profileID: numbers.id(), revision: numbers.number(),
                redirectedFrom: kind.map { IdentifierView(kind: $0, bytes: bytes) },
                changeCount: count
            ).write(into: &buffer)
        }
        for _ in 0 ..< count {
            let (topic, token, entry) = (
                numbers.text(300), numbers.text(200), self.entry(&numbers)
            )
            topic.withUnsafeBytes { topic in
                token.withUnsafeBytes { token in
                    entry.withUnsafeBytes { entry in
                        SubscriptionResultView(
                            channel: numbers.of(Self.channels), topic: topic,
                            state: numbers.of(Self.states), applied: numbers.below(2) == 0,
                            token: token, previousHash: numbers.digest(), hash: numbers.digest(),
                            entry: entry
                        ).write(into: &buffer)
                    }
                }
            }
        }
        // As `SubscriptionView.forEach` reads it: channel, topic, state, source, effective time.
        let subscriptions = numbers.of([0, 1, 5, 200])
        buffer.appendVarint(UInt64(subscriptions))
        for _ in 0 ..< subscriptions {
            buffer.append(numbers.of(Self.channels).rawValue)
            numbers.text(300).withUnsafeBytes { buffer.appendPrefixed($0) }
            buffer.append(numbers.of(Self.states).rawValue)
            buffer.append(UInt8(1 + numbers.below(4)))
            buffer.append(numbers.time())
        }
        ResultHeader.end(at: start, in: &buffer)
        return Array(buffer.bytes)
    }

    @Test func aResponseHasTheBytesThatProtobufCGivesIt() throws {
        var numbers = Numbers(state: 1)
        for _ in 0 ..< 3_000 {
            let result = self.result(&numbers)
            try result.withUnsafeBytes { bytes in
                var body = ByteReader(bytes)
                let header = try #require(ResultHeader(from: &body))
                var packedBody = body
                var written = ByteBuffer()
                var packed = ByteBuffer()
                let outcomes = self.encoder.encodeUpdateSubscriptionResponse(
                    header, body: &body, into: &written)
                self.encoder.arena.reset()
                let (response, expected) = self.encoder.subscriptionResponse(
                    header, body: &packedBody)
                MessageEncoder.pack(UnsafeMutableRawPointer(response), into: &packed)
                #expect(outcomes == expected)
                try #require(Array(written.bytes) == Array(packed.bytes))
                #expect(body.isAtCleanEnd && packedBody.isAtCleanEnd)
            }
        }
    }

    /// What a response takes most beside its result: subscriptions of one letter before 1970.
    @Test func aResponseOfManyShortSubscriptionsFits() throws {
        var buffer = ByteBuffer()
        let start = ResultHeader(
            rejection: .none, flags: .replayed, kind: .updateSubscription, lsn: .max
        ).begin(in: &buffer)
        SubscriptionResultBody(
            profileID: ProfileID(high: .max, low: .max), revision: .max, redirectedFrom: nil,
            changeCount: 0
        ).write(into: &buffer)
        buffer.appendVarint(3_000)
        for _ in 0 ..< 3_000 {
            buffer.append(Channel.sms.rawValue)
            [UInt8]("a".utf8).withUnsafeBytes { buffer.appendPrefixed($0) }
            buffer.append(SubscriptionState.subscribed.rawValue)
            buffer.append(UInt8(1))
            buffer.append(Int64(-1))
        }
        ResultHeader.end(at: start, in: &buffer)
        var body = ByteReader(buffer.bytes)
        let header = try #require(ResultHeader(from: &body))
        var output = ByteBuffer()
        _ = self.encoder.encodeUpdateSubscriptionResponse(header, body: &body, into: &output)
        #expect(output.count > 2 * header.totalBytes)
        #expect(body.isAtCleanEnd)
    }
}
