import IOCore
import Profiles
import Synchronization

// The way of a command: a loop seals its batch (submit), the log thread takes all sealed batches,
// makes them durable in as few frames as the bounds allow, applies them in that order, and gives
// each batch back to its loop.
//
// Invariants, checked by the tests:
// - a batch is posted only after each of its records is durable and applied, or is marked refused;
// - records are applied in the order of the log;
// - after a failed write or sync nothing more is written or applied.

/// What may run out and come back.
package enum Shortage: Sendable {
    case disk
    case memory
}

/// The queue between the loops and the log thread of one partition.
package final class CommitPipeline: Sendable {
    private struct Waiting: Sendable {
        var batches: [LogBatch] = []
        var isStopping = false
    }

    package let limits: PipelineLimits
    package let metrics = PipelineMetrics()
    private let waiting = Guarded(Waiting())
    private let parker: any Parker
    private let mailboxes: [CompletionMailbox]
    private let isPoisonedCell = Atomic<Bool>(false)
    private let isDiskFullCell = Atomic<Bool>(false)
    private let isMemoryFullCell = Atomic<Bool>(false)
    private let onPoison: @Sendable () -> Void
    private let onShortage: @Sendable (Shortage, Bool) -> Void

    /// - Parameters:
    ///   - mailboxes: One per loop, by its index.
    ///   - parker: Puts the log thread to sleep.
    ///   - onPoison: Called once, on the log thread, when the log has failed for good.
    ///   - onShortage: Called on the log thread when writes begin or cease to be refused for want
    ///     of something.
    package init(
        limits: PipelineLimits, mailboxes: [CompletionMailbox], parker: any Parker,
        onPoison: @escaping @Sendable () -> Void,
        onShortage: @escaping @Sendable (Shortage, Bool) -> Void = { _, _ in }
    ) {
        self.limits = limits
        self.mailboxes = mailboxes
        self.parker = parker
        self.onPoison = onPoison
        self.onShortage = onShortage
    }

    /// Whether the log has failed for good: writes are refused until a restart.
    package var isPoisoned: Bool { self.isPoisonedCell.load(ordering: .acquiring) }

    /// Whether writes are refused for want of space; the log thread takes it back by itself when
    /// there is some (L9).
    package var isDiskFull: Bool { self.isDiskFullCell.load(ordering: .relaxed) }

    /// Whether the store has passed its limit: writes that need room are refused on their loop, and
    /// what must not be refused goes on (`RecordView.isTakenOverMemoryLimit`).
    package var isMemoryFull: Bool { self.isMemoryFullCell.load(ordering: .relaxed) }

    /// Says whether one more command of `bytes` may wait; reserves its place if so.
    ///
    /// The bound may be passed by one command per loop at most, as the loops do not lock each other
    /// out.
    ///
    /// - Parameter isOfStream: Streams stop earlier, so that unary calls, which cannot wait, are
    ///   not refused because of them.
    package func reserve(bytes: Int, isOfStream: Bool = false) -> Rejection {
        if self.isPoisoned { return .logUnavailable }
        if self.isDiskFull { return .diskFull }
        let commandsMax =
            isOfStream ? self.limits.streamCommandsWaitingMax : self.limits.commandsWaitingMax
        let bytesMax = isOfStream ? self.limits.streamBytesWaitingMax : self.limits.bytesWaitingMax
        guard self.metrics.commandsWaiting < commandsMax,
            self.metrics.bytesWaiting + bytes <= bytesMax
        else { return .rateExceeded }
        self.metrics.addWaiting(commands: 1, bytes: bytes)
        return .none
    }

    /// Gives a reserved place back: the command was abandoned before it was submitted.
    package func release(commands: Int, bytes: Int) {
        self.metrics.addWaiting(commands: -commands, bytes: -bytes)
    }

    /// Hands a sealed batch over; from now on its commands may become durable.
    package func submit(_ batch: LogBatch) {
        self.waiting.withLock { $0.batches.append(batch) }
        self.parker.wake()
    }

    /// Lets the log thread finish what waits, seal the log and return.
    package func stop() {
        self.waiting.withLock { $0.isStopping = true }
        self.parker.wake()
    }

    /// The body of the log thread: returns after `stop`, with the log sealed.
    package func run(_ committer: Committer) {
        var batches: [LogBatch] = []
        while true {
            let isStopping = self.take(into: &batches)
            if !batches.isEmpty {
                committer.process(batches, in: self)
                batches.removeAll(keepingCapacity: true)
            } else if isStopping {
                committer.close()
                return
            } else {
                let pause = committer.rest(in: self)
                self.parker.park(forNanoseconds: pause)
            }
        }
    }

    /// Takes everything that waits; the simulator and the tests call this instead of `run`.
    package func take(into empty: inout [LogBatch]) -> Bool {
        self.waiting.withLock { waiting in
            swap(&waiting.batches, &empty)
            return waiting.isStopping
        }
    }

    /// Gives a batch back to its loop.
    func complete(_ batch: LogBatch) {
        self.metrics.addWaiting(commands: -batch.slots.count, bytes: -batch.records.count)
        self.mailboxes[batch.loop].post(batch)
    }

    /// Refuses writes from now on.
    func poison() {
        guard !self.isPoisonedCell.exchange(true, ordering: .acquiringAndReleasing) else { return }
        self.onPoison()
    }

    /// Notes whether there is space; only the log thread does.
    func setDiskFull(_ isFull: Bool) {
        guard isFull != self.isDiskFull else { return }
        if isFull { self.metrics.countDiskFull() }
        self.isDiskFullCell.store(isFull, ordering: .relaxed)
        self.onShortage(.disk, isFull)
    }

    /// Notes whether the store is over its limit; only the log thread does.
    func setMemoryFull(_ isFull: Bool) {
        guard isFull != self.isMemoryFull else { return }
        self.isMemoryFullCell.store(isFull, ordering: .relaxed)
        self.onShortage(.memory, isFull)
    }
}
