import Synchronization

/// What watchers do; written by the worker, read by any thread.
package final class WatchMetrics: Sendable {
    private let watchersCell = Atomic<Int>(0)
    private let changesCell = Atomic<UInt64>(0)
    private let endedCell = Atomic<UInt64>(0)
    private let lagCell = Atomic<UInt64>(0)

    /// Open watchers.
    package var watchers: Int { self.watchersCell.load(ordering: .relaxed) }
    /// Changes that were handed to loops.
    package var changes: UInt64 { self.changesCell.load(ordering: .relaxed) }
    /// Watchers whose position was no longer kept.
    package var ended: UInt64 { self.endedCell.load(ordering: .relaxed) }
    /// How far the slowest watcher is behind the head, in lsns.
    package var lag: UInt64 { self.lagCell.load(ordering: .relaxed) }

    func add(changes: UInt64) { self.changesCell.wrappingAdd(changes, ordering: .relaxed) }
    func noteEnded() { self.endedCell.wrappingAdd(1, ordering: .relaxed) }
    func note(watchers: Int, lag: UInt64) {
        self.watchersCell.store(watchers, ordering: .relaxed)
        self.lagCell.store(lag, ordering: .relaxed)
    }
}
