import Bytes
import IOSimulation
import Messages
import Profiles
import Storage
import Testing

@testable import ProfileService

/// The one reader of those who are concerned by little.
@Suite struct HeadScanTests {
    private static let (ann, bob) = (
        ProfileID(high: 1, low: 1), ProfileID(high: 1, low: 2)
    )

    private static func limits() -> WatchLimits {
        var limits = WatchLimits()
        limits.skippedMax = 20
        return limits
    }

    /// A world in which `ann` and `bob` exist, their followers, which are parked, and the scan.
    private final class Scene {
        let world = WatchWorld(HeadScanTests.limits())
        let scan: HeadScan
        var watchers: [Watcher] = []
        var followers: [WatchFollower] = []

        /// - Parameter kept: Whether the follower's history is found, by its worker's turns.
        init(_ names: [String]) throws {
            self.scan = HeadScan(self.world.feed, self.world.coordinator.limits)
            for name in names {
                let watcher = self.world.watcher(following: [WatchWorld.customID(name)])
                let follower = self.world.follower(watcher, from: self.world.feed.headLSN + 1)
                follower.begin(nowNanoseconds: 0)
                #expect(WatchWorld.take(watcher) == [self.world.feed.headLSN])
                #expect(follower.hear())
                self.settle(follower)
                #expect(follower.mayPark)
                self.scan.park(follower)
                self.watchers.append(watcher)
                self.followers.append(follower)
            }
        }

        /// Lets a follower read on itself through the scan's position.
        func settle(_ follower: WatchFollower) {
            for _ in 0 ..< 100 {
                let turn = follower.proceed(through: self.scan.throughLSN, nowNanoseconds: 0)
                if case .atHead = turn { return }
            }
            Issue.record("never at the head")
        }

        func proceed(now: UInt64 = 0) -> [Int] {
            var left: [WatchFollower] = []
            while true {
                let turn = self.scan.proceed(nowNanoseconds: now)
                left += turn.left
                if !turn.hasMore { break }
            }
            return left.map { follower in
                self.followers.firstIndex { $0 === follower } ?? -1
            }.sorted()
        }
    }

    private static func created(_ lsn: UInt64, _ name: String, _ id: ProfileID) -> ChangeSpec {
        ChangeSpec(kind: .created, lsn: lsn, profile: id, customID: name)
    }

    private static func note(_ lsn: UInt64, _ id: ProfileID) -> ChangeSpec {
        ChangeSpec(kind: .identified, lsn: lsn, profile: id, customID: "")
    }

