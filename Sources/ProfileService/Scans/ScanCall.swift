import Bytes
import GRPCTransport
import IOCore
import Messages
import Profiles

/// A response that was encoded by another thread than the one that sends it.
final class EncodedResponse: Sendable {
    let bytes: ByteBuffer

    init(_ bytes: consuming ByteBuffer) {
        self.bytes = bytes
    }
}

/// One open CountProfiles or ListProfiles, between its loop and the `ScanWorker`.
final class ScanCall: ServedCall {
    /// What is asked.
    enum Question: Sendable {
        case count
        /// The next profiles.
        case page(size: Int, mask: ReadMask)
    }

    /// How it ends.
    enum Outcome: Sendable {
        case response(EncodedResponse)
        case failed(CallFailure)
    }

    let token: CallToken
    let peer: PeerAddress
    let question: Question
    let project: ProjectID
    let filter: CompiledFilter
    /// Where the scan begins, and what the relative times of the filter are taken from.
    let start: ProfilePosition
    /// Of the call, in microseconds since 1970.
    let now: Int64
    /// Monotonic; `UInt64.max`: none.
    let deadlineNanoseconds: UInt64
    private let outcome = Guarded<Outcome?>(nil)

    init(
        _ question: Question, _ context: RequestContext, _ filter: CompiledFilter,
        peer: PeerAddress, from start: ProfilePosition, now: Int64, deadlineNanoseconds: UInt64
    ) {
        self.token = context.token
        self.peer = peer
        self.question = question
        self.project = context.project
        self.filter = filter
        self.start = start
        self.now = now
        self.deadlineNanoseconds = deadlineNanoseconds
    }

    // MARK: The loop

    /// Takes the outcome; `nil`: there is none yet.
    func takeOutcome() -> Outcome? {
        self.outcome.withLock { outcome in
            defer { outcome = nil }
            return outcome
        }
    }

    // MARK: The worker

    /// Leaves the outcome for the loop.
    func end(_ outcome: Outcome) { self.outcome.withLock { $0 = outcome } }
}
