import GRPCTransport
import IOCore
import Messages
import Profiles

/// One open Watch call, between its loop and the `WatchWorker`.
///
/// At most one batch waits here: the worker fills the next one meanwhile and then leaves the
/// watcher alone until the loop has taken it.
final class Watcher: Sendable {
    let token: CallToken
    let project: ProjectID
    let request: DecodedWatch

    private struct State: Sendable {
        var posted: WatchBatch?
        /// The storage of a batch that was sent.
        var spare: WatchBatch?
        /// Where to begin again: what was encoded since then must not be sent.
        var rewind: WatchPosition?
        /// Why the call ends once the batch is sent.
        var end: CallFailure?
        var isClosed = false
    }

    private let state = Guarded(State())

    init(token: CallToken, project: ProjectID, request: DecodedWatch) {
        self.token = token
        self.project = project
        self.request = request
    }

    // MARK: The loop

    /// What the loop finds.
    enum Taken {
        case batch(WatchBatch)
        case nothing
        case ended(CallFailure)
    }

    /// Takes the batch that waits, and gives back the storage of the one before.
    func take(giving spare: WatchBatch?) -> Taken {
        self.state.withLock { state in
            if let spare { state.spare = spare }
            if let batch = state.posted {
                state.posted = nil
                return .batch(batch)
            }
            if let end = state.end { return .ended(end) }
            return .nothing
        }
    }

    /// Discards what waits: the worker begins again at `position`.
    func rewind(to position: WatchPosition) {
        self.state.withLock { state in
            state.posted = nil
            state.end = nil
            state.rewind = position
        }
    }

    /// The call has ended.
    func close() {
        self.state.withLock { $0.isClosed = true }
    }

    // MARK: The worker

    /// What the worker finds.
    struct Demand: Sendable {
        var isClosed: Bool
        /// A batch can be posted.
        var hasRoom: Bool
        var rewind: WatchPosition?
        var spare: WatchBatch?
    }

    /// Takes what the loop asks for.
    func takeDemand() -> Demand {
        self.state.withLock { state in
            defer {
                state.rewind = nil
                state.spare = nil
            }
            return Demand(
                isClosed: state.isClosed, hasRoom: state.posted == nil, rewind: state.rewind,
                spare: state.spare)
        }
    }

    /// Leaves a batch for the loop, unless that wants to begin again.
    ///
    /// - Precondition: None waits.
    func post(_ batch: WatchBatch) {
        self.state.withLock { state in
            precondition(state.posted == nil, "the loop has taken the batch before")
            if state.rewind == nil { state.posted = batch }
        }
    }

    /// Ends the call once the loop has sent what waits.
    func end(with failure: CallFailure) {
        self.state.withLock { state in
            if state.rewind == nil { state.end = failure }
        }
    }
}
