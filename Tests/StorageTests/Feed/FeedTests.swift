import IOCore
import IOSimulation
import Testing

@testable import Storage

/// What is appended is read, in order and without a gap, from memory and from files.
@Suite struct FeedTests {
    @Test(arguments: [1, 700, 1 << 20])
    func everyFrameIsReadFromMemoryAndFiles(maxBytes: Int) {
        let fixture = FeedFixture.begun()
        #expect(FeedFixture.read(fixture.feed, from: 1) == FeedFixture.Read())
        for index in 0 ..< 120 {
            fixture.append(index)
            if index % 7 == 0 { fixture.work() }
        }
        #expect(fixture.segmentLSNs.count > 3)
        #expect(FeedFixture.complaint(fixture.feed, frames: 120, maxBytes: maxBytes) == nil)
        #expect(fixture.feed.earliestLSN == 1 && fixture.feed.headLSN == 360)
    }

    @Test func everyPositionIsAPlaceToBegin() {
        let fixture = FeedFixture.begun()
        fixture.run(0 ..< 60)
        for lsn in 1 ... UInt64(181) {
            let found = FeedFixture.read(fixture.feed, from: lsn)
            #expect(found.indices == FeedFixture.expected(from: lsn, frames: 60), "from \(lsn)")
            #expect(found.wrong == nil && found.through == 180)
        }
    }

    @Test func sliceHasAtLeastOneFrameAndElseNoMoreThanWanted() {
        let fixture = FeedFixture.begun()
        fixture.run(0 ..< 60)
        let cursor = fixture.feed.makeCursor(from: 1)
        var last: UInt64 = 0
        while case .frames(let slice) = cursor.next(maxBytes: 300) {
            let frames = Array(slice.frames)
            #expect(slice.bytes.count <= 300 || frames.count == 1)
            #expect(slice.throughLSN > last && slice.throughLSN == cursor.nextLSN - 1)
            last = slice.throughLSN
        }
        #expect(last == 180)
    }

    @Test func cursorAtTheHeadGoesOnWithWhatComes() {
        let fixture = FeedFixture.begun()
        let cursor = fixture.feed.makeCursor(from: 1)
        for index in 0 ..< 40 {
            guard case .atHead = cursor.next(maxBytes: 1 << 20) else {
                Issue.record("more than was appended, at \(index)")
                return
            }
            #expect(cursor.nextLSN == UInt64(index) * 3 + 1)
            fixture.append(index)
            fixture.work()
            guard FeedFixture.hasChanges(index) else { continue }
            guard case .frames(let slice) = cursor.next(maxBytes: 1 << 20) else {
                Issue.record("nothing at \(index)")
                return
            }
            #expect(slice.throughLSN == UInt64(index + 1) * 3)
        }
    }

    @Test func waiterIsWokenOnceByTheNextFrameWithChanges() {
        let fixture = FeedFixture.begun()
        let waiter = CountingWaker()
        #expect(fixture.feed.wake(waiter, behind: 0) && fixture.feed.wake(waiter, behind: 0))
        fixture.feed.advance(to: 0)
        #expect(waiter.count == 0)
        fixture.append(0)
        #expect(waiter.count == 1)
        fixture.append(1)
        #expect(waiter.count == 1, "it did not ask again")
        #expect(!fixture.feed.wake(waiter, behind: 3), "frame 1 is behind lsn 3")
        #expect(fixture.feed.wake(waiter, behind: 6))
        fixture.append(2)
        #expect(waiter.count == 1, "frame 2 changes nothing")
        fixture.append(3)
        #expect(waiter.count == 2)
    }

    @Test func memoryKeepsTheNewestAndEverythingThatIsNotSynced() {
        let fixture = FeedFixture.begun()
        fixture.run(0 ..< 200)
        fixture.pass(seconds: 2)
        let options = fixture.feed.options
        #expect(fixture.feed.unsyncedBytes < options.syncBytes)
        let held = fixture.feed.look { $0.heldBytes }
        #expect(held <= options.memoryBytes + options.syncBytes + 4_000 && held > 0)
        let before = fixture.disk.snapshot
        // Near the head no file is read.
        fixture.disk.plan(DiskFaultPlan(.inputOutput, of: .reads, number: 1))
        #expect(FeedFixture.read(fixture.feed, from: 580).wrong == nil)
        #expect(fixture.disk.faultsHit == 0)
        #expect(before.files.map(\.content) == fixture.disk.snapshot.files.map(\.content))
    }

    @Test func withoutHeadroomTheLogIsWokenWhenThereIsSome() {
        let fixture = FeedFixture.begun()
        var index = 0
        while fixture.feed.hasHeadroom {
            fixture.append(index)
            index += 1
        }
        #expect(fixture.feed.unsyncedBytes >= fixture.feed.options.unsyncedBytesMax)
        #expect(fixture.logWakes.count == 0)
        fixture.work()
        #expect(fixture.logWakes.count == 1 && fixture.feed.hasHeadroom)
        #expect(FeedFixture.complaint(fixture.feed, frames: index) == nil)
        fixture.append(index)
        fixture.work()
        #expect(fixture.logWakes.count == 1, "nobody waits")
    }

    @Test func frameThatIsTooLargeBeginsTheFeedAnewBehindIt() {
        let fixture = FeedFixture.begun()
        fixture.run(0 ..< 10)
        let bytes = FeedOptions.frameBytesMax
        let large = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 1)
        defer { large.deallocate() }
        fixture.feed.append(
            firstLSN: 31, lastLSN: 33, flags: [], clock: 0, records: UnsafeRawBufferPointer(large))
        #expect(fixture.feed.earliestLSN == 34 && fixture.feed.headLSN == 33)
        fixture.run(11 ..< 40)
        #expect(FeedFixture.complaint(fixture.feed, frames: 40) == nil)
        fixture.pass(seconds: 2)
        #expect(fixture.segmentLSNs.allSatisfy { $0 >= 34 })
        #expect(fixture.feed.metrics.losses == 1)
        guard case .lost(34, _)? = fixture.events.last else {
            Issue.record("\(fixture.events)")
            return
        }
    }

    @Test func changesAreInAFileASecondLaterAndFullBlocksAtOnce() {
        let fixture = FeedFixture.begun()
        fixture.work()
        fixture.append(0)
        fixture.work()
        #expect(fixture.segmentLSNs.isEmpty)
        fixture.pass(seconds: 1)
        #expect(fixture.segmentLSNs == [1])
        #expect(fixture.feed.metrics.blocks == 1)
        // 2,600 bytes at most, and the next frame does not fit beside it.
        for index in 1 ..< 12 { fixture.append(index) }
        fixture.work()
        #expect(fixture.feed.metrics.blocks > 1)
        #expect(fixture.wakes.count > 0)
    }
}
