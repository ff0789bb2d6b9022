import GRPCTransport
import IOCore
import Messages
import Synchronization

/// Where loops register their WatchTriggers calls, and the worker finds them. Any thread.
package final class TriggerCoordinator: Sendable {
    package let metrics = TriggerStreamMetrics()
    let limits: TriggerStreamLimits
    let calls: CallRegistry<TriggerConsumer>
    /// Where the worker's batches come back from the log, behind the mailboxes of the loops.
    let settled: CompletionMailbox
    /// The number of that mailbox.
    let settledIndex: Int
    /// Whether a new firing concerns anybody.
    private let isAwaited = Atomic<Bool>(false)
    /// Of the log's thread.
    private let announcedVersion = Atomic<UInt64>(0)
    private let waker: any Waker

    /// - Parameters:
    ///   - mailboxes: One per loop, by its index.
    ///   - waker: Wakes the worker.
    package init(
        limits: TriggerStreamLimits, mailboxes: [CompletionMailbox], waker: any Waker
    ) {
        self.limits = limits
        self.calls = CallRegistry(
            places: PeerPlaces(
                placesMax: limits.streamsMax, limit: "trigger_streams_max",
                limitPerPeer: "trigger_streams_per_peer_max"),
            mailboxes: mailboxes, waker: waker)
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

    // MARK: Any thread

    /// Open WatchTriggers calls.
    package var streams: Int { self.calls.count }

    /// Makes the worker end once what was acknowledged is settled.
    package func stop() { self.calls.stop() }

    // MARK: The worker

    /// Whether the worker is to be woken for new firings; it looks at the state once more behind
    /// this.
    func set(isAwaited: Bool) {
        self.isAwaited.store(isAwaited, ordering: .sequentiallyConsistent)
    }
}
