import Profiles
import Storage

/// Reads the feed at its head once for all parked watchers: those that follow identifiers, and are
/// concerned by few of its changes.
///
/// Used by the worker's thread only.
final class HeadScan {
    /// Everything through here is considered for the parked watchers.
    private(set) var throughLSN: UInt64
    /// Records considered so far, and of them those through `throughLSN`.
    private var (changes, changesThrough): (UInt64, UInt64) = (0, 0)
    /// The number of changes, and the time, at which the next follower may have to be told; what
    /// stands in between costs a follower nothing.
    private var (dueChanges, dueNanoseconds): (UInt64, UInt64) = (0, 0)
    private let feed: Feed
    private let limits: WatchLimits
    private var cursor: FeedCursor
    private var parked: [ObjectIdentifier: Entry] = [:]
    /// Followers parked so far.
    private var parkings: UInt64 = 0
    private var byProfile: [ProfileID: [WatchFollower]] = [:]
    private var byName: [OwnedIdentifier: [WatchFollower]] = [:]

    private struct Entry {
        var follower: WatchFollower
        var targets: [ProfileID]
        /// In the order of parking: who leaves together leaves in this order, so that a run can be
        /// repeated. The table's own order follows from addresses.
        var number: UInt64
    }

    /// Followers that the changes of one slice concern, in the order of these changes.
    private struct Concerned {
        private(set) var followers: [WatchFollower] = []
        private var found: Set<ObjectIdentifier> = []

        mutating func add(_ follower: WatchFollower) {
            guard self.found.insert(ObjectIdentifier(follower)).inserted else { return }
            self.followers.append(follower)
        }
    }

    init(_ feed: Feed, _ limits: WatchLimits) {
        self.feed = feed
        self.limits = limits
        self.throughLSN = feed.headLSN
        self.cursor = feed.makeCursor(from: self.throughLSN + 1)
    }

    // MARK: Parking

    /// Leaves a follower to the scan, which must be where it is.
    func park(_ follower: WatchFollower) {
        let targets = follower.tracks?.targets ?? []
        for target in targets { self.byProfile[target, default: []].append(follower) }
        for identifier in follower.watcher.filter.identifiers {
            self.byName[identifier, default: []].append(follower)
        }
        self.parkings += 1
        self.parked[ObjectIdentifier(follower)] = Entry(
            follower: follower, targets: targets, number: self.parkings)
        follower.enterScan(at: self.changesThrough)
        self.plan(for: follower)
    }

    /// A follower can be told again how far the scan is.
    func plan(for follower: WatchFollower) {
        // Who cannot take anything is looked at when it can.
        guard follower.hasHeadroom else { return }
        self.dueChanges = min(self.dueChanges, follower.scanDue)
        self.dueNanoseconds = min(self.dueNanoseconds, follower.heartbeatDue)
    }

    /// Makes a follower read on itself from where the scan is; before the scan goes on.
    func leave(_ follower: WatchFollower) {
        guard let entry = self.parked.removeValue(forKey: ObjectIdentifier(follower)) else {
            return
        }
        for target in entry.targets { Self.remove(follower, from: &self.byProfile, target) }
        for identifier in follower.watcher.filter.identifiers {
            Self.remove(follower, from: &self.byName, identifier)
        }
        follower.leaveScan(behind: self.changesThrough, through: self.throughLSN)
    }

    private static func remove<Key>(
        _ follower: WatchFollower, from index: inout [Key: [WatchFollower]], _ key: Key
    ) {
        index[key]?.removeAll { $0 === follower }
        if index[key]?.isEmpty ?? false { index[key] = nil }
    }

    // MARK: Scanning

    /// Goes on to the head, a few slices at most.
    ///
    /// - Returns: The followers that a change may concern, which have left the scan; whether there
    ///   is more.
    func proceed(nowNanoseconds: UInt64) -> (left: [WatchFollower], hasMore: Bool) {
        guard !self.parked.isEmpty else {
            self.throughLSN = self.feed.headLSN
            self.cursor = self.feed.makeCursor(from: self.throughLSN + 1)
            return ([], false)
        }
        switch self.cursor.next(maxBytes: self.limits.sliceBytes, through: .max) {
        case .atHead:
            self.move(to: self.cursor.nextLSN - 1, nowNanoseconds)
            return ([], false)
        case .gone, .failed:
            // Each finds that out itself, and waits for a descriptor if there is none.
            let all = self.inOrder.map(\.follower)
            for follower in all { self.leave(follower) }
            return (all, true)
        case .frames(let slice):
            var concerned = Concerned()
            for frame in slice.frames { self.look(through: frame, &concerned) }
            for follower in concerned.followers { self.leave(follower) }
            self.move(to: slice.throughLSN, nowNanoseconds)
            return (concerned.followers, true)
        }
    }

    /// Those that are parked, in the order of parking.
    ///
    /// - Complexity: O(n log n) of them.
    private var inOrder: [Entry] { self.parked.values.sorted { $0.number < $1.number } }

    private func look(through frame: FeedFrame, _ concerned: inout Concerned) {
        var records = ChangeReader(frame.records)
        while let change = try? records.next() {
            self.changes += 1
            self.find(self.byProfile[change.profileID], &concerned)
            guard change.kind.changesIdentities else { continue }
            if let other = change.otherID { self.find(self.byProfile[other], &concerned) }
            change.forEachErasedID { self.find(self.byProfile[$0], &concerned) }
            if change.customID.count > 0 {
                let name = IdentifierView(kind: .customID, bytes: change.customID)
                self.find(self.byName[OwnedIdentifier(name)], &concerned)
            }
            if let id = change.installationID {
                let name = IdentifierView(kind: .installationID, bytes: id)
                self.find(self.byName[OwnedIdentifier(name)], &concerned)
            }
        }
    }

    private func find(_ followers: [WatchFollower]?, _ concerned: inout Concerned) {
        for follower in followers ?? [] { concerned.add(follower) }
    }

    private func move(to lsn: UInt64, _ nowNanoseconds: UInt64) {
        self.throughLSN = lsn
        self.changesThrough = self.changes
        guard self.changes >= self.dueChanges || nowNanoseconds >= self.dueNanoseconds else {
            return
        }
        (self.dueChanges, self.dueNanoseconds) = (.max, .max)
        for entry in self.inOrder {
            entry.follower.skip(
                to: self.changes, through: lsn, nowNanoseconds: nowNanoseconds)
            self.plan(for: entry.follower)
        }
    }

    /// Those that have a last message to say; they have left the scan.
    ///
    /// - Complexity: O(parked).
    func takeEnding() -> [WatchFollower] {
        let ending = self.parked.values.filter(\.follower.isEnding)
            .sorted { $0.number < $1.number }.map(\.follower)
        for follower in ending { self.leave(follower) }
        return ending
    }
}
