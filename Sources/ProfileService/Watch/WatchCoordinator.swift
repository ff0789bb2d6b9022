import GRPCTransport
import IOCore
import Messages
import Profiles

/// Where loops register their watchers, and the worker finds them. Any thread.
package final class WatchCoordinator: Sendable {
    package let metrics = WatchMetrics()
    let limits: WatchLimits
    let calls: CallRegistry<Watcher>
    /// What was erased before the start is not known by time: everything until then is looked up.
    private let startLSN: UInt64

    /// - Parameters:
    ///   - startLSN: What the store had applied when it was recovered.
    ///   - mailboxes: One per loop, by its index.
    ///   - waker: Wakes the worker.
    package init(
        limits: WatchLimits, startLSN: UInt64, mailboxes: [CompletionMailbox], waker: any Waker
    ) {
        self.limits = limits
        self.startLSN = startLSN
        self.calls = CallRegistry(
            places: PeerPlaces(
                placesMax: limits.watchersMax, limit: "watchers_max",
                limitPerPeer: "watchers_per_peer_max"),
            mailboxes: mailboxes, waker: waker)
    }

    /// Changes behind this lsn are of people who are not erased; it grows with each erasure, before
    /// that is responded to.
    func lastErasure(in store: Store) -> UInt64 { max(store.lastEraseLSN, self.startLSN) }

    /// Makes the worker end.
    package func stop() { self.calls.stop() }
}
