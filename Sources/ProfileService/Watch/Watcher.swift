import GRPCTransport
import IOCore
import Messages
import Profiles

/// One open Watch call, between its loop and the `WatchWorker`.
///
/// At most one batch waits here: the worker fills the next one meanwhile, and then leaves the
/// watcher alone until the loop has taken it.
final class Watcher: ServedCall {
    let token: CallToken
    let peer: PeerAddress
    let project: ProjectID
    /// Inclusive; 0: what comes after the call.
    let fromLSN: UInt64
    let filter: ChangeFilter

    private struct State: Sendable {
        var handover = BatchHandover<MessageBatch, CallFailure>()
        var isDraining = false
        var isClosed = false
    }

    private let state = Guarded(State())

    init(
        token: CallToken, peer: PeerAddress, project: ProjectID, fromLSN: UInt64,
        filter: ChangeFilter
    ) {
        self.token = token
        self.peer = peer
        self.project = project
        self.fromLSN = fromLSN
        self.filter = filter
    }

    // MARK: The loop

    /// Takes the batch that waits, and gives back the storage of the one before.
    func take(giving spare: MessageBatch?) -> BatchHandover<MessageBatch, CallFailure>.Finding {
        self.state.withLock { $0.handover.take(giving: spare) }
    }

    /// Asks for a last heartbeat and the end.
    func drain() { self.state.withLock { $0.isDraining = true } }

    /// The call has ended.
    func close() { self.state.withLock { $0.isClosed = true } }

    // MARK: The worker

    /// What the worker finds.
    struct Demand: Sendable {
        var isClosed: Bool
        var isDraining: Bool
        /// A batch can be posted.
        var hasHeadroom: Bool
        var spare: MessageBatch?
    }

    /// Takes what the loop asks for.
    func takeDemand() -> Demand {
        self.state.withLock { state in
            Demand(
                isClosed: state.isClosed, isDraining: state.isDraining,
                hasHeadroom: state.handover.hasHeadroom, spare: state.handover.takeSpare())
        }
    }

    /// Leaves a batch for the loop.
    ///
    /// - Parameter failure: Why the call ends with this batch; `nil`: it goes on. It is left with
    ///   the batch, since the loop is told of both once.
    /// - Precondition: None waits.
    func post(_ batch: MessageBatch, endingWith failure: CallFailure? = nil) {
        self.state.withLock { state in
            state.handover.post(batch)
            if let failure { state.handover.end(failure) }
        }
    }

    /// Ends the call once the loop has sent what waits.
    func end(with failure: CallFailure) { self.state.withLock { $0.handover.end(failure) } }
}
