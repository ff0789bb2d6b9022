import IOCore

/// Where loops register their exports, and the worker finds them. Any thread.
package final class ExportCoordinator: Sendable {
    package let metrics = ExportMetrics()
    let limits: ExportLimits
    let calls: CallRegistry<ExportCall>

    /// - Parameters:
    ///   - mailboxes: One per loop, by its index.
    ///   - waker: Wakes the worker.
    package init(limits: ExportLimits, mailboxes: [CompletionMailbox], waker: any Waker) {
        self.limits = limits
        self.calls = CallRegistry(
            places: PeerPlaces(
                placesMax: limits.exportsMax, limit: "exports_max",
                limitPerPeer: "exports_per_peer_max"),
            mailboxes: mailboxes, waker: waker)
    }

    /// Makes the worker end.
    package func stop() { self.calls.stop() }
}
