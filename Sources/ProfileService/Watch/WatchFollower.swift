import Bytes
import IOCore
import Messages
import Profiles
import Storage

/// One watcher as its worker sees it: where it is, and what is encoded for it.
///
/// Used by the worker's thread only.
final class WatchFollower {
    /// What the follower has to do before it follows.
    private enum Phase {
        /// It has to find whom its identifiers led to at its first position.
        case resolving(IdentifierHistory)
        case following
        case ended
    }

    /// How a turn ended.
    enum Turn {
        /// There is more to do at once.
        case more
        /// It has considered everything through the limit.
        case atHead
        /// The loop has not taken the batch before.
        case blocked
        /// Nothing can be done before a little time has passed.
        case waiting
        /// It has said its last message.
        case ended
    }

    let watcher: Watcher
    /// The next lsn of which not every change is considered.
    private(set) var nextLSN: UInt64
    /// It is left to the `HeadScan`.
    private(set) var isParked = false
    private var scannedChanges: UInt64 = 0
    /// It has a last message to say, for which it must not be parked.
    var isEnding: Bool { self.isDraining || self.store.isDeleted(self.watcher.project) }
    /// It has identifiers, follows them, and has nothing to hand over.
    var mayPark: Bool {
        if case .following = self.phase { self.tracks != nil && !self.isInSlice } else { false }
    }
    /// Whom its identifiers lead to; `nil`: it has none.
    private(set) var tracks: IdentifierTracks?

    private let coordinator: WatchCoordinator
    private let store: Store
    private let feed: Feed
    private let encoder: MessageEncoder
    private var phase: Phase
    private var cursor: FeedCursor
    /// Where the cursor began: its first frame may have earlier changes.
    private var cursorLSN: UInt64
    private var frames = FeedFrames(.init(start: nil, count: 0))
    private var records = ChangeReader(.init(start: nil, count: 0))
    /// What the slice goes through, once its frames are read.
    private var sliceThrough: UInt64 = 0
    private var isInSlice = false
    private var batch: MessageBatch
    /// The storage of one that was sent, for the next one.
    private var spare: MessageBatch?
    /// The loop has taken the batch before.
    private(set) var hasHeadroom = true
    private var isDraining = false
    private var skipped: UInt64 = 0
    private var lastSentNanoseconds: UInt64 = 0

    private var limits: WatchLimits { self.coordinator.limits }

    /// - Parameter lsn: The first position, which is kept.
    init(
        _ watcher: Watcher, from lsn: UInt64, _ coordinator: WatchCoordinator, store: Store,
        feed: Feed, encoder: MessageEncoder
    ) {
        self.encoder = encoder
        self.watcher = watcher
        self.nextLSN = lsn
        self.coordinator = coordinator
        self.store = store
        self.feed = feed
        self.cursor = feed.makeCursor(from: lsn)
        self.cursorLSN = lsn
        self.batch = MessageBatch()
        let hasIdentifiers = !watcher.filter.identifiers.isEmpty
        self.phase =
            hasIdentifiers
            ? .resolving(
                IdentifierHistory(watcher, from: lsn, store: store, feed: feed, coordinator.limits))
            : .following
    }

    /// Says where it is, at once.
    func begin(nowNanoseconds: UInt64) {
        self.addHeartbeat(nowNanoseconds)
        self.post()
    }

    /// Looks at what the loop wants.
    ///
    /// - Returns: False if the call has ended.
    func hear() -> Bool {
        let demand = self.watcher.takeDemand()
        self.hasHeadroom = demand.hasHeadroom
        if let spare = demand.spare {
            spare.reset(keepingCapacity: self.limits.batchBytes)
            self.spare = spare
        }
        self.isDraining = demand.isDraining
        self.postIfPossible()
        return !demand.isClosed
    }

    // MARK: Turns

