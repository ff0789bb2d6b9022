import Bytes
import Profiles
import Storage

/// Hands the changes of each applied frame from the store to the feed: while the log is replayed,
/// and then on the committer's thread.
///
/// Budget per frame: one lock and one copy of its records.
package final class ChangeRecorder {
    private let writer: FeedWriter
    private var feed: Feed { self.writer.feed }

    /// - Parameter writer: Stepped here during a recovery, by its own thread later.
    package init(_ writer: FeedWriter) {
        self.writer = writer
    }

    /// Whether the next frame may be applied; if not, the log's driver is woken when it may.
    var hasHeadroom: Bool { self.feed.hasHeadroom }

    /// From now on the store records.
    ///
    /// - Parameter lsn: What of the log the store has already; the feed on disk is cut there.
    func begin(_ store: Store, behind lsn: UInt64) {
        let id = store.directoryID
        self.writer.open(
            directoryID: DirectoryID(high: id.high, low: id.low), behind: lsn)
        store.recordsChanges = true
    }

    /// Takes the changes of a frame that was applied.
    ///
    /// - Parameters:
    ///   - mark: Names its last operation.
    ///   - clock: What the machine's clock said when the frame was made, in microseconds since
    ///     1970.
    func record(_ store: Store, from first: UInt64, _ mark: ResultsMark, clock: Int64) {
        let feed = self.feed
        var hasChanges = false
        store.takeChanges { records, recorded in
            #if CANARIES
                if Canary.feedEntryLost.isActive, store.isSnapshotting { return }
            #endif
            hasChanges = true
            feed.append(
                firstLSN: first, lastLSN: mark.lsn,
                flags: recorded.changesIdentities ? .identity : [], clock: clock, records: records)
        }
        if !hasChanges { feed.advance(to: mark.lsn) }
    }

    // MARK: Recovery

    /// Writes when much waits: no thread does it yet. Little stays in memory, so that a start that
    /// is rejected has rarely touched a file.
    func writeWhileReplaying() {
        guard self.feed.unsyncedBytes >= self.feed.options.memoryBytes else { return }
        while self.writer.step() == .now {}
    }

    /// Removes what is too old, and writes the rest.
    func endRecovery() {
        while self.writer.step() == .now {}
    }
}
