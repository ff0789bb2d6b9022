import IOCore
import Storage
import Synchronization

/// What a snapshot waits for before it counts: that the feed through its position is durable. The
/// start that loads the snapshot replays nothing before it, so what the feed lacks there is lost to
/// readers.
///
/// A feed that cannot be written holds no snapshot back, because a snapshot may be what frees the
/// disk; the feed begins anew at the next start then.
final class FeedBarrier: Sendable {
    private let feed: Feed
    private let waker: any Waker
    /// 0 not asked, 1 waiting, 2 passed.
    private let phase = Atomic<Int>(0)

    /// - Parameter waker: Wakes who waits.
    init(_ feed: Feed, waker: any Waker) {
        self.feed = feed
        self.waker = waker
    }

    /// Asks once; later calls only look.
    ///
    /// - Returns: Whether the wait is over; then it may be asked again.
    func isPassed() -> Bool {
        if self.phase.compareExchange(expected: 0, desired: 1, ordering: .relaxed).exchanged {
            self.feed.sync { [self] _ in
                self.phase.store(2, ordering: .releasing)
                self.waker.wake()
            }
        }
        return self.phase.compareExchange(
            expected: 2, desired: 0, ordering: .acquiringAndReleasing
        ).exchanged
    }
}
