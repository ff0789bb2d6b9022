import Testing

@testable import ProfileService

/// Names of projects, compared by words that overlap.
@Suite struct ProjectNameTests {
    private static func equals(_ name: ProjectName, _ other: [UInt8]) -> Bool {
        other.withUnsafeBytes { name.equals($0) }
    }

    @Test func everyLengthEqualsItselfAndNothingThatDiffersInOneByte() throws {
        let long = (0 ..< 64).map { UInt8(ascii: "a") + $0 % 26 }
        for count in 1 ... ProjectName.bytesMax {
            let text = Array(long.prefix(count))
            let name = try #require(ProjectName(text))
            #expect(Self.equals(name, text))
            for index in text.indices {
                var other = text
                other[index] ^= 1
                #expect(!Self.equals(name, other), "\(count), \(index)")
            }
            #expect(!Self.equals(name, Array(long.prefix(count + 1))))
            #expect(!Self.equals(name, Array(long.prefix(count - 1))))
        }
    }

    @Test func missingAndLongNamesEqualNothing() {
        #expect(!Self.equals(ProjectName(), []))
        #expect(ProjectName([]) == nil)
        #expect(ProjectName(Array(repeating: 97, count: 64)) == nil)
    }
}
