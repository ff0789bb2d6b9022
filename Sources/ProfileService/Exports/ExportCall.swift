import GRPCTransport
import IOCore
import Messages
import Profiles

/// One open ExportProfile or ExportProject, between its loop and the `ExportWorker`.
///
/// At most one batch waits here: the worker fills the next one meanwhile, and then leaves the
/// export alone until the loop has taken it.
final class ExportCall: ServedCall {
    /// What is exported.
    enum Scope: Sendable {
        case profile(OwnedIdentifier)
        /// From a position on; 0: from the beginning.
        case project(from: UInt64)
    }

    /// How an export ends.
    enum Ending: Sendable {
        case done
        case failed(CallFailure)
    }

    typealias Handover = BatchHandover<MessageBatch, Ending>

    let token: CallToken
    let peer: PeerAddress
    let project: ProjectID
    let scope: Scope

    private struct State: Sendable {
        var handover = Handover()
        var isClosed = false
    }

    private let state = Guarded(State())

    init(token: CallToken, peer: PeerAddress, project: ProjectID, scope: Scope) {
        self.token = token
        self.peer = peer
        self.project = project
        self.scope = scope
    }

    /// It is about one person only.
    var isOfOne: Bool {
        if case .profile = self.scope { true } else { false }
    }

    /// Why nothing of the project may be read; `nil`: it may.
    ///
    /// One that is being deleted can be exported as a whole until its data goes.
    ///
    /// - Parameter now: By the machine's clock, in microseconds.
    func projectFailure(in store: Store, now: Int64) -> CallFailure? {
        let mayRead =
            store.isExportable(self.project, now: now)
            && !(self.isOfOne && store.isDeleted(self.project))
        return mayRead ? nil : .rejected(.projectDeleted)
    }

    // MARK: The loop

    /// Takes the batch that waits, and gives back the storage of the one before.
    func take(giving spare: MessageBatch?) -> Handover.Finding {
        self.state.withLock { $0.handover.take(giving: spare) }
    }

    /// The call has ended.
    func close() { self.state.withLock { $0.isClosed = true } }

    // MARK: The worker

    /// What the worker finds.
    struct Demand: Sendable {
        var isClosed: Bool
        /// A batch can be posted.
        var hasHeadroom: Bool
        var spare: MessageBatch?
    }

    /// Takes what the loop asks for.
    func takeDemand() -> Demand {
        self.state.withLock { state in
            Demand(
                isClosed: state.isClosed, hasHeadroom: state.handover.hasHeadroom,
                spare: state.handover.takeSpare())
        }
    }

    /// Leaves a batch for the loop, and the end of the call with it, if it is the last.
    ///
    /// - Precondition: None waits.
    func post(_ batch: MessageBatch, endingWith ending: Ending?) {
        self.state.withLock { state in
            state.handover.post(batch)
            if let ending { state.handover.end(ending) }
        }
    }

    /// Ends the call; what waits is not sent.
    func abort(_ failure: CallFailure) {
        self.state.withLock { $0.handover.abort(.failed(failure)) }
    }
}
