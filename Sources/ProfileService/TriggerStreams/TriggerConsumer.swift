import GRPCTransport
import IOCore
import Messages
import Profiles

/// One open WatchTriggers call, between its loop and the `TriggerWorker`.
///
/// At most one batch waits here: the worker delivers no more before the loop has taken it.
final class TriggerConsumer: ServedCall {
    /// How a call ends.
    enum Ending: Sendable {
        /// OK: the client has sent its last request, and what it acknowledged is durable.
        case finished
        /// Behind what is still to be sent.
        case failed(CallFailure)
        /// At once, without what is still to be sent.
        case aborted(CallFailure)
    }

    let token: CallToken
    let peer: PeerAddress
    let project: ProjectID
    let trigger: ProfileID
    /// The lsn at which the trigger was made.
    let triggerLSN: UInt64
    let inFlightMax: Int

    private struct State: Sendable {
        var handover = BatchHandover<DeliveryBatch, Ending>()
        /// Lsns of events whose firings were acknowledged.
        var acknowledged: [UInt64] = []
        /// Deliveries that were not sent.
        var unsent: [DeliveryBatch.Firing] = []
        var isFinishing = false
        var isDraining = false
        var isClosed = false
    }

    private let state = Guarded(State())

    init(
        token: CallToken, peer: PeerAddress, project: ProjectID, trigger: ProfileID,
        triggerLSN: UInt64, inFlightMax: Int
    ) {
        self.token = token
        self.peer = peer
        self.project = project
        self.trigger = trigger
        self.triggerLSN = triggerLSN
        self.inFlightMax = inFlightMax
    }

    // MARK: The loop

    /// Takes the batch that waits, and gives back the storage of the one before.
    func take(giving spare: DeliveryBatch?) -> BatchHandover<DeliveryBatch, Ending>.Finding {
        self.state.withLock { $0.handover.take(giving: spare) }
    }

    /// Why the call ends at once; `nil`: it does not.
    var abortion: CallFailure? {
        self.state.withLock { state in
            if case .aborted(let failure) = state.handover.ending { failure } else { nil }
        }
    }

    /// Leaves acknowledgements for the worker.
    ///
    /// - Returns: How many wait now.
    func acknowledge(_ lsns: [UInt64]) -> Int {
        self.state.withLock { state in
            state.acknowledged += lsns
            return state.acknowledged.count
        }
    }

    /// Leaves deliveries that were not sent for the worker.
    func giveBack(_ firings: [DeliveryBatch.Firing]) {
        self.state.withLock { $0.unsent += firings }
    }

    /// Acknowledgements that wait for the worker.
    var acknowledgementCount: Int { self.state.withLock { $0.acknowledged.count } }

    /// The client has sent its last request.
    func finish() { self.state.withLock { $0.isFinishing = true } }

    /// Asks for a last heartbeat and the end.
    func drain() { self.state.withLock { $0.isDraining = true } }

    /// The call has ended.
    func close() { self.state.withLock { $0.isClosed = true } }

    // MARK: The worker

    /// What the worker finds.
    struct Demand: Sendable {
        var acknowledged: [UInt64] = []
        /// Deliveries that were not sent.
        var unsent: [DeliveryBatch.Firing] = []
        /// Some acknowledgements were not taken.
        var hasMoreAcknowledged = false
        var isFinishing = false
        var isDraining = false
        var isClosed = false
        /// A batch can be posted.
        var hasHeadroom = true
        var spare: DeliveryBatch?
    }

    /// Takes what the loop asks for.
    func takeDemand(takingAcknowledged: Bool) -> Demand {
        self.state.withLock { state in
            var demand = Demand()
            if takingAcknowledged { swap(&demand.acknowledged, &state.acknowledged) }
            swap(&demand.unsent, &state.unsent)
            demand.hasMoreAcknowledged = !state.acknowledged.isEmpty
            demand.isFinishing = state.isFinishing
            demand.isDraining = state.isDraining
            demand.isClosed = state.isClosed
            demand.hasHeadroom = state.handover.hasHeadroom
            demand.spare = state.handover.takeSpare()
            return demand
        }
    }

    /// Leaves a batch for the loop.
    ///
    /// - Precondition: None waits.
    func post(_ batch: DeliveryBatch) {
        self.state.withLock { $0.handover.post(batch) }
    }

    /// Ends the call.
    func end(_ ending: Ending) {
        self.state.withLock { state in
            if case .aborted = ending {
                state.handover.abort(ending)
            } else {
                state.handover.end(ending)
            }
        }
    }
}
