import IOSimulation
import Testing

@testable import Storage

/// What a verification says of the segments of a feed.
@Suite struct FeedSurveyTests {
    private static let frames = 40

    /// The files of a feed of several segments.
    private static func files() -> [(path: String, content: [UInt8])] {
        let fixture = FeedFixture.begun()
        fixture.run(0 ..< Self.frames)
        #expect(fixture.sync() == true && fixture.segmentLSNs.count >= 3)
        return fixture.disk.snapshot.files.filter { $0.path.hasPrefix("d/feed/") }
            .map { ($0.path, Array($0.content)) }
    }

    private static func survey(_ files: [(path: String, content: [UInt8])]) -> [FeedSurvey.Segment]
    {
        let disk = SimulatedDisk(DiskState(files: files))
        let survey = FeedSurvey(
            FeedFiles(disk, in: "d"), files.map { String($0.path.dropFirst("d/feed/".count)) },
            of: FeedFixture.directoryID)
        var found: [FeedSurvey.Segment] = []
        survey.forEachSegment { found.append($0) }
        return found
    }

    @Test func wholeFeedIsReadThroughItsEndWithoutANote() {
        let found = Self.survey(Self.files())
        #expect(found.allSatisfy { $0.note == nil && $0.blocks > 0 && $0.bytes > 64 })
        #expect(found[0].firstLSN == 1)
        #expect(found.last?.throughLSN == FeedFixture.lastLSN(of: Self.frames - 1))
        let expected = FeedFixture.expected(from: 1, frames: Self.frames).count
        #expect(found.map(\.frames).reduce(0, +) == expected)
        for (segment, next) in zip(found, found.dropFirst()) {
            #expect(segment.throughLSN + 1 == next.firstLSN)
        }
    }

    /// Every byte is covered: of header, blocks and frames.
    @Test func flippedBytesAreNoted() {
        let files = Self.files()
        for offset in stride(from: 0, to: files[1].content.count, by: 7) {
            var damaged = files
            damaged[1].content[offset] ^= 0x10
            let found = Self.survey(damaged)
            #expect(found[1].note != nil, "byte \(offset)")
            #expect(found[0].note == nil && found[2].note == nil, "byte \(offset)")
        }
    }

    @Test func missingSegmentIsNotedAtTheOneBefore() {
        var files = Self.files()
        files.remove(at: 1)
        let found = Self.survey(files)
        #expect(found[0].note?.contains("ends before the next segment") == true)
        #expect(found.dropFirst().allSatisfy { $0.note == nil })
    }

    /// A power failure may take the end of the last one: whole blocks are no note.
    @Test func lastSegmentMayEndAfterAnyBlock() throws {
        var files = Self.files()
        let last = files.count - 1
        let whole = try #require(Self.survey(files).last)
        files[last].content.removeLast()
        let cut = try #require(Self.survey(files).last)
        #expect(cut.blocks == whole.blocks - 1 && cut.note?.contains("is not whole") == true)
        files[last].content.removeSubrange(64...)
        let empty = try #require(Self.survey(files).last)
        #expect(empty.blocks == 0 && empty.throughLSN == empty.firstLSN - 1 && empty.note == nil)
    }

    @Test func segmentOfAnotherDirectoryIsNoted() {
        let files = Self.files()
        let disk = SimulatedDisk(DiskState(files: files))
        let survey = FeedSurvey(
            FeedFiles(disk, in: "d"), files.map { String($0.path.dropFirst("d/feed/".count)) },
            of: DirectoryID(high: 1, low: 2))
        survey.forEachSegment {
            #expect($0.note?.contains("another directory") == true && $0.blocks == 0)
        }
        #expect(survey.others.isEmpty)
    }
}
