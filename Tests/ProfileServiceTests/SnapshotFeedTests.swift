import Bytes
import IOCore
import Profiles
import Storage
import Testing

@testable import ProfileService

@Suite struct SnapshotFeedTests {
    private final class NoWaker: Waker {
        func wake() {}
    }

    private static let position = SnapshotPosition(
        lsn: 2, receivedAt: 5, rulesVersion: 1, resultsDigest: 6,
        log: LogPosition(index: 2, check: 4))

    /// A block with something in it.
    private static func block() -> SnapshotBlock? {
        let store = Store(
            genesis: Genesis(
                directoryID: ProfileID(high: 1, low: 2), hashKey: SipHashKey(k0: 3, k1: 4),
                secret: SipHashKey(k0: 5, k1: 6),
                limits: StoreLimits()))
        store.beginSnapshot()
        while !store.isSnapshotComplete { store.advanceSnapshot(bytes: 1 << 20) }
        return store.takeSnapshotBlock()
    }

    private static func isNothing(_ event: SnapshotFeed.Event) -> Bool {
        if case .nothing = event { true } else { false }
    }

    @Test func eventsComeInTheirOrder() throws {
        let feed = SnapshotFeed(logWaker: NoWaker(), waker: NoWaker())
        #expect(feed.wanted == nil)
        feed.want()
        let number = try #require(feed.wanted)
        feed.begin(number, at: Self.position)
        #expect(feed.wanted == nil && feed.isRunning(number))
        let block = try #require(Self.block())
        #expect(feed.push(block, of: number) == block.bytes.count)
        feed.complete(number)
        #expect(!feed.isRunning(number))
        guard case .begun(let position) = feed.next(), case .block(let taken) = feed.next(),
            case .complete = feed.next()
        else {
            Issue.record("another order")
            return
        }
        #expect(position == Self.position && taken === block && feed.bytesWaiting == 0)
        #expect(Self.isNothing(feed.next()))
    }

    @Test func whatIsLeftOfAnAbandonedSnapshotReachesNoLaterOne() throws {
        let feed = SnapshotFeed(logWaker: NoWaker(), waker: NoWaker())
        feed.want()
        let first = try #require(feed.wanted)
        feed.begin(first, at: Self.position)
        feed.abandon()
        feed.want()
        // The committer has not noticed yet.
        _ = feed.push(try #require(Self.block()), of: first)
        feed.complete(first)
        feed.fail(first, .noSpace)
        #expect(Self.isNothing(feed.next()) && feed.bytesWaiting == 0)
        let second = try #require(feed.wanted)
        #expect(second != first)
        feed.begin(first, at: Self.position)
        #expect(feed.wanted == second, "the number of the first begins nothing")
        feed.begin(second, at: Self.position)
        #expect(feed.isRunning(second) && !feed.isRunning(first))
    }

    @Test func headroomEndsWithTwoBlocks() throws {
        let feed = SnapshotFeed(logWaker: NoWaker(), waker: NoWaker())
        feed.want()
        let number = try #require(feed.wanted)
        feed.begin(number, at: Self.position)
        let block = try #require(Self.block())
        while feed.hasHeadroom { _ = feed.push(block, of: number) }
        #expect(
            feed.bytesWaiting >= SnapshotFeed.headroomBytes
                && feed.bytesWaiting < SnapshotFeed.headroomBytes + block.bytes.count)
        _ = (feed.next(), feed.next())
        #expect(feed.hasHeadroom)
    }
}
