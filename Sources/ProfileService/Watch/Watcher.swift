import GRPCTransport
import IOCore
import Messages
import Profiles

/// One open Watch call, between its loop and the `WatchWorker`.
///
/// At most one batch waits here: the worker fills the next one meanwhile, and then leaves the
/// watcher alone until the loop has taken it.
final class Watcher: Sendable {
    let token: CallToken
    let project: ProjectID
    /// Inclusive; 0: what comes after the call.
    let fromLSN: UInt64
    let filter: ChangeFilter

    private struct State: Sendable {
        var posted: WatchBatch?
        /// The storage of a batch that was sent.
        var spare: WatchBatch?
        /// Why the call ends once the batch is sent.
        var end: CallFailure?
        var isDraining = false
        var isClosed = false
    }

    private let state = Guarded(State())

    init(token: CallToken, project: ProjectID, fromLSN: UInt64, filter: ChangeFilter) {
        self.token = token
        self.project = project
        self.fromLSN = fromLSN
        self.filter = filter
    }

    // MARK: The loop

    /// What the loop finds.
    enum Finding: Sendable {
        case batch(WatchBatch)
        case nothing
        case ended(CallFailure)
    }

    /// Takes the batch that waits, and gives back the storage of the one before.
    func take(giving spare: WatchBatch?) -> Finding {
        self.state.withLock { state in
            if let spare { state.spare = spare }
            if let batch = state.posted {
                state.posted = nil
                return .batch(batch)
            }
            return state.end.map { .ended($0) } ?? .nothing
        }
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
        var hasCapacity: Bool
        var spare: WatchBatch?
    }

    /// Takes what the loop asks for.
    func takeDemand() -> Demand {
        self.state.withLock { state in
            defer { state.spare = nil }
            return Demand(
                isClosed: state.isClosed, isDraining: state.isDraining,
                hasCapacity: state.posted == nil, spare: state.spare)
        }
    }

    /// Leaves a batch for the loop.
    ///
    /// - Parameter failure: Why the call ends with this batch; `nil`: it goes on. It is left with
    ///   the batch, since the loop is told of both once.
    /// - Precondition: None waits.
    func post(_ batch: WatchBatch, endingWith failure: CallFailure? = nil) {
        self.state.withLock { state in
            precondition(state.posted == nil, "the loop has taken the batch before")
            state.posted = batch
            state.end = failure
        }
    }

    /// Ends the call once the loop has sent what waits.
    func end(with failure: CallFailure) { self.state.withLock { $0.end = failure } }
}
