import GRPCTransport
import IOCore
import Messages

/// A call that a worker serves.
protocol ServedCall: AnyObject, Sendable {
    var token: CallToken { get }
    /// Whose place it has.
    var peer: PeerAddress { get }
}

/// The open calls that one worker serves: where loops leave them, and the worker finds them. Any
/// thread.
final class CallRegistry<Call: ServedCall>: Sendable {
    /// What has come since the worker last looked.
    struct Requests: Sendable {
        var opened: [Call] = []
        /// The loop has taken a batch or left something, or the call has ended: once for each time.
        var signalled: [Call] = []
        var isStopping = false
    }

    private struct State: Sendable {
        var places: PeerPlaces
        var requests = Requests()
    }

    private let state: Guarded<State>
    private let mailboxes: [CompletionMailbox]
    private let waker: any Waker

    /// - Parameters:
    ///   - places: Those of the calls, none of which is taken.
    ///   - mailboxes: One per loop, by its index.
    ///   - waker: Wakes the worker.
    init(places: PeerPlaces, mailboxes: [CompletionMailbox], waker: any Waker) {
        self.state = Guarded(State(places: places))
        self.mailboxes = mailboxes
        self.waker = waker
    }

    /// Open calls.
    var count: Int { self.state.withLock { $0.places.count } }

    // MARK: Loops

    /// Adds a call, which takes a place until `forget`.
    ///
    /// - Returns: Why it is rejected; `nil` if it is served.
    func open(_ call: Call) -> CallFailure? {
        let rejection = self.state.withLock { state -> CallFailure? in
            if state.requests.isStopping { return .rejected(.draining) }
            guard state.places.take(call.peer) else { return state.places.rejection }
            state.requests.opened.append(call)
            return nil
        }
        if rejection == nil { self.waker.wake() }
        return rejection
    }

    /// The worker shall look at a call.
    func signal(_ call: Call) {
        self.state.withLock { $0.requests.signalled.append(call) }
        self.waker.wake()
    }

    /// Makes the worker end.
    func stop() {
        self.state.withLock { $0.requests.isStopping = true }
        self.waker.wake()
    }

    // MARK: The worker

    /// Takes what has come; `isStopping` stays.
    func takeRequests() -> Requests {
        self.state.withLock { state in
            defer { (state.requests.opened, state.requests.signalled) = ([], []) }
            return state.requests
        }
    }

    /// The loop of a call shall look at it.
    func announce(_ call: Call) { self.mailboxes[Int(call.token.loop)].post(ready: call.token) }

    /// The worker has forgotten a call: its place is free.
    func forget(_ call: Call) { self.state.withLock { $0.places.giveBack(call.peer) } }
}
