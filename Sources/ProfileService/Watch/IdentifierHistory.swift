import Profiles
import Storage

/// Finds whom the identifiers of a watcher led to at its first position.
///
/// It reads whom they lead to now, and the changes of identities from the first position to now,
/// which it then undoes. Used by the worker's thread only.
final class IdentifierHistory {
    /// What a turn has found.
    enum Finding {
        case more
        /// The feed has not come as far as the state yet.
        case waiting
        case resolved(IdentifierTracks)
        case gone(earliestLSN: UInt64)
        /// More changes concern the identifiers than `WatchLimits.historyMax`.
        case tooLong
    }

    private let identifiers: [OwnedIdentifier]
    private let project: ProjectID
    private let firstLSN: UInt64
    private let store: Store
    private let feed: Feed
    private let limits: WatchLimits
    private var cursor: FeedCursor
    private var tracks: IdentifierTracks
    private var steps: [IdentifierTracks.Step] = []
    /// What the state had gone through before and after `tracks` was read: a step in between may be
    /// in it or not.
    private var (before, after): (UInt64, UInt64) = (0, 0)
    /// What `tracks` went through when the reading began.
    private var passedBefore = 0

    init(_ watcher: Watcher, from lsn: UInt64, store: Store, feed: Feed, _ limits: WatchLimits) {
        self.identifiers = watcher.filter.identifiers
        self.project = watcher.project
        self.firstLSN = lsn
        self.store = store
        self.feed = feed
        self.limits = limits
        self.cursor = feed.makeCursor(from: lsn)
        self.tracks = IdentifierTracks([], chains: [])
        self.begin()
    }

    private func begin() {
        self.before = self.store.appliedLSN
        let chains = self.identifiers.map { identifier in
            identifier.withView { self.store.chain(self.project, $0) }
        }
        self.after = self.store.appliedLSN
        self.tracks = IdentifierTracks(
            self.identifiers, chains: chains, passed: self.tracks.passed)
        self.passedBefore = self.tracks.passed.count
        self.steps = []
        self.cursor = self.feed.makeCursor(from: self.firstLSN)
    }

    /// Reads one slice.
    func proceed() -> Finding {
        guard self.feed.headLSN >= self.after else { return .waiting }
        switch self.cursor.next(maxBytes: self.limits.sliceBytes, through: self.after) {
        case .gone(let earliest): return .gone(earliestLSN: earliest)
        case .failed: return .waiting
        case .frames(let slice):
            for frame in slice.frames where frame.flags.contains(.identity) { self.read(frame) }
            return self.steps.count > self.limits.historyMax ? .tooLong : .more
        case .atHead:
            let isAmbiguous = self.steps.last.map { $0.lsn > self.before } ?? false
            if isAmbiguous || self.tracks.passed.count > self.passedBefore {
                self.begin()
                return .more
            }
            for step in self.steps.reversed() { self.tracks.undo(step) }
            return .resolved(self.tracks)
        }
    }

    private func read(_ frame: FeedFrame) {
        var records = ChangeReader(frame.records)
        while let change = try? records.next() {
            guard change.kind.changesIdentities, change.lsn >= self.firstLSN,
                change.project == self.project
            else { continue }
            self.steps += self.tracks.steps(of: change)
        }
    }
}
