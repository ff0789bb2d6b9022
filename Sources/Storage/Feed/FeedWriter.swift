import Bytes
import IOCore

/// Moves the feed from memory to segment files, removes what is too old or too much, and makes
/// durable what a snapshot waits for. One bounded piece of work per step; used by one thread.
///
/// A call that fails neither stops the log nor loses a change: what is not synced is still in
/// memory, and is written again to another file a second later. Only when more than
/// `unsyncedBytesMax` wait, the oldest of them go, and the feed begins anew behind the gap. Source:
/// docs/decisions/0407-a-feed-that-cannot-be-written.md.
package final class FeedWriter {
    /// The segment that is written to.
    struct Current {
        var file: any File
        var firstLSN: UInt64
        var seed: UInt32
        var oldestAt: Int64
        var bytes = FeedSegmentHeader.bytes
        var syncedBytes = FeedSegmentHeader.bytes
    }

    package let feed: Feed
    var files: FeedFiles { self.feed.files }
    let clock: any Clock
    private let onEvent: (FeedEvent) -> Void
    /// Space beside the reserve that the feed leaves to others, in bytes: what the next snapshot
    /// needs.
    package var keptBytes: () -> UInt64 = { 0 }

    var current: Current?
    /// Files that could not be removed yet.
    var leftovers: [String] = []
    /// Whether the directory is there, and is no link.
    private var isPrepared = false
    /// Whether the files that a start found are unknown, because they could not be listed.
    private var hasUnknownFiles = false
    /// Whether names have changed since the directory was synced.
    var hasNewNames = false
    /// Monotonic, in nanoseconds.
    private var nextLook: UInt64 = 0
    /// `nil`: nothing has failed since the last success.
    private var retryAt: UInt64?
    private var isFailing = false
    var pieces = ByteBuffer(capacity: FeedSegmentHeader.bytes)

    /// - Parameter onEvent: Called in a step.
    package init(
        _ feed: Feed, clock: any Clock, onEvent: @escaping (FeedEvent) -> Void
    ) {
        self.feed = feed
        self.clock = clock
        self.onEvent = onEvent
    }

    deinit {
        self.current?.file.close()
    }

    /// Finds what is on disk of the changes up to a snapshot, which the replay continues; changes
    /// no file before the first step. Called once, before anything is appended.
    ///
    /// - Parameter snapshotLSN: 0: the replay begins with the first record.
    /// - Complexity: O(segments, and blocks of one segment).
    package func open(directoryID: DirectoryID, behind snapshotLSN: UInt64) {
        self.feed.belong(to: directoryID)
        do throws(IOError) {
            let recovery = try FeedRecovery(
                self.files, of: directoryID, behind: snapshotLSN,
                wall: self.clock.wallMicroseconds(), now: self.clock.monotonicNanoseconds(),
                options: self.feed.options)
            self.leftovers = recovery.leftovers
            self.feed.change { $0 = FeedState(recovery, behind: snapshotLSN) }
            if recovery.lossReason != nil { self.feed.metrics.beganAnew() }
        } catch {
            self.feed.change { state in
                state = FeedState()
                state.head = snapshotLSN
                state.lastChange = snapshotLSN
                state.beginAnew(keeping: 0)
            }
            self.hasUnknownFiles = true
            self.feed.metrics.beganAnew()
            _ = self.fail(error, now: self.clock.monotonicNanoseconds())
        }
    }

    // MARK: Steps

    /// Does the next piece of work.
    ///
    /// - Parameter all: Whether everything is written, and not only full blocks or what has waited
    ///   for a look.
    /// - Returns: `.now` if there is more to do at once.
    package func step(all: Bool = false) -> NextStep {
        let now = self.clock.monotonicNanoseconds()
        if let retryAt = self.retryAt, now < retryAt {
            if self.feed.unsyncedBytes < self.feed.options.unsyncedBytesMax {
                self.endRequests(false)
                return .after(nanoseconds: retryAt - now)
            }
            self.dropOldest()
        }
        self.retryAt = nil
        do throws(IOError) {
            if try self.advance(now: now, all: all) { return .now }
        } catch {
            return self.fail(error, now: now)
        }
        return .after(nanoseconds: self.nextLook > now ? self.nextLook - now : 0)
    }

    /// - Returns: Whether there may be more to do at once.
    private func advance(now: UInt64, all: Bool) throws(IOError) -> Bool {
        self.reportLoss()
        self.leaveDiscarded()
        if let wanted = self.feed.syncs.wanted {
            let hasReached = self.feed.look { $0.writtenThrough >= wanted }
            guard hasReached else { return try self.writeNext(partial: true, through: wanted) }
            try self.sync()
            self.endRequests(true)
            return true
        }
        let isLook = now >= self.nextLook
        if try self.writeNext(partial: isLook || all) { return true }
        guard isLook else { return false }
        if !self.leftovers.isEmpty || self.hasUnknownFiles { try self.prepare() }
        if try self.removeSuperfluous(now: now) { return true }
        self.nextLook = now + self.feed.options.lookNanoseconds
        return false
    }

    /// Writes one block, and syncs when enough is written.
    ///
    /// - Parameter wanted: A position that is to be reached even if nothing has changed.
    /// - Returns: Whether there was something to write.
    private func writeNext(partial: Bool, through wanted: UInt64 = 0) throws(IOError) -> Bool {
        var range = self.feed.change { $0.takeRange(partial: partial) }
        if range == nil, wanted > 0 {
            range = self.feed.look { FeedRange(from: $0.writtenThrough + 1, through: $0.head) }
        }
        guard let range else { return false }
        try self.prepare()
        try self.write(range)
        // Behind a failure at once: a write that succeeds proves little.
        if let current = self.current,
            self.isFailing
                || current.bytes - current.syncedBytes >= self.feed.options.syncBytes
        {
            try self.sync()
            self.succeed()
        }
        return true
    }

    /// Makes the directory where it is missing, and removes what a start or a failure left there.
    private func prepare() throws(IOError) {
        if !self.isPrepared {
            try self.files.makeDirectory()
            self.isPrepared = true
        }
        if self.hasUnknownFiles {
            let names = try self.files.list()
            self.leftovers = names.filter {
                FeedFiles.lsn(of: $0) != nil || FeedFiles.isTemporary($0)
            }
            self.hasUnknownFiles = false
        }
        while let name = self.leftovers.last {
            try self.files.remove(name)
            self.hasNewNames = true
            self.leftovers.removeLast()
        }
        if self.hasNewNames, self.current == nil { try self.syncNames() }
    }

    /// Ends the requests that are reached, or all if they cannot be met.
    private func endRequests(_ isDurable: Bool) {
        let through = isDurable ? self.feed.look { $0.syncedThrough } : .max
        self.feed.syncs.end(isDurable, through: through)
    }

    // MARK: Failures

    private func succeed() {
        guard self.isFailing else { return }
        self.isFailing = false
        self.onEvent(.recovered)
    }

    private func fail(_ error: IOError, now: UInt64) -> NextStep {
        self.feed.metrics.failed()
        if !self.isFailing { self.onEvent(.failed(error)) }
        self.isFailing = true
        // What of the unsynced blocks is on disk is unknown, and a second sync would prove nothing
        // (L8): they are written again to another file, from memory.
        let syncedBytes = self.current?.syncedBytes
        self.closeCurrent()
        self.feed.change { $0.revert(syncedBytes: syncedBytes) }
        self.hasNewNames = true
        self.endRequests(false)
        if self.feed.unsyncedBytes >= self.feed.options.unsyncedBytesMax { self.dropOldest() }
        self.retryAt = now + self.feed.options.retryNanoseconds
        return .after(nanoseconds: self.feed.options.retryNanoseconds)
    }

    /// The log does not wait for a disk that fails: the older half of what waits goes, and with it
    /// every file.
    private func dropOldest() {
        self.closeCurrent()
        self.feed.change { state in
            state.beginAnew(keeping: self.feed.options.unsyncedBytesMax / 2)
            state.lossReason = "its files cannot be written, and no more fits in memory"
        }
        self.feed.metrics.beganAnew()
        self.leaveDiscarded()
        self.reportLoss()
    }

    private func reportLoss() {
        let loss = self.feed.look { state -> (UInt64, String)? in
            guard let reason = state.lossReason else { return nil }
            state.lossReason = nil
            return (state.earliest, reason)
        }
        if let (earliest, reason) = loss {
            self.onEvent(.lost(earliestLSN: earliest, reason: reason))
        }
    }

    /// Takes the names of the segments that are in use no more.
    private func leaveDiscarded() {
        let (discarded, last) = self.feed.look { state in
            defer { state.discarded = [] }
            return (state.discarded, state.segments.last?.firstLSN)
        }
        self.leftovers += discarded.map(FeedFiles.name(of:))
        if let current = self.current, current.firstLSN != last { self.closeCurrent() }
    }

    func closeCurrent() {
        self.current?.file.close()
        self.current = nil
    }
}
