import IOCore
import Profiles
import Storage
import Synchronization

// A command's way to disk: a loop seals its batch and submits it, the committer takes all sealed
// batches, appends them to the log in as few frames as the bounds allow, applies the committed
// frames in that order, and posts each batch back to its loop.
//
// Invariants, checked by the tests:
// - a batch is posted only after each of its records is committed and applied, or is rejected;
// - records are applied in the order of the log, and only when they are committed;
// - after a failed write or sync nothing more is written or applied;
// - a node that does not lead its log takes no writes.

/// A resource that may run out and become free again.
package enum Shortage: Sendable {
    case disk
    case memory
}

/// The queue between the loops and the committer of one partition.
package final class CommitPipeline: Sendable {
    private struct Waiting: Sendable {
        var batches: [LogBatch] = []
        var isStopping = false
    }

    /// Why no write is taken. One word, so that admission costs one load.
    private struct Obstacles: OptionSet {
        let rawValue: UInt8
        static let logFailed = Self(rawValue: 1)
        static let notLeader = Self(rawValue: 2)
        static let diskFull = Self(rawValue: 4)

        /// The one that matters most.
        var rejection: Rejection {
            if self.contains(.logFailed) { return .logUnavailable }
            if self.contains(.notLeader) { return .notLeader }
            return self.contains(.diskFull) ? .diskFull : .none
        }
    }

    package let limits: PipelineLimits
    /// Whether batches note when their frames are appended, durable and applied.
    let measuresPhases: Bool
    package let metrics = PipelineMetrics()
    private let waiting = Guarded(Waiting())
    private let waker: any Waker
    private let mailboxes: [CompletionMailbox]
    /// Changed by the committer only.
    private let obstaclesCell = Atomic<UInt8>(0)
    private let isMemoryFullCell = Atomic<Bool>(false)
    private let batchesOfCallsCell = Atomic<UInt64>(0)
    private let onPoison: @Sendable (StorageError) -> Void
    private let onShortage: @Sendable (Shortage, Bool) -> Void
    private let onLeadership: @Sendable (Leadership) -> Void
    private let onClock: @Sendable (ClockEvent) -> Void
    private let onFirings: @Sendable (UInt64) -> Void

    /// - Parameters:
    ///   - mailboxes: One per loop, by its index, then those of others who submit batches.
    ///   - waker: Wakes the committer's driver.
    ///   - onPoison: Called once, by the committer, when the log has failed for good.
    ///   - onShortage: Called by the committer when writes begin or cease to be rejected because
    ///     something ran out.
    ///   - onLeadership: Called by the committer when leadership changes; not for the first time
    ///     that this node leads.
    ///   - onClock: Called by the committer while the machine's clock is behind, and when it is
    ///     right again.
    ///   - onFirings: Called by the committer with `TriggerStore.version`, after each frame.
    package init(
        limits: PipelineLimits, mailboxes: [CompletionMailbox], waker: any Waker,
        measuresPhases: Bool = false,
        onPoison: @escaping @Sendable (StorageError) -> Void,
        onShortage: @escaping @Sendable (Shortage, Bool) -> Void = { _, _ in },
        onLeadership: @escaping @Sendable (Leadership) -> Void = { _ in },
        onClock: @escaping @Sendable (ClockEvent) -> Void = { _ in },
        onFirings: @escaping @Sendable (UInt64) -> Void = { _ in }
    ) {
        self.limits = limits
        self.measuresPhases = measuresPhases
        self.mailboxes = mailboxes
        self.waker = waker
        self.onPoison = onPoison
        self.onShortage = onShortage
        self.onLeadership = onLeadership
        self.onClock = onClock
        self.onFirings = onFirings
    }

    func report(_ event: ClockEvent) { self.onClock(event) }

    func announce(firings version: UInt64) { self.onFirings(version) }

    private var obstacles: Obstacles {
        Obstacles(rawValue: self.obstaclesCell.load(ordering: .acquiring))
    }

    private func set(_ obstacle: Obstacles, _ isThere: Bool) {
        var obstacles = self.obstacles
        if isThere { obstacles.insert(obstacle) } else { obstacles.remove(obstacle) }
        self.obstaclesCell.store(obstacles.rawValue, ordering: .releasing)
    }

    /// Whether the log has failed for good: writes are rejected until a restart.
    package var isPoisoned: Bool { self.obstacles.contains(.logFailed) }

    /// Whether another node leads the log: writes are rejected until this one leads again.
    package var isFollowing: Bool { self.obstacles.contains(.notLeader) }

    /// Whether writes are rejected because the disk is full; the committer clears it when there is
    /// space again (L9).
    package var isDiskFull: Bool { self.obstacles.contains(.diskFull) }

    /// Whether the store has passed its limit: writes that need memory are rejected on their loop,
    /// except those that must never be (`Store.takesOverMemoryLimit`).
    package var isMemoryFull: Bool { self.isMemoryFullCell.load(ordering: .relaxed) }

    /// Reserves space for one more waiting command of `bytes`.
    ///
    /// The bound may be passed by one command per loop at most, as the loops do not lock each other
    /// out.
    ///
    /// - Parameter isOfStream: Streams stop earlier, so that unary calls, which cannot wait, are
    ///   not rejected because of them.
    /// - Returns: `.none` if the command may be submitted.
    package func reserve(bytes: Int, isOfStream: Bool = false) -> Rejection {
        let obstacles = self.obstacles
        guard obstacles.isEmpty else { return obstacles.rejection }
        let commandsMax =
            isOfStream ? self.limits.streamCommandsWaitingMax : self.limits.commandsWaitingMax
        let bytesMax = isOfStream ? self.limits.streamBytesWaitingMax : self.limits.bytesWaitingMax
        guard self.metrics.commandsWaiting < commandsMax,
            self.metrics.bytesWaiting + bytes <= bytesMax
        else { return .rateExceeded }
        self.metrics.addWaiting(commands: 1, bytes: bytes)
        return .none
    }

    /// Whether a command of a stream may find headroom.
    var hasHeadroomForStreams: Bool {
        // What it has to be told of is no reason to wait.
        !self.obstacles.isEmpty
            || (self.metrics.commandsWaiting < self.limits.streamCommandsWaitingMax
                && self.metrics.bytesWaiting < self.limits.streamBytesWaitingMax)
    }

    /// Releases a reservation: the command was abandoned before it was submitted.
    package func release(commands: Int, bytes: Int) {
        self.metrics.addWaiting(commands: -commands, bytes: -bytes)
    }

    /// Batches of all loops so far that had a command of another call than an import.
    var batchesOfCalls: UInt64 { self.batchesOfCallsCell.load(ordering: .relaxed) }

    /// A batch has a command of another call than an import.
    func noteCalls() { self.batchesOfCallsCell.wrappingAdd(1, ordering: .relaxed) }

    /// Hands a sealed batch over; from now on its commands may be committed.
    package func submit(_ batch: LogBatch) {
        self.waiting.withLock { $0.batches.append(batch) }
        self.waker.wake()
    }

    /// Lets the committer finish what waits, close the log, and end.
    package func stop() {
        self.waiting.withLock { $0.isStopping = true }
        self.waker.wake()
    }

    /// Exchanges the waiting batches for `empty`; only the committer does.
    ///
    /// - Returns: Whether the committer shall end.
    func take(into empty: inout [LogBatch]) -> Bool {
        self.waiting.withLock { waiting in
            swap(&waiting.batches, &empty)
            return waiting.isStopping
        }
    }

    /// Posts a finished batch to its loop.
    func complete(_ batch: LogBatch) {
        self.metrics.addWaiting(commands: -batch.slots.count, bytes: -batch.records.count)
        self.mailboxes[batch.loop].post(batch)
    }

    /// Rejects writes from now on.
    func poison(_ error: StorageError) {
        guard !self.isPoisoned else { return }
        self.set(.logFailed, true)
        self.onPoison(error)
    }

    /// Notes whether this node takes writes.
    func setLeadership(_ leadership: Leadership) {
        let isFollowing = if case .leading = leadership { false } else { true }
        self.set(.notLeader, isFollowing)
        self.onLeadership(leadership)
    }

    /// Notes whether there is space.
    func setDiskFull(_ isFull: Bool) {
        guard isFull != self.isDiskFull else { return }
        if isFull { self.metrics.countDiskFull() }
        self.set(.diskFull, isFull)
        self.onShortage(.disk, isFull)
    }

    /// Notes whether the store is over its limit.
    func setMemoryFull(_ isFull: Bool) {
        guard isFull != self.isMemoryFull else { return }
        self.isMemoryFullCell.store(isFull, ordering: .relaxed)
        self.onShortage(.memory, isFull)
    }
}
