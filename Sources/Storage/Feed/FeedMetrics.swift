import IOCore
import Synchronization

/// Figures of the feed: written by its threads, read by any.
package final class FeedMetrics: Sendable {
    private let blocksCell = Atomic<UInt64>(0)
    private let failuresCell = Atomic<UInt64>(0)
    private let gapsCell = Atomic<UInt64>(0)
    private let damagesCell = Atomic<UInt64>(0)

    /// Blocks written to files since the start.
    package var blocks: UInt64 { self.blocksCell.load(ordering: .relaxed) }
    /// Failed calls of the operating system.
    package var failures: UInt64 { self.failuresCell.load(ordering: .relaxed) }
    /// Times that the feed lost what readers could have wanted: it began anew, or a part of it was
    /// damaged.
    package var losses: UInt64 {
        self.gapsCell.load(ordering: .relaxed) + self.damagesCell.load(ordering: .relaxed)
    }

    func wroteBlock() { self.blocksCell.wrappingAdd(1, ordering: .relaxed) }
    func failed() { self.failuresCell.wrappingAdd(1, ordering: .relaxed) }
    func beganAnew() { self.gapsCell.wrappingAdd(1, ordering: .relaxed) }
    func foundDamage() { self.damagesCell.wrappingAdd(1, ordering: .relaxed) }
}

/// What an operator should know of the feed.
package enum FeedEvent: Equatable, Sendable {
    /// Files of the feed cannot be written or read: the first of several failures in a row. The
    /// feed goes on in memory.
    case failed(IOError)
    /// They can be again.
    case recovered
    /// What was before this position is lost to readers, and why.
    case lost(earliestLSN: UInt64, reason: String)
}