    /// Tables keyed by objects have the order of addresses, which no run repeats.
    @Test func thoseWhoLeaveTogetherDoSoInTheOrderOfTheChanges() throws {
        let names = (0 ..< 12).map { "p\($0)" }
        let scene = try Scene(names)
        scene.world.append(
            names.indices.map { index in
                Self.created(1, names[index], ProfileID(high: 2, low: UInt64(index)))
            })
        let left = scene.scan.proceed(nowNanoseconds: 0).left
        #expect(
            left.map { follower in scene.followers.firstIndex { $0 === follower } }
                == Array(0 ..< 12))
    }

    @Test func onlyThoseWhomAChangeConcernsLeave() throws {
        let scene = try Scene(["ann", "bob", "eve"])
        scene.world.append([Self.created(1, "ann", Self.ann)])
        #expect(scene.proceed() == [0])
        #expect(!scene.followers[0].isParked && scene.followers[1].isParked)
        #expect(scene.followers[0].nextLSN == 1, "it reads the change itself")
        #expect(scene.scan.throughLSN == 1)
        // It follows, returns, and leaves for its profile by now, not for its name.
        scene.settle(scene.followers[0])
        #expect(scene.followers[0].tracks?.targets == [Self.ann] && scene.followers[0].mayPark)
        scene.scan.park(scene.followers[0])
        scene.world.append([Self.created(2, "bob", Self.bob), Self.note(2, Self.ann)])
        #expect(scene.proceed() == [0, 1])
        scene.world.append([Self.note(3, ProfileID(high: 9, low: 9))])
        #expect(scene.proceed().isEmpty && scene.followers[2].isParked)
        scene.scan.leave(scene.followers[2])
        #expect(scene.followers[2].nextLSN == 4, "it goes on behind what the scan considered")
    }

    @Test func mergeConcernsFollowersOfBoth() throws {
        let scene = try Scene(["ann"])
        scene.world.append([Self.created(1, "ann", Self.ann)])
        _ = scene.proceed()
        scene.settle(scene.followers[0])
        scene.scan.park(scene.followers[0])
        scene.world.append([
            ChangeSpec(kind: .merged, lsn: 2, profile: Self.bob, other: Self.ann)
        ])
        #expect(scene.proceed() == [0])
        scene.settle(scene.followers[0])
        #expect(scene.followers[0].tracks?.targets == [Self.bob])
        scene.scan.park(scene.followers[0])
        scene.world.append([Self.note(3, Self.ann)])
        #expect(scene.proceed().isEmpty, "its former profile no longer concerns it")
        scene.world.append([Self.note(4, Self.bob)])
        #expect(scene.proceed() == [0])
    }

    @Test func thoseWhoStayHearHowFarTheScanIs() throws {
        let scene = try Scene(["ann", "bob"])
        for lsn in 1 ... 9 as ClosedRange<UInt64> {
            scene.world.append([Self.note(lsn, ProfileID(high: 9, low: lsn))])
        }
        #expect(scene.proceed().isEmpty)
        #expect(scene.watchers.map { WatchWorld.take($0) } == [[], []])
        scene.world.append([Self.note(10, ProfileID(high: 9, low: 1))])
        #expect(scene.proceed().isEmpty)
        // Half of what may be skipped, as the next slice may have the other half.
        #expect(scene.watchers.map { WatchWorld.take($0) } == [[10], [10]])
        for follower in scene.followers {
            #expect(follower.hear())
            scene.scan.plan(for: follower)
        }
        let later = scene.world.coordinator.limits.heartbeatNanoseconds
        #expect(scene.proceed(now: later - 1).isEmpty)
        #expect(scene.watchers.map { WatchWorld.take($0) } == [[], []])
        #expect(scene.proceed(now: later).isEmpty)
        #expect(scene.watchers.map { WatchWorld.take($0) } == [[10], [10]])
    }

    @Test func whoIsDrainedLeavesForALastMessage() throws {
        let scene = try Scene(["ann", "bob"])
        #expect(scene.scan.takeEnding().isEmpty)
        scene.watchers[1].drain()
        #expect(scene.followers[1].hear())
        let ending = scene.scan.takeEnding()
        #expect(ending.count == 1 && ending.first === scene.followers[1])
        #expect(!scene.followers[1].isParked && scene.followers[0].isParked)
        #expect(scene.scan.takeEnding().isEmpty)
        // Who has left is told nothing by the scan.
        scene.world.append([Self.created(1, "bob", Self.bob)])
        #expect(scene.proceed().isEmpty && scene.followers[1].nextLSN == 1)
        scene.scan.leave(scene.followers[0])
        scene.scan.leave(scene.followers[0])
        scene.world.append([Self.created(2, "ann", Self.ann)])
        #expect(scene.proceed().isEmpty && scene.followers[0].nextLSN == 2)
    }

    @Test func whenThePositionIsGoneEveryoneFindsOut() throws {
        let scene = try Scene(["ann", "bob"])
        scene.world.append([Self.note(1, Self.ann)])
        // A frame that is larger than the feed takes begins it anew.
        let large = UnsafeMutableRawBufferPointer.allocate(
            byteCount: FeedOptions.frameBytesMax + 1, alignment: 8)
        defer { large.deallocate() }
        scene.world.feed.append(
            firstLSN: 2, lastLSN: 2, flags: [], clock: 0,
            records: UnsafeRawBufferPointer(large))
        let turn = scene.scan.proceed(nowNanoseconds: 0)
        #expect(turn.left.count == 2 && turn.hasMore)
        for (follower, watcher) in zip(scene.followers, scene.watchers) {
            #expect(!follower.isParked)
            guard case .ended = follower.proceed(through: 2, nowNanoseconds: 0) else {
                Issue.record("it has ended")
                continue
            }
            #expect(WatchWorld.take(watcher) == [0])
            guard case .ended(let failure) = watcher.take(giving: nil) else {
                Issue.record("it is told why")
                continue
            }
            #expect("\(failure)".contains("ositionGone"))
        }
        #expect(scene.world.coordinator.metrics.positionsGone == 2)
        // The scan goes on at the head.
        #expect(scene.proceed().isEmpty && scene.scan.throughLSN == 2)
    }
}