    /// Goes on through `limit` at most.
    func proceed(through limit: UInt64, nowNanoseconds: UInt64) -> Turn {
        if self.isDraining { return self.say(.rejected(.draining), nowNanoseconds) }
        if self.store.isDeleted(self.watcher.project) {
            return self.say(.rejected(.projectDeleted), nowNanoseconds)
        }
        switch self.phase {
        case .ended: return .ended
        case .resolving(let history): return self.resolve(history, nowNanoseconds)
        case .following: return self.follow(through: limit, nowNanoseconds)
        }
    }

    private func resolve(_ history: IdentifierHistory, _ nowNanoseconds: UInt64) -> Turn {
        switch history.proceed() {
        case .more: return .more
        case .waiting: return .waiting
        case .resolved(let tracks):
            self.tracks = tracks
            self.phase = .following
            return .more
        case .gone(let earliest): return self.sayGone(earliest, nowNanoseconds)
        case .tooLong(let limit, let maximum):
            return self.say(.limitExceeded(limit, maximum: maximum), nowNanoseconds)
        }
    }

    private func follow(through limit: UInt64, _ nowNanoseconds: UInt64) -> Turn {
        let resolver = self.store.resolver(of: self.watcher.project)
        while self.batch.count < self.limits.batchBytes {
            if self.isInSlice {
                self.considerSlice(resolver, nowNanoseconds)
                if self.isInSlice { break }
                // One slice a turn.
                self.postIfPossible()
                return .more
            }
            guard self.nextLSN <= limit else { break }
            switch self.cursor.next(maxBytes: self.limits.sliceBytes, through: limit) {
            case .frames(let slice):
                self.frames = slice.frames
                self.records = ChangeReader(.init(start: nil, count: 0))
                self.sliceThrough = slice.throughLSN
                self.isInSlice = true
            case .atHead: self.nextLSN = max(self.nextLSN, self.cursor.nextLSN)
            case .gone(let earliest): return self.sayGone(earliest, nowNanoseconds)
            case .failed: return .waiting
            }
        }
        self.addHeartbeatIfDue(nowNanoseconds)
        self.postIfPossible()
        guard self.batch.count < self.limits.batchBytes else { return .blocked }
        return self.nextLSN > limit ? .atHead : .more
    }

    /// Considers the records of the slice, until its end or until the batch is full.
    private func considerSlice(_ resolver: ChangeResolver, _ nowNanoseconds: UInt64) {
        var changes: UInt64 = 0
        defer { self.coordinator.metrics.add(changes: changes) }
        while true {
            // A record that is damaged was not written so: the checksum holds for the block.
            while let change = try? self.records.next() {
                guard change.lsn >= self.cursorLSN else { continue }
                if self.passes(change, resolver), self.add(change, resolver) {
                    changes += 1
                    self.skipped = 0
                    self.lastSentNanoseconds = nowNanoseconds
                } else {
                    self.skip(behind: change.lsn, nowNanoseconds)
                }
                self.nextLSN = change.lsn
                if self.batch.count >= self.limits.batchBytes { return }
            }
            guard let frame = self.frames.next() else { break }
            self.records = ChangeReader(frame.records)
        }
        self.isInSlice = false
        self.nextLSN = self.sliceThrough + 1
    }

    private func skip(behind lsn: UInt64, _ nowNanoseconds: UInt64) {
        self.skipped += 1
        self.nextLSN = lsn
        // Also while nobody reads: what is encoded later stands behind it.
        if self.skipped >= self.limits.skippedMax { self.addHeartbeat(nowNanoseconds) }
    }

    private func passes(_ change: ChangeView, _ resolver: ChangeResolver) -> Bool {
        guard change.project == self.watcher.project else { return false }
        if self.tracks != nil, self.tracks?.follow(change) != true { return false }
        guard self.watcher.filter.passes(change, resolver) else { return false }
        // Of a person that was erased since then nothing is told but that.
        return change.kind == .erased || change.lsn > self.coordinator.lastErasure(in: self.store)
            || !self.store.isErased(change.project, change.profileID)
    }

