import Bytes
import Foundation
import IOSimulation
import Testing

@testable import Storage

/// The format as documented and as an independent program writes it: neither the page nor the
/// golden files may drift from the code.
@Suite struct FeedFormatTests {
    /// The files that `write.py` has written beside itself.
    private static func golden() throws -> [(path: String, content: [UInt8])] {
        let folder = try #require(
            Bundle.module.url(forResource: "Golden/feed-v1", withExtension: nil))
        return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
            .filter { $0.hasSuffix(FeedFiles.suffix) }
            .map {
                (
                    "d/feed/\($0)",
                    Array(try Data(contentsOf: folder.appendingPathComponent($0)))
                )
            }
    }

    private static func append(
        _ feed: Feed, _ lsns: ClosedRange<UInt64>, _ flags: FeedFrameFlags, _ records: String,
        _ clock: SimulatedClock
    ) {
        Array(records.utf8).withUnsafeBytes {
            feed.append(
                firstLSN: lsns.lowerBound, lastLSN: lsns.upperBound, flags: flags,
                clock: clock.wallMicroseconds(), records: $0)
        }
    }

    @Test func goldenFeedOfVersion1IsRead() throws {
        let clock = SimulatedClock()
        clock.advance(nanoseconds: 7_200_000_000_000)
        let fixture = FeedFixture(
            SimulatedDisk(DiskState(files: try Self.golden())), clock: clock)
        fixture.open(behind: 20)
        #expect(fixture.feed.earliestLSN == 1 && fixture.feed.headLSN == 20)
        let cursor = fixture.feed.makeCursor(from: 1)
        var seen: [String] = []
        while case .frames(let slice) = cursor.next(maxBytes: 1 << 20) {
            for frame in slice.frames {
                seen.append(
                    "\(frame.firstLSN)-\(frame.lastLSN) \(frame.flags.rawValue) "
                        + String(decoding: frame.records, as: UTF8.self))
            }
        }
        #expect(seen == ["1-3 1 created", "7-7 0 event", "15-20 1 erased"])
    }

    @Test func goldenFeedOfVersion1IsWhatIsWritten() throws {
        let clock = SimulatedClock()
        let fixture = FeedFixture.begun(clock: clock)
        fixture.work()
        Self.append(fixture.feed, 1 ... 3, .identity, "created", clock)
        fixture.feed.advance(to: 6)
        Self.append(fixture.feed, 7 ... 7, [], "event", clock)
        fixture.feed.advance(to: 8)
        fixture.pass(seconds: 2)
        fixture.feed.advance(to: 12)
        #expect(fixture.sync() == true)
        fixture.pass(seconds: 3_600)
        fixture.feed.advance(to: 14)
        Self.append(fixture.feed, 15 ... 20, .identity, "erased", clock)
        #expect(fixture.sync() == true)
        let files = fixture.disk.snapshot.files
        let golden = try Self.golden()
        #expect(files.map(\.path) == golden.map(\.path))
        #expect(files.map(\.content) == golden.map(\.content))
    }

    @Test func documentedExampleIsTheBeginningOfTheGoldenFeed() throws {
        let example = try DocumentedExample.bytes(of: "feed.md")
        let golden = try #require(try Self.golden().first).content
        #expect(example == Array(golden.prefix(example.count)))
        #expect(example.count == 64 + 48 + 60)
    }

    @Test(arguments: [Int64.min, -1, .max])
    func headerWithAnInvalidTimeIsNotRead(microseconds: Int64) {
        let segment = FeedSegmentHeader(
            directoryID: FeedFixture.directoryID, firstLSN: 1, oldestAt: microseconds)
        var buffer = ByteBuffer()
        segment.write(into: &buffer)
        #expect(FeedSegmentHeader.read(buffer.bytes) == nil)
        buffer.removeAll()
        FeedBlockHeader(
            payloadBytes: 0, firstLSN: 1, throughLSN: 1, oldestAt: microseconds, payloadCRC: 0
        ).write(into: &buffer, seed: segment.seed)
        #expect(FeedBlockHeader.read(buffer.bytes, seed: segment.seed) == nil)
    }

    @Test func namesSortAsLSNs() {
        #expect(FeedFiles.name(of: 1) == "00000000000000000001.feed")
        #expect(FeedFiles.name(of: .max) == "18446744073709551615.feed")
        #expect(FeedFiles.lsn(of: "00000000000000000042.feed") == 42)
        for name in [
            "42.feed", "0000000000000000004x.feed", "00000000000000000042.log",
            "99999999999999999999.feed", "+0000000000000000042.feed",
        ] {
            #expect(FeedFiles.lsn(of: name) == nil, "\(name)")
        }
    }
}
