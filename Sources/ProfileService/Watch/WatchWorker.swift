import IOCore
import Messages
import Profiles
import Storage

/// Serves all watchers of a node from the feed: encodes what their filters let pass and hands it to
/// their loops.
///
/// Each watcher reads on its own, so that a slow one holds up nobody; those that follow identifiers
/// share one reader at the head (`HeadScan`), as each of them is concerned by little. Used by one
/// thread, which its coordinator, the feed and the loops wake.
package final class WatchWorker: Steppable {
    /// How soon it looks again for what nobody wakes it for: the state is ahead of the feed, or
    /// there is no descriptor; in nanoseconds.
    private static let retryNanoseconds: UInt64 = 1_000_000
    /// How often it looks after heartbeats and deleted projects while nothing changes, in
    /// nanoseconds.
    private static let restNanoseconds: UInt64 = 500_000_000

    private let coordinator: WatchCoordinator
    private let store: Store
    private let feed: Feed
    private let clock: any Clock
    private let waker: any Waker
    private let scan: HeadScan
    private let encoder = MessageEncoder()
    private var followers: [ObjectIdentifier: WatchFollower] = [:]
    /// When parked ones are looked at for a deleted project, in nanoseconds.
    private var endingDue: UInt64 = 0
    /// Those that are not parked.
    private var active: [WatchFollower] = []

    /// - Parameter waker: Wakes the driver of the worker.
    package init(
        _ coordinator: WatchCoordinator, store: Store, feed: Feed, clock: any Clock,
        waker: any Waker
    ) {
        self.coordinator = coordinator
        self.store = store
        self.feed = feed
        self.clock = clock
        self.waker = waker
        self.scan = HeadScan(feed, coordinator.limits)
    }

    package func step() -> NextStep {
        let now = self.clock.monotonicNanoseconds()
        let requests = self.coordinator.calls.takeRequests()
        if requests.isStopping { return .ended }
        for watcher in requests.opened { self.begin(watcher, now) }
        for watcher in requests.signalled { self.hear(watcher) }
        guard !self.followers.isEmpty else {
            self.coordinator.metrics.note(watchers: 0, position: .max)
            return .whenWoken
        }
        let scanned = self.scan.proceed(nowNanoseconds: now)
        self.active += scanned.left
        if now >= self.endingDue {
            self.active += self.scan.takeEnding()
            self.endingDue = now + Self.restNanoseconds
        }
        let turns = self.turns(now)
        self.notePosition()
        if scanned.hasMore || turns.hasMore { return .now }
        if turns.isWaiting { return .after(nanoseconds: Self.retryNanoseconds) }
        // Every watcher is blocked, or has considered everything through here.
        guard self.feed.wake(self.waker, behind: self.scan.throughLSN) else { return .now }
        return .after(nanoseconds: Self.restNanoseconds)
    }

    // MARK: Watchers that come and go

    private func begin(_ watcher: Watcher, _ now: UInt64) {
        let head = self.feed.headLSN
        let first = watcher.fromLSN == 0 ? head + 1 : watcher.fromLSN
        guard first <= head + 1, first >= self.feed.earliestLSN else {
            watcher.end(with: .positionGone(earliestLSN: self.feed.earliestLSN))
            self.coordinator.calls.announce(watcher)
            self.coordinator.metrics.notePositionGone()
            return self.coordinator.calls.forget(watcher)
        }
        let follower = WatchFollower(
            watcher, from: first, self.coordinator, store: self.store, feed: self.feed,
            encoder: self.encoder)
        self.followers[ObjectIdentifier(watcher)] = follower
        self.active.append(follower)
        follower.begin(nowNanoseconds: now)
    }

    private func hear(_ watcher: Watcher) {
        guard let follower = self.followers[ObjectIdentifier(watcher)] else { return }
        guard follower.hear() else { return self.forget(follower) }
        guard follower.isParked else { return }
        if follower.isEnding {
            self.scan.leave(follower)
            self.active.append(follower)
        } else {
            self.scan.plan(for: follower)
        }
    }

    private func forget(_ follower: WatchFollower) {
        if follower.isParked { self.scan.leave(follower) }
        self.active.removeAll { $0 === follower }
        self.followers[ObjectIdentifier(follower.watcher)] = nil
        self.coordinator.calls.forget(follower.watcher)
    }

    // MARK: Turns

    private func turns(_ now: UInt64) -> (hasMore: Bool, isWaiting: Bool) {
        var (hasMore, isWaiting) = (false, false)
        var kept: [WatchFollower] = []
        kept.reserveCapacity(self.active.count)
        for follower in self.active {
            switch follower.proceed(through: self.scan.throughLSN, nowNanoseconds: now) {
            case .more:
                hasMore = true
                kept.append(follower)
            case .waiting:
                isWaiting = true
                kept.append(follower)
            case .blocked: kept.append(follower)
            case .atHead:
                if follower.nextLSN == self.scan.throughLSN + 1, follower.mayPark {
                    self.scan.park(follower)
                } else {
                    kept.append(follower)
                }
            case .ended:
                self.followers[ObjectIdentifier(follower.watcher)] = nil
                self.coordinator.calls.forget(follower.watcher)
            }
        }
        self.active = kept
        return (hasMore, isWaiting)
    }

    private func notePosition() {
        var position = self.scan.throughLSN + 1
        for follower in self.active { position = min(position, follower.nextLSN) }
        self.coordinator.metrics.note(watchers: self.followers.count, position: position)
    }
}
