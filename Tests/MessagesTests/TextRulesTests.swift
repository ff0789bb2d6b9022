import Bytes
import CMessages
import Testing

@testable import Messages

private func bytes<Result>(_ text: String, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    Array(text.utf8).withUnsafeBytes(body)
}

@Suite struct TextRulesTests {
    @Test(arguments: [
        ("a", true), ("A_9", true), (String(repeating: "a", count: 30), true),
        (String(repeating: "a", count: 31), false),
        ("", false), ("a-b", false), ("a b", false), ("é", false),
    ])
    func names(text: String, isValid: Bool) {
        #expect(bytes(text) { TextRules.isName($0) } == isValid)
    }

    private static func names(ofLength count: Int, with byte: UInt8) -> [[UInt8]] {
        (0 ..< count).map { index in
            var name = (0 ..< count).map { UInt8(ascii: "A") + UInt8($0 % 26) }
            name[index] = byte
            return name
        }
    }

    @Test func eachByteIsWrittenInLowerCaseOrRejectedAsAName() {
        for byte in UInt8.min ... .max {
            // In every byte of names of every length: words are read whole, and overlap.
            for name in (1 ... 30).flatMap({ Self.names(ofLength: $0, with: byte) }) {
                var buffer = ByteBuffer()
                let isName = name.withUnsafeBytes { ValuePacker.appendName($0, into: &buffer) }
                #expect(isName == name.withUnsafeBytes { TextRules.isName($0) })
                if isName {
                    #expect(Array(buffer.bytes) == [UInt8(name.count)] + name.map(TextRules.lower))
                }
            }
        }
    }

    /// Bytes above ASCII carry into their neighbours where eight are tested at once.
    @Test func noPairOfBytesOutsideOfNamesIsTakenForOne() {
        var buffer = ByteBuffer()
        for first in UInt8.min ... .max {
            for second in UInt8.min ... .max {
                let name: [UInt8] = [0x61, first, second, 0x39, 0x5F, 0x7A, 0x41, 0x30]
                let isName = name.withUnsafeBytes { ValuePacker.appendName($0, into: &buffer) }
                buffer.removeAll()
                #expect(isName == name.withUnsafeBytes { TextRules.isName($0) })
            }
        }
    }

    @Test(arguments: [
        ("default", true), ("0", true), ("a_-", true), (String(repeating: "a", count: 63), true),
        (String(repeating: "a", count: 64), false), ("", false), ("_a", false), ("-a", false),
        ("A", false), ("a.b", false),
    ])
    func projects(text: String, isValid: Bool) {
        #expect(bytes(text) { TextRules.isProject($0) } == isValid)
    }

    @Test(arguments: [
        ("ann", true), (" ann ", true), (String(repeating: "x", count: 512), true),
        (String(repeating: "x", count: 513), false),
        (String(repeating: "é", count: 512), true), (String(repeating: "€", count: 341), true),
        (String(repeating: "€", count: 342), false), ("", false), (" ", false),
        ("\u{2003}\u{3000}", false), ("a\nb", false),
        ("a\rb", false), ("a\u{85}b", false), ("a\u{2028}b", false), ("null", false),
        ("NULL", false), ("Undefined", false),
        ("(null)", false), ("[object Object]", false), ("TRUE", false), ("False", false),
        ("NaN", false), ("Infinity", false),
        ("-INFINITY", false), ("nil", false), ("nulls", true), ("none", true),
    ])
    func identifiers(text: String, isValid: Bool) {
        #expect((bytes(text) { TextRules.identifierError($0) } == nil) == isValid)
    }

    @Test(arguments: [
        ("https://example.org", true), ("http://e.org:80/a?b#c", true), ("app+x://host", true),
        ("http://u@h/", true),
        ("https://", false), ("example.org", false), ("//example.org", false),
        ("http:/example.org", false), ("1http://e", false),
        ("http:///path", false), ("http://:80", false), ("http://a b", false), ("", false),
        ("http://e/" + String(repeating: "x", count: 2_039), true),
        ("http://e/" + String(repeating: "x", count: 2_040), false),
    ])
    func urls(text: String, isValid: Bool) {
        #expect((bytes(text) { TextRules.urlError($0) } == nil) == isValid)
    }

    @Test(
        arguments: [
            (Int64(31_535_999), UInt64(0), false), (31_536_000, 0, true),
            (253_402_300_799, 999_999_999, true),
            (253_402_300_800, 0, false), (-1, 0, false), (1_700_000_000, 1_000_000_000, false),
        ] as [(Int64, UInt64, Bool)])
    func times(seconds: Int64, nanos: UInt64, isValid: Bool) {
        var time = Google__Protobuf__Timestamp()
        time.seconds = seconds
        time.nanos = Int32(truncatingIfNeeded: nanos)
        #expect((TimeRules.microseconds(time) != nil) == isValid)
    }

    @Test(
        arguments: [
            (Int64(-62_135_596_800), Int32(0), Int64(-62_135_596_800_000_000)),
            (-62_135_596_801, 999_999_999, nil), (-1, 999_999_999, -1), (-1, -1, nil),
            (-1, 1_000_000_000, nil), (0, 0, 0), (31_535_999, 0, 31_535_999_000_000),
            (253_402_300_799, 999_999_999, 253_402_300_799_999_999), (253_402_300_800, 0, nil),
        ] as [(Int64, Int32, Int64?)])
    func valuesAreOfTheYears1To9999(seconds: Int64, nanos: Int32, microseconds: Int64?) {
        var time = Google__Protobuf__Timestamp()
        (time.seconds, time.nanos) = (seconds, nanos)
        let found = TimeRules.microseconds(time, from: TimeRules.valueSecondsMin)
        #expect(found == microseconds)
        guard let found else { return }
        let parts = TimeRules.parts(found)
        #expect(parts.seconds == seconds && parts.nanoseconds == nanos / 1_000 * 1_000)
    }

    @Test func effectiveTimeFollowsTheClockOfTheSender() {
        #expect(TimeRules.effective(occurredAt: nil, sentAt: 5, receivedAt: 100) == 100)
        #expect(TimeRules.effective(occurredAt: 7, sentAt: nil, receivedAt: 100) == 7)
        #expect(TimeRules.effective(occurredAt: 1_000, sentAt: 1_010, receivedAt: 100) == 90)
        #expect(TimeRules.effective(occurredAt: 1_010, sentAt: 1_000, receivedAt: 100) == 1_010)
    }
}
