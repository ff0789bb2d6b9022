import Bytes
import Testing

@testable import GRPCTransport

@Suite struct EncodingTests {
    @Test(
        arguments: [
            ("1n", 1), ("1u", 1_000), ("1m", 1_000_000), ("1S", 1_000_000_000),
            ("1M", 60_000_000_000),
            ("1H", 3_600_000_000_000), ("0S", 0), ("99999999S", 99_999_999_000_000_000),
            ("99999999H", UInt64.max),
        ] as [(String, UInt64)])
    func G13_timeoutsAreReadAndSaturate(text: String, nanoseconds: UInt64) {
        #expect(Array(text.utf8).withUnsafeBytes { GRPCTimeout.nanoseconds($0) } == nanoseconds)
    }

    @Test(arguments: [
        "", "1", "S", "123456789S", "-1S", "+1S", "1.5S", " 1S", "1 S", "1s", "1h", "٣S",
    ])
    func G14_malformedTimeoutsAreInvalid(text: String) {
        #expect(Array(text.utf8).withUnsafeBytes { GRPCTimeout.nanoseconds($0) } == nil)
    }

    @Test(arguments: [
        ("plain text", "plain text"), ("100%", "100%25"), ("a\nb", "a%0Ab"), ("é", "%C3%A9"),
        ("~ ~", "~ ~"),
        ("\u{7F}", "%7F"), ("", ""),
    ])
    func G42_messagesArePercentEncoded(text: String, encoded: String) {
        #expect(String(decoding: PercentEncoding.encode(text), as: UTF8.self) == encoded)
    }

    @Test func G52_longMessagesAreCutBetweenScalars() {
        let encoded = PercentEncoding.encode(String(repeating: "é", count: 1_000))
        #expect(encoded.count == 1_020)
        #expect(encoded.count % 6 == 0)
    }

    @Test(arguments: [
        ("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"),
        ("fooba", "Zm9vYmE"), ("foobar", "Zm9vYmFy"),
    ])
    func G17_binaryMetadataIsUnpaddedBase64(text: String, encoded: String) {
        // Vectors: RFC 4648, section 10, without their padding.
        #expect(String(decoding: Base64.encodeUnpadded(Array(text.utf8)), as: UTF8.self) == encoded)
    }

    @Test func anEmptyBucketFillsWithTime() {
        var bucket = TokenBucket(burst: 2, perSecond: 10, nowNanoseconds: 0)
        let times: [UInt64] = [0, 0, 50_000_000, 150_000_000]
        #expect(times.map { bucket.take(nowNanoseconds: $0) } == [true, true, false, true])
    }

    @Test func pathsAreFoundByteForByte() {
        let table = MethodTable((0 ..< 40).map { RPCMethodDescriptor(path: "/s/m\($0)") })
        for number in 0 ..< 40 {
            #expect(Array("/s/m\(number)".utf8).withUnsafeBytes { table.index(of: $0) } == number)
        }
        for path in ["", "/", "/s/M1", "/s/m40", "/s/m1/"] {
            #expect(Array(path.utf8).withUnsafeBytes { table.index(of: $0) } == nil)
        }
    }
}
