import GRPCTransport
import IOCore
import Messages
import Synchronization

/// Where loops register their WatchTriggers calls, and the worker finds them. Any thread.
package final class TriggerCoordinator: Sendable {
    private struct State: Sendable {
        var count = 0
        var opened: [TriggerConsumer] = []
        /// The loop has taken a batch or left something: once for each time.
        var signalled: [TriggerConsumer] = []
        var isStopping = false
    }

    package let metrics = TriggerStreamMetrics()
    let limits: TriggerStreamLimits
    /// Where the worker's batches come back from the log, behind the mailboxes of the loops.
    let settled: CompletionMailbox
    /// The number of that mailbox.
    let settledIndex: Int
    private let state = Guarded(State())
    /// Whether a new firing concerns anybody.
    private let isAwaited = Atomic<Bool>(false)
    /// Of the log's thread.
    private let announcedVersion = Atomic<UInt64>(0)
    private let mailboxes: [CompletionMailbox]
    private let waker: any Waker

    /// - Parameters:
    ///   - mailboxes: One per loop, by its index.
    ///   - waker: Wakes the worker.
    package init(
        limits: TriggerStreamLimits, mailboxes: [CompletionMailbox], waker: any Waker
    ) {
        self.limits = limits
        self.mailboxes = mailboxes
        self.waker = waker
        self.settledIndex = mailboxes.count
        self.settled = CompletionMailbox(wake: { waker.wake() })
    }

    // MARK: The log's thread

    /// A frame is applied; wakes the worker if the version of triggers is another one, which says
    /// that there may be new firings, or that a trigger may have gone.
    func announce(firings version: UInt64) {
        guard version != self.announcedVersion.load(ordering: .relaxed) else { return }
        self.announcedVersion.store(version, ordering: .relaxed)
        self.announce()
    }

    /// Wakes the worker if there is anybody to tell.
    func announce() {
        if self.isAwaited.load(ordering: .sequentiallyConsistent) { self.waker.wake() }
    }

    // MARK: Loops

    /// Adds a call.
    ///
    /// - Returns: Why it is rejected; `nil` if it is served.
    func open(_ consumer: TriggerConsumer) -> CallFailure? {
        let maximum = self.limits.streamsMax
        let rejection = self.state.withLock { state -> CallFailure? in
            if state.isStopping { return .rejected(.draining) }
            guard state.count < maximum else {
                return .limitExceeded("trigger_streams_max", maximum: maximum)
            }
            state.count += 1
            state.opened.append(consumer)
            self.metrics.set(streams: state.count)
            return nil
        }
        if rejection == nil { self.waker.wake() }
        return rejection
    }

    /// The worker shall look at a call.
    func signal(_ consumer: TriggerConsumer) {
        self.state.withLock { $0.signalled.append(consumer) }
        self.waker.wake()
    }

    /// Makes the worker end once what was acknowledged is settled.
    package func stop() {
        self.state.withLock { $0.isStopping = true }
        self.waker.wake()
    }

    // MARK: The worker

    /// What has come since the last call.
    struct Requests: Sendable {
        var opened: [TriggerConsumer]
        var signalled: [TriggerConsumer]
        var isStopping: Bool
    }

    func takeRequests() -> Requests {
        self.state.withLock { state in
            defer { (state.opened, state.signalled) = ([], []) }
            return Requests(
                opened: state.opened, signalled: state.signalled, isStopping: state.isStopping)
        }
    }

    /// Whether the worker is to be woken for new firings; it looks at the state once more behind
    /// this.
    func set(isAwaited: Bool) {
        self.isAwaited.store(isAwaited, ordering: .sequentiallyConsistent)
    }

    /// The loop of a call shall look at it.
    func announce(_ consumer: TriggerConsumer) {
        self.mailboxes[Int(consumer.token.loop)].post(ready: consumer.token)
    }

    /// The worker has forgotten a call.
    func forget() {
        self.state.withLock { state in
            state.count -= 1
            self.metrics.set(streams: state.count)
        }
    }
}
