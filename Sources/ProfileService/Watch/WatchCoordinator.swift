import GRPCTransport
import IOCore
import Messages
import Profiles

/// Where loops register their watchers, and the worker finds them. Any thread.
package final class WatchCoordinator: Sendable {
    private struct State: Sendable {
        var count = 0
        var opened: [Watcher] = []
        /// The loop has taken a batch, or the call has ended: once for each time.
        var signalled: [Watcher] = []
        var isStopping = false
    }

    package let metrics = WatchMetrics()
    let limits: WatchLimits
    /// What was erased before the start is not known by time: everything until then is looked up.
    private let startLSN: UInt64
    private let state = Guarded(State())
    private let mailboxes: [CompletionMailbox]
    private let waker: any Waker

    /// - Parameters:
    ///   - startLSN: What the store had applied when it was recovered.
    ///   - mailboxes: One per loop, by its index.
    ///   - waker: Wakes the worker.
    package init(
        limits: WatchLimits, startLSN: UInt64, mailboxes: [CompletionMailbox], waker: any Waker
    ) {
        self.limits = limits
        self.startLSN = startLSN
        self.mailboxes = mailboxes
        self.waker = waker
    }

    /// Changes behind this lsn are of people who are not erased; it grows with each erasure, before
    /// that is responded to.
    func lastErasure(in store: Store) -> UInt64 { max(store.lastEraseLSN, self.startLSN) }

    // MARK: Loops

    /// Adds a watcher.
    ///
    /// - Returns: Why it is rejected; `nil` if it is watched for.
    func open(_ watcher: Watcher) -> CallFailure? {
        let maximum = self.limits.watchersMax
        let rejection = self.state.withLock { state -> CallFailure? in
            if state.isStopping { return .rejected(.draining) }
            guard state.count < maximum else {
                return .limitExceeded("watchers_max", maximum: maximum)
            }
            state.count += 1
            state.opened.append(watcher)
            return nil
        }
        if rejection == nil { self.waker.wake() }
        return rejection
    }

    /// The worker shall look at a watcher: a batch can be posted, or it has ended.
    func signal(_ watcher: Watcher) {
        self.state.withLock { $0.signalled.append(watcher) }
        self.waker.wake()
    }

    /// Makes the worker end.
    package func stop() {
        self.state.withLock { $0.isStopping = true }
        self.waker.wake()
    }

    // MARK: The worker

    /// What has come since the last call.
    struct Events: Sendable {
        var opened: [Watcher]
        var signalled: [Watcher]
        var isStopping: Bool
    }

    func takeEvents() -> Events {
        self.state.withLock { state in
            defer { (state.opened, state.signalled) = ([], []) }
            return Events(
                opened: state.opened, signalled: state.signalled, isStopping: state.isStopping)
        }
    }

    /// The loop of a watcher shall look at it.
    func announce(_ watcher: Watcher) {
        self.mailboxes[Int(watcher.token.loop)].post(ready: watcher.token)
    }

    /// The worker has forgotten a watcher.
    func forget() { self.state.withLock { $0.count -= 1 } }
}
