import Profiles
import Storage
import Synchronization

/// How far the slowest watcher is behind.
package struct WatchLag: Equatable, Sendable {
    /// From the first change that it has not considered through the last one of the feed.
    package var lsns: UInt64 = 0
    /// Age of that first change.
    package var microseconds: Int64 = 0

    package init(lsns: UInt64 = 0, microseconds: Int64 = 0) {
        self.lsns = lsns
        self.microseconds = microseconds
    }
}

/// What watchers do; written by the worker, read by any thread.
package final class WatchMetrics: Sendable {
    /// Of one reading of the feed for the lag: one frame, whatever its size.
    private static let sliceBytes = 1

    private let watchersCell = Atomic<Int>(0)
    private let changesCell = Atomic<UInt64>(0)
    private let positionsGoneCell = Atomic<UInt64>(0)
    private let positionCell = Atomic<UInt64>(.max)

    /// Open watchers.
    package var watchers: Int { self.watchersCell.load(ordering: .relaxed) }
    /// Changes that were handed to loops.
    package var changes: UInt64 { self.changesCell.load(ordering: .relaxed) }
    /// Watchers that ended because their position was not kept, or had not come.
    package var positionsGone: UInt64 { self.positionsGoneCell.load(ordering: .relaxed) }
    /// The first lsn that the slowest watcher has not considered; `UInt64.max`: nobody watches.
    package var position: UInt64 { self.positionCell.load(ordering: .relaxed) }

    func add(changes: UInt64) { self.changesCell.wrappingAdd(changes, ordering: .relaxed) }
    func notePositionGone() { self.positionsGoneCell.wrappingAdd(1, ordering: .relaxed) }
    func note(watchers: Int, position: UInt64) {
        self.watchersCell.store(watchers, ordering: .relaxed)
        self.positionCell.store(position, ordering: .relaxed)
    }

    /// How far the slowest watcher is behind, by what the feed has now: a worker that does not move
    /// lags, too. Any thread.
    ///
    /// The age is read from the feed when somebody asks, so that following costs nothing for it.
    ///
    /// - Complexity: O(blocks of a segment), and one block is read from a file, if the watcher is
    ///   behind memory.
    package func lag(in feed: Feed, wallMicroseconds: Int64) -> WatchLag {
        let position = self.position
        let last = feed.lastChangeLSN
        guard position <= last else { return WatchLag() }
        let oldest = Self.receivedAt(of: position, in: feed, through: last)
        return WatchLag(
            lsns: last - position + 1,
            microseconds: oldest.map { max(0, wallMicroseconds - $0) } ?? 0)
    }

    /// When the first change from a position on was received; `nil`: there is none any more, or it
    /// cannot be read now.
    private static func receivedAt(of lsn: UInt64, in feed: Feed, through last: UInt64) -> Int64? {
        // What is gone is older than everything that is kept.
        let cursor = feed.makeCursor(from: max(lsn, feed.earliestLSN))
        while case .frames(let slice) = cursor.next(maxBytes: Self.sliceBytes, through: last) {
            for frame in slice.frames {
                var records = ChangeReader(frame.records)
                while let change = try? records.next() {
                    if change.lsn >= lsn { return change.receivedAt }
                }
            }
        }
        return nil
    }
}
