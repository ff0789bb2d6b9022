import Foundation
import IOCore
import IOLinux
import IOSimulation
import Testing

@testable import Storage

/// Changes leave the disk after 23 hours, or when they are too many; whoever reads them goes on.
@Suite struct FeedRetentionTests {
    private static let hour = 3_600

    /// A feed with one frame each ten minutes.
    private static func run(hours: Int, _ fixture: FeedFixture) {
        for index in 0 ..< hours * 6 {
            fixture.append(index)
            fixture.pass(seconds: 600)
        }
    }

    /// When the frame at a place was appended, in microseconds since 1970.
    private static func time(of lsn: UInt64) -> Int64 {
        SimulatedClock().wallMicroseconds() + Int64((lsn - 1) / 3) * 600_000_000
    }

    @Test func segmentHasAnHourAndGoesWhenItsOldestChangeIs23HoursOld() {
        let clock = SimulatedClock()
        let fixture = FeedFixture.begun(clock: clock) { $0.segmentBytesMax = 1 << 20 }
        Self.run(hours: 30, fixture)
        let lsns = fixture.segmentLSNs
        // About one for each hour; frames that change nothing begin none.
        #expect((20 ... 25).contains(lsns.count), "\(lsns)")
        for (first, next) in zip(lsns, lsns.dropFirst()) {
            #expect(Self.time(of: next) - Self.time(of: first) >= 3_600_000_000 - 600_000_000)
        }
        let oldest = Self.time(of: fixture.feed.earliestLSN)
        let age = clock.wallMicroseconds() - oldest
        #expect(age <= 23 * 3_600_000_000 + 600_000_000 && age > 21 * 3_600_000_000)
        #expect(FeedFixture.complaint(fixture.feed, frames: 180) == nil)
    }

    @Test func idleFeedLosesItsLastSegmentToo() {
        let fixture = FeedFixture.begun()
        fixture.run(0 ..< 5)
        fixture.pass(seconds: 2)
        #expect(fixture.segmentLSNs.count > 0)
        fixture.pass(seconds: 23 * Self.hour)
        fixture.pass(seconds: 1)
        #expect(fixture.segmentLSNs.isEmpty)
        #expect(fixture.feed.earliestLSN == 16)
        #expect(fixture.feed.look { $0.blocks.isEmpty }, "not in memory either")
        #expect(FeedFixture.read(fixture.feed, from: 1).gone == 16)
        fixture.run(5 ..< 9)
        #expect(FeedFixture.complaint(fixture.feed, frames: 9) == nil)
    }

    @Test func clockThatIsSetBackKeepsNothingLonger() {
        let clock = SimulatedClock()
        let fixture = FeedFixture.begun(clock: clock)
        fixture.run(0 ..< 5)
        fixture.pass(seconds: 2)
        clock.jump(microseconds: -86_400_000_000 * 10)
        fixture.pass(seconds: 23 * Self.hour)
        #expect(fixture.segmentLSNs.isEmpty)
    }

    @Test func feedFromTheFutureIsNotUsed() {
        let fixture = FeedFixture.begun()
        fixture.run(0 ..< 20)
        _ = fixture.sync()
        let clock = SimulatedClock()
        clock.jump(microseconds: -2 * 3_600_000_000)
        let again = FeedFixture(SimulatedDisk(fixture.disk.snapshot), clock: clock)
        again.open(behind: 60)
        #expect(again.feed.earliestLSN == 61)
    }

    @Test func startDropsWhatIsTooOldAtOnce() {
        let fixture = FeedFixture.begun()
        fixture.run(0 ..< 20)
        _ = fixture.sync()
        let clock = SimulatedClock()
        clock.advance(nanoseconds: 24 * 3_600_000_000_000)
        let again = FeedFixture(SimulatedDisk(fixture.disk.snapshot), clock: clock)
        again.open(behind: 60)
        again.work()
        #expect(again.segmentLSNs.isEmpty && again.feed.earliestLSN == 61)
    }

    @Test func oldestSegmentsGoBeyondTheBytes() {
        let fixture = FeedFixture.begun {
            $0.bytesMax = 16_384
            $0.segmentBytesMax = 2_048
        }
        fixture.run(0 ..< 300)
        fixture.pass(seconds: 2)
        #expect(fixture.feed.fileBytes <= 16_384 && fixture.feed.fileBytes > 8_000)
        let onDisk = fixture.disk.snapshot.files.reduce(0) { $0 + $1.content.count }
        #expect(onDisk == fixture.feed.fileBytes)
        #expect(fixture.feed.earliestLSN == fixture.segmentLSNs.first)
        #expect(FeedFixture.complaint(fixture.feed, frames: 300) == nil)
    }

    @Test func cursorInASegmentThatIsRemovedIsGoneAndItsBytesStay() throws {
        let fixture = FeedFixture.begun()
        fixture.run(0 ..< 60)
        let cursor = fixture.feed.makeCursor(from: 1)
        guard case .frames(let slice) = cursor.next(maxBytes: 200) else {
            Issue.record("there are frames")
            return
        }
        fixture.pass(seconds: 23 * Self.hour)
        #expect(fixture.segmentLSNs.isEmpty)
        let frame = try #require(FeedFrame(slice.bytes))
        #expect(Array(frame.records) == FeedFixture.records(0))
        guard case .gone(181) = cursor.next(maxBytes: 200) else {
            Issue.record("the position is gone")
            return
        }
    }

    /// Readers on threads of their own, while the writer removes what they read, on a real disk.
    @Test func readersBesideARemovalSeeNothingWrong() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent(
            "feed-\(UInt64.random(in: 0 ... .max))"
        ).path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let files = LinuxFileSystem()
        let lock = try files.lockDirectory(directory)
        defer { lock.release() }
        let feed = Feed(
            FeedFiles(files, in: directory),
            options: FeedFixture.options {
                $0.bytesMax = 1 << 16
                $0.segmentBytesMax = 8_192
                // Removals beside all of the reading, however fast it is.
                $0.lookNanoseconds = 1_000_000
            }, logWaker: CountingWaker(), waker: CountingWaker())
        let clock = LinuxClock()
        let writer = FeedWriter(feed, clock: clock, onEvent: { _ in })
        writer.open(directoryID: FeedFixture.directoryID, behind: 0)
        let frames = 4_000
        let wrong = Guarded<[String]>([])
        let read = Guarded(0)
        let threads = LinuxThreadStarter()
        let readers = (0 ..< 3).map { number in
            threads.start(name: "reader-\(number)") {
                while feed.headLSN < FeedFixture.lastLSN(of: frames - 1) {
                    let found = FeedFixture.read(
                        feed, from: feed.earliestLSN, maxBytes: 300 << number)
                    read.withLock { $0 += found.indices.count }
                    if let text = found.wrong { wrong.withLock { $0.append(text) } }
                    // From one position to the next there is never a hole.
                    guard let first = found.indices.first, let last = found.indices.last else {
                        continue
                    }
                    let whole = (first ... last).filter(FeedFixture.hasChanges)
                    if found.indices != whole { wrong.withLock { $0.append("a hole") } }
                }
            }
        }
        for index in 0 ..< frames {
            FeedFixture.append(index, to: feed, clock: clock.wallMicroseconds())
            while writer.step(all: index % 50 == 0) == .now {}
        }
        for reader in readers { reader.join() }
        while writer.step(all: true) == .now {}
        #expect(wrong.withLock { $0 } == [])
        #expect(read.withLock { $0 } > 0 && feed.earliestLSN > 1)
        #expect(FeedFixture.complaint(feed, frames: frames) == nil)
    }
}
