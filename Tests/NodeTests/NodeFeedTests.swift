import IOSimulation
import ProfileClient
import ProfileService
import Profiles
import Storage
import TestSupport
import Testing

/// The feed of a whole node: what a crash takes of it a start makes again, frame by frame.
@Suite struct NodeFeedTests {
    private struct Frame: Equatable {
        var lsns: ClosedRange<UInt64>
        var flags: FeedFrameFlags
        var records: [UInt8]
    }

    /// Small sizes, so that few calls fill blocks and segments.
    private static func configure(_ configuration: inout NodeConfiguration) {
        configuration.feed.blockBytes = 1_024
        configuration.feed.segmentBytesMax = 4_096
        configuration.feed.memoryBytes = 4_096
        configuration.feed.syncBytes = 2_048
        configuration.feed.unsyncedBytesMax = 32_768
    }

    private static func start(_ disk: SimulatedDisk = SimulatedDisk()) throws -> NodeHarness {
        try NodeHarness.serving(disk, configure: Self.configure)
    }

    private static func feed(_ harness: NodeHarness) throws -> Feed {
        try #require(harness.node.recovered).feed
    }

    /// All frames from the beginning to the head.
    private static func frames(_ feed: Feed) -> [Frame] {
        let cursor = feed.makeCursor(from: feed.earliestLSN)
        var frames: [Frame] = []
        while true {
            switch cursor.next(maxBytes: 4_096) {
            case .atHead: return frames
            case .frames(let slice):
                for frame in slice.frames {
                    frames.append(
                        Frame(
                            lsns: frame.firstLSN ... frame.lastLSN, flags: frame.flags,
                            records: Array(frame.records)))
                }
            case .gone(let earliest):
                Issue.record("gone, from \(earliest)")
                return frames
            case .failed(let error):
                Issue.record("\(error.explanation)")
                return frames
            }
        }
    }

    /// Calls of several kinds, and some that change nothing.
    private static func write(_ harness: NodeHarness, _ numbers: Range<Int>) throws {
        for number in numbers {
            let name = "p\(number / 2 % 9)"
            let (method, request) =
                switch number % 7 {
                case 0: ("Identify", Requests.identify(name, #""n":\#(number)"#))
                case 3:
                    (
                        "UpdateSubscription",
                        Requests.subscription(
                            name, number % 2 == 0 ? "subscribed" : "unsubscribed", source: "user")
                    )
                case 5 where number % 4 == 1: ("EraseProfile", Requests.person("x\(number)"))
                // The same event twice in a row: the second one changes nothing.
                default: ("Track", Requests.track(name, ["e\(number / 2 * 2)"]))
                }
            let call = try harness.call(method, request)
            #expect(call.status == 0 || call.status == 5, "\(method): \(call.message)")
        }
    }

    private static func snapshot(_ harness: NodeHarness) throws {
        let call = try harness.call(.admin("CreateSnapshot"), "{}")
        #expect(call.status == 0, "\(call.message)")
    }

    @Test func feedHasTheChangesOfEveryCall() throws {
        let harness = try Self.start()
        try Self.write(harness, 0 ..< 40)
        let feed = try Self.feed(harness)
        #expect(feed.earliestLSN == 1)
        #expect(feed.headLSN == harness.node.recovered?.store.appliedLSN)
        let frames = Self.frames(feed)
        #expect(frames.count > 20 && frames.count < 40, "a duplicate changes nothing")
        #expect(frames.contains { $0.flags.contains(.identity) })
        #expect(frames.contains { !$0.flags.contains(.identity) })
        #expect(frames.allSatisfy { !$0.records.isEmpty })
        try harness.pass(milliseconds: 2_100)
        #expect(harness.disk.snapshot.files.contains { $0.path.hasPrefix("d/feed/") })
    }

    @Test func afterAKillTheFeedIsMadeAgain() throws {
        var harness = try Self.start()
        var before: [Frame] = []
        for round in 0 ..< 5 {
            try Self.write(harness, round * 30 ..< (round + 1) * 30)
            if round % 2 == 1 { try Self.snapshot(harness) }
            if round % 3 == 1 { try harness.pass(milliseconds: 1_500) }
            before = Self.frames(try Self.feed(harness))
            harness = try Self.start(harness.kill())
            let feed = try Self.feed(harness)
            #expect(feed.earliestLSN == 1, "round \(round)")
            #expect(Self.frames(feed) == before, "round \(round)")
        }
        #expect(before.count > 80)
        #expect(try Self.feed(harness).metrics.losses == 0)
    }

    @Test func afterAPowerCutASnapshotStillHasTheFeedBeforeIt() throws {
        let harness = try Self.start()
        try Self.write(harness, 0 ..< 60)
        try Self.snapshot(harness)
        try Self.write(harness, 60 ..< 80)
        let before = Self.frames(try Self.feed(harness))
        for seed in 1 ... 12 as ClosedRange<UInt64> {
            let again = try Self.start(harness.disk.afterPowerCut(seed: seed))
            #expect(again.node.recovered?.report.snapshot != nil)
            let feed = try Self.feed(again)
            #expect(feed.earliestLSN == 1, "seed \(seed)")
            #expect(Self.frames(feed) == before, "seed \(seed)")
        }
    }

    @Test func cleanEndWritesWhatWasNotWritten() throws {
        let harness = try Self.start()
        try Self.write(harness, 0 ..< 20)
        let head = try Self.feed(harness).headLSN
        try harness.drain()
        // Read as a start would that has a snapshot of all.
        let feed = Feed(
            FeedFiles(harness.disk, in: "d"), options: FeedOptions(), logWaker: SimulatedParker(),
            waker: SimulatedParker())
        let genesis = try #require(harness.node.recovered).store.directoryID
        FeedWriter(feed, clock: harness.clock, onEvent: { _ in }).open(
            directoryID: DirectoryID(high: genesis.high, low: genesis.low), behind: head)
        #expect(feed.earliestLSN == 1 && feed.headLSN == head)
        #expect(!Self.frames(feed).isEmpty)
    }

    @Test func backupHasNoFeedAndBeginsItAnew() throws {
        let harness = try Self.start()
        try Self.write(harness, 0 ..< 30)
        let backup = try harness.call(.admin("Backup"), #"{"destination":"/b"}"#)
        #expect(backup.status == 0, "\(backup.message)")
        #expect(!harness.disk.snapshot.files.contains { $0.path.hasPrefix("/b/feed") })
        let lsn = harness.node.recovered?.store.appliedLSN ?? 0
        try harness.drain()
        let restored = try NodeHarness.serving(
            harness.disk,
            configure: {
                Self.configure(&$0)
                $0.dataDirectory = "/b"
            })
        let feed = try Self.feed(restored)
        #expect(feed.earliestLSN == lsn + 1 && feed.headLSN >= lsn)
        try Self.write(restored, 30 ..< 40)
        #expect(!Self.frames(feed).isEmpty)
    }
}
