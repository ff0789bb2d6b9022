import Profiles
import Storage

/// Finds whom the identifiers of a watcher led to at its first position.
///
/// It reads whom they lead to now, and the changes of identities from the first position to now,
/// which it then undoes. If those name profiles that the identifiers went through before, it reads
/// again, with the links of these. Used by the worker's thread only.
final class IdentifierHistory {
    /// What a turn has found.
    enum Finding {
        case more
        /// The feed has not come as far as the state yet.
        case waiting
        case resolved(IdentifierTracks)
        case gone(earliestLSN: UInt64)
        /// More changes concern the identifiers than `WatchLimits.historyMax`, or they led through
        /// more profiles in turn than `WatchLimits.historyReadingsMax`.
        case tooLong(limit: String, maximum: Int)
    }

    private let identifiers: [OwnedIdentifier]
    private let project: ProjectID
    private let firstLSN: UInt64
    private let store: Store
    private let feed: Feed
    private let limits: WatchLimits
    private var cursor: FeedCursor
    private var links: IdentifierLinks
    private var steps: [IdentifierLinks.Step] = []
    /// What the state had gone through before and after `links` were read: a step in between may be
    /// in them or not.
    private var (before, after): (UInt64, UInt64) = (0, 0)
    /// What `links` went through when the reading began.
    private var passedBefore = 0
    /// Readings that went through more profiles than the one before.
    private var readings = 0

    init(_ watcher: Watcher, from lsn: UInt64, store: Store, feed: Feed, _ limits: WatchLimits) {
        self.identifiers = watcher.filter.identifiers
        self.project = watcher.project
        self.firstLSN = lsn
        self.store = store
        self.feed = feed
        self.limits = limits
        self.cursor = feed.makeCursor(from: lsn)
        self.links = IdentifierLinks([]) { _ in [] }
        self.begin()
    }

    private func begin() {
        self.before = self.store.appliedLSN
        self.links = IdentifierLinks(self.identifiers, passed: self.links.passed) { identifier in
            identifier.withView { self.store.chain(self.project, $0, max: 2) }
        }
        self.after = self.store.appliedLSN
        self.passedBefore = self.links.passed.count
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
            guard self.steps.count <= self.limits.historyMax else {
                return .tooLong(limit: "identity_changes", maximum: self.limits.historyMax)
            }
            return .more
        case .atHead:
            let isAmbiguous = self.steps.last.map { $0.lsn > self.before } ?? false
            let isGrown = self.links.passed.count > self.passedBefore
            if isGrown { self.readings += 1 }
            guard self.readings <= self.limits.historyReadingsMax else {
                return .tooLong(
                    limit: "identity_readings", maximum: self.limits.historyReadingsMax)
            }
            if isAmbiguous || isGrown {
                self.begin()
                return .more
            }
            for step in self.steps.reversed() { self.links.undo(step) }
            return .resolved(IdentifierTracks(self.identifiers, chains: self.links.chains))
        }
    }

    private func read(_ frame: FeedFrame) {
        var records = ChangeReader(frame.records)
        while let change = try? records.next() {
            guard change.kind.changesIdentities, change.lsn >= self.firstLSN,
                change.project == self.project
            else { continue }
            self.steps += self.links.steps(of: change)
        }
    }
}
