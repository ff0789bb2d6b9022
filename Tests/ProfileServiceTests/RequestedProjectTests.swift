import Testing

@testable import ProfileService

@Suite struct RequestedProjectTests {
    private static func find(_ bytes: [UInt8]) -> String? {
        bytes.withUnsafeBytes { message in
            RequestedProject.find(in: message).map { String(decoding: $0, as: UTF8.self) }
        }
    }

    private static func field(_ number: UInt8, _ text: String) -> [UInt8] {
        [number << 3 | 2, UInt8(text.utf8.count)] + Array(text.utf8)
    }

    @Test func theLastOneCounts() {
        #expect(Self.find([]) == "")
        #expect(Self.find(Self.field(1, "a")) == "a")
        #expect(Self.find(Self.field(2, "x") + Self.field(1, "a")) == "a")
        #expect(Self.find(Self.field(1, "a") + Self.field(2, "x") + Self.field(1, "b")) == "b")
        #expect(Self.find(Self.field(1, "a") + Self.field(1, "")) == "")
    }

    @Test func otherFieldsAreSkippedWhateverTheirType() {
        let others: [[UInt8]] = [
            [2 << 3, 0xFF, 0x01], [3 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8], [4 << 3 | 5, 1, 2, 3, 4],
            [0x82, 0x01, 1, 10],
        ]
        for other in others { #expect(Self.find(other + Self.field(1, "a") + other) == "a") }
        // A number inside of another message is not the request's.
        #expect(Self.find([2 << 3 | 2, 3] + Self.field(1, "b") + Self.field(1, "a")) == "a")
    }

    /// A tag may be written in more bytes than it needs; parsers take it all the same.
    @Test func longFormsOfTheTagAreTheSameField() {
        #expect(Self.find(Self.field(1, "a") + [0x8A, 0x00, 1] + Array("b".utf8)) == "b")
        #expect(Self.find([0x8A, 0x80, 0x80, 0x00, 0x81, 0x00] + Array("b".utf8)) == "b")
    }

    @Test func anyCutIsReportedAndReadsNothingBeyond() {
        let whole: [UInt8] =
            Self.field(1, "abc") + [2 << 3, 0xFF, 0x01, 3 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8]
            + [4 << 3 | 5, 1, 2, 3, 4]
        let ends: Set<Int> = [0, 5, 8, 17, 22]
        for count in 0 ... whole.count {
            #expect((Self.find(Array(whole[..<count])) != nil) == ends.contains(count), "\(count)")
        }
        #expect(Self.find([10] + [UInt8](repeating: 0xFF, count: 20)) == nil)
        #expect(Self.find([1 << 3 | 3, 1 << 3 | 4]) == nil, "groups are not of proto3")
        #expect(Self.find([10, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]) == nil)
    }
}