    private func add(_ change: ChangeView, _ resolver: ChangeResolver) -> Bool {
        self.noteErasure()
        return self.batch.append(of: change.kind == .erased ? nil : change.profileID) {
            self.encoder.encodeChange(change, resolver, into: &$0)
        }
    }

    private func noteErasure() {
        // Read before what is encoded is looked up.
        if self.batch.count == 0 {
            self.batch.erasure = self.coordinator.lastErasure(in: self.store)
        }
    }

    // MARK: Parked

    /// From now on the scan considers changes for it.
    ///
    /// - Parameter changes: How many the scan has considered so far.
    func enterScan(at changes: UInt64) {
        self.isParked = true
        self.scannedChanges = changes
    }

    /// Takes over what the scan has considered: nothing of it was for this watcher.
    func skip(to changes: UInt64, through lsn: UInt64, nowNanoseconds: UInt64) {
        self.skipped += changes - self.scannedChanges
        self.scannedChanges = changes
        self.nextLSN = lsn + 1
        self.addHeartbeatIfDue(nowNanoseconds)
        self.postIfPossible()
    }

    /// Reads on itself, behind what the scan has considered for it.
    func leaveScan(behind changes: UInt64, through lsn: UInt64) {
        self.skipped += changes - self.scannedChanges
        self.nextLSN = lsn + 1
        self.isParked = false
        self.cursor = self.feed.makeCursor(from: self.nextLSN)
        self.cursorLSN = self.nextLSN
    }

    /// How many changes the scan may have considered before this follower is to be told.
    var scanDue: UInt64 {
        self.scannedChanges + (self.scannedMax > self.skipped ? self.scannedMax - self.skipped : 0)
    }
    /// When it is to be told at the latest, in nanoseconds.
    var heartbeatDue: UInt64 { self.lastSentNanoseconds + self.limits.heartbeatNanoseconds }

    /// The scan looks through a slice at once, which has fewer changes than half of the maximum.
    private var scannedMax: UInt64 {
        self.isParked ? self.limits.skippedMax / 2 : self.limits.skippedMax
    }

    // MARK: Messages

    private func addHeartbeatIfDue(_ nowNanoseconds: UInt64) {
        // What waits already says more.
        guard self.hasHeadroom else { return }
        let isDue =
            self.skipped >= self.scannedMax
            || nowNanoseconds >= self.lastSentNanoseconds + self.limits.heartbeatNanoseconds
        if isDue { self.addHeartbeat(nowNanoseconds) }
    }

    private func addHeartbeat(_ nowNanoseconds: UInt64) {
        self.skipped = 0
        self.lastSentNanoseconds = nowNanoseconds
        self.noteErasure()
        let lsn = self.nextLSN - 1
        _ = self.batch.append(of: nil) {
            self.encoder.encodeHeartbeat(lsn: lsn, into: &$0)
            return true
        }
    }

    private func postIfPossible() {
        if self.hasHeadroom, self.batch.count > 0 { self.post() }
    }

    private func post(endingWith failure: CallFailure? = nil) {
        self.watcher.post(self.batch, endingWith: failure)
        self.hasHeadroom = false
        self.batch = self.spare ?? MessageBatch()
        self.spare = nil
        self.coordinator.calls.announce(self.watcher)
    }

    private func sayGone(_ earliest: UInt64, _ nowNanoseconds: UInt64) -> Turn {
        let turn = self.say(.positionGone(earliestLSN: earliest), nowNanoseconds)
        // It is tried again until the last message can be posted, and counted once.
        if case .ended = turn { self.coordinator.metrics.notePositionGone() }
        return turn
    }

    /// Ends the call, once the loop has taken what is encoded and a last heartbeat.
    private func say(_ failure: CallFailure, _ nowNanoseconds: UInt64) -> Turn {
        if case .ended = self.phase { return .ended }
        if !self.hasHeadroom { return .blocked }
        self.addHeartbeat(nowNanoseconds)
        self.post(endingWith: failure)
        self.phase = .ended
        return .ended
    }
}
