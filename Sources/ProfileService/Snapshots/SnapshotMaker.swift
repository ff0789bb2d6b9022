import Profiles
import Storage

/// The committer's part in a snapshot: begins it between two frames, then makes a piece of it after
/// each frame and while nothing waits.
///
/// Budget while none is running: two atomic loads per frame.
final class SnapshotMaker {
    /// Bytes of items made after one frame: about 100 µs of work, a fraction of one fdatasync.
    private static let pieceBytes = 64 << 10

    private let feed: SnapshotFeed
    private let store: Store
    /// The snapshot that is being made.
    private var number: UInt64 = 0

    init(feed: SnapshotFeed, store: Store) {
        self.feed = feed
        self.store = store
    }

    /// Whether a snapshot shall begin.
    var isWanted: Bool { self.feed.wanted != nil && !self.store.isSnapshotting }

    /// Begins a snapshot of the state as it is; `position` is that of the state.
    func begin(at position: SnapshotPosition) {
        guard let number = self.feed.wanted else { return }
        self.number = number
        self.store.beginSnapshot()
        self.feed.begin(number, at: position)
    }

    /// Ends the snapshot that is wanted or running without a result.
    func fail(_ failure: SnapshotFailure) {
        if self.store.isSnapshotting { self.store.endSnapshot() }
        self.feed.fail(self.feed.wanted ?? self.number, failure)
    }

    /// Makes the next piece, if one is wanted, and hands over what is whole.
    ///
    /// - Returns: Whether there is more to do at once.
    func advance() -> Bool {
        guard self.store.isSnapshotting else { return false }
        guard self.feed.isRunning(self.number) else {
            self.store.endSnapshot()
            return false
        }
        let hasHeadroom = self.feed.hasHeadroom
        if hasHeadroom { self.store.advanceSnapshot(bytes: Self.pieceBytes) }
        var waiting = 0
        while let block = self.store.takeSnapshotBlock() {
            waiting = self.feed.push(block, of: self.number)
        }
        if self.store.isSnapshotComplete {
            self.store.endSnapshot()
            self.feed.complete(self.number)
            return false
        }
        guard waiting <= SnapshotFeed.waitingBytesMax else {
            self.fail(.fellBehind)
            return false
        }
        return hasHeadroom
    }
}
