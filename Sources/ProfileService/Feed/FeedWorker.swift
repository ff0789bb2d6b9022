import IOCore
import Storage
import Synchronization

/// Steps the writer of the feed; when it is told to end, it first writes what is not written.
// SAFETY: `writer` is used by the thread that steps; `stop` touches the atomic flag and the waker
// only.
package final class FeedWorker: Steppable, @unchecked Sendable {
    private let writer: FeedWriter
    private let waker: any Waker
    private let isStoppingCell = Atomic<Bool>(false)

    /// - Parameter waker: Wakes the driver.
    package init(_ writer: FeedWriter, waker: any Waker) {
        self.writer = writer
        self.waker = waker
    }

    package func step() -> NextStep {
        let isStopping = self.isStoppingCell.load(ordering: .acquiring)
        let next = self.writer.step(all: isStopping)
        // What cannot be written now is made again by the next start.
        return isStopping && next != .now ? .ended : next
    }

    /// Makes `step` return `.ended` soon; from any thread.
    package func stop() {
        self.isStoppingCell.store(true, ordering: .releasing)
        self.waker.wake()
    }
}
