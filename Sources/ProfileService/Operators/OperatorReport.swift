import GRPCTransport
import Messages
import Storage

/// Why a snapshot or a backup was not made.
package enum OperatorFailure: Error, Equatable, Sendable {
    /// The disk of the data directory or of the backup is full.
    case diskFull
    /// The log has failed: nothing is written until a restart.
    case logUnavailable
    /// Another backup runs; one at a time.
    case busy
    /// Too many calls wait for a snapshot.
    case tooMany
    /// The server is shutting down.
    case draining
    /// The call has ended, by its client or by its deadline.
    case cancelled
    /// The directory of the backup cannot be used: what was found.
    case destination(String)
    /// Anything else: what was done, to what, and what was found.
    case unexpected(String)

    package init(_ error: StorageError) {
        switch error {
        case .noSpace: self = .diskFull
        case .io(let error) where error.kind == .noSpace: self = .diskFull
        case .poisoned: self = .logUnavailable
        default: self = .unexpected(error.description)
        }
    }
}

extension SnapshotRequests: SnapshotTaker {
    package func requestSnapshot(
        _ completion: @escaping @Sendable (Result<SnapshotFile, OperatorFailure>) -> Void
    ) {
        self.request { result in completion(result.mapError(OperatorFailure.init)) }
    }
}

extension OperatorFailure {
    init(_ failure: SnapshotFailure) {
        switch failure {
        case .noSpace: self = .diskFull
        case .logFailed, .notLeader: self = .logUnavailable
        case .stopping: self = .draining
        case .tooManyRequests: self = .tooMany
        case .storage(let error): self.init(error)
        case .fellBehind: self = .unexpected("the snapshot was given up: \(failure.description)")
        }
    }
}

/// An event of an operator's call, on its way from the component that works to the loop that
/// responds.
package struct OperatorReport: Equatable, Sendable {
    package enum Event: Equatable, Sendable {
        /// The snapshot is verified: the end of the call.
        case snapshot(lsn: UInt64, bytes: UInt64)
        /// The backup has progressed; later events replace this one.
        case progress(BackupProgress)
        /// The backup is durable and verified: the end of the call.
        case backup(BackupProgress)
        /// The end of the call.
        case failed(OperatorFailure)
    }

    package var token: CallToken
    package var event: Event

    package init(token: CallToken, event: Event) {
        self.token = token
        self.event = event
    }
}
