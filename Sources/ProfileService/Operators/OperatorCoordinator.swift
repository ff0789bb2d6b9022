import GRPCTransport
import IOCore
import Messages
import Storage

// Snapshots and backups take seconds, and files, so a loop does neither: it leaves the request with
// the coordinator, and the outcome returns through the loop's mailbox.

/// Takes snapshots on request.
package protocol SnapshotTaker: AnyObject, Sendable {
    /// Takes a snapshot of at least everything that was responded to before this call.
    ///
    /// - Parameter completion: Called once, on any thread, with the verified snapshot or why there
    ///   is none.
    func requestSnapshot(
        _ completion: @escaping @Sendable (Result<SnapshotFile, OperatorFailure>) -> Void)
}

/// What loops ask of the operators' components. May be used on any thread.
///
/// One backup at a time: two would halve each other's disk, and a second is nearly always a
/// mistake.
package final class OperatorCoordinator: Sendable {
    /// The backup that runs or waits.
    struct Backup: Sendable {
        var token: CallToken
        var destination: String
        /// Set once, by the snapshot's completion.
        var snapshot: Result<SnapshotFile, OperatorFailure>?
        var isCancelled = false
    }

    private struct State: Sendable {
        /// From the request to the last report.
        var backup: Backup?
        var isStopping = false
    }

    private let state = Guarded(State())
    private let source: any SnapshotTaker
    private let mailboxes: [CompletionMailbox]
    private let waker: any Waker

    /// - Parameters:
    ///   - mailboxes: One per loop, by its index.
    ///   - waker: Wakes the `BackupWorker`.
    package init(source: any SnapshotTaker, mailboxes: [CompletionMailbox], waker: any Waker) {
        self.source = source
        self.mailboxes = mailboxes
        self.waker = waker
    }

    // MARK: Loops

    /// Has a snapshot taken for a call.
    package func snapshot(for token: CallToken) {
        self.source.requestSnapshot { result in
            switch result {
            case .success(let file):
                self.report(.snapshot(lsn: file.position.lsn, bytes: UInt64(file.bytes)), to: token)
            case .failure(let failure): self.report(.failed(failure), to: token)
            }
        }
    }

    /// Begins a backup for a call.
    ///
    /// - Returns: Why it is rejected; `nil` if it has begun.
    package func backUp(to destination: String, for token: CallToken) -> OperatorFailure? {
        let rejection = self.state.withLock { state -> OperatorFailure? in
            if state.isStopping { return .draining }
            if state.backup != nil { return .busy }
            state.backup = Backup(token: token, destination: destination)
            return nil
        }
        if rejection == nil { self.waker.wake() }
        return rejection
    }

    /// Abandons a backup whose call has ended. Other tokens are ignored.
    package func cancel(_ token: CallToken) {
        let isCurrent = self.state.withLock { state in
            guard state.backup?.token == token else { return false }
            state.backup?.isCancelled = true
            return true
        }
        if isCurrent { self.waker.wake() }
    }

    /// Makes the worker abandon its backup and end.
    package func stop() {
        self.state.withLock { $0.isStopping = true }
        self.waker.wake()
    }

    // MARK: The worker

    var isStopping: Bool { self.state.withLock { $0.isStopping } }

    var backup: Backup? { self.state.withLock { $0.backup } }

    /// Why the present backup should be abandoned.
    var reasonToStop: OperatorFailure? {
        self.state.withLock { state in
            if state.isStopping { return .draining }
            return state.backup?.isCancelled == true ? .cancelled : nil
        }
    }

    /// Requests a snapshot of everything that was responded to before the backup was requested.
    func requestSnapshot(for token: CallToken) {
        self.source.requestSnapshot { result in
            self.state.withLock { state in
                // One that was abandoned meanwhile may have a successor, for which this snapshot is
                // too old.
                if state.backup?.token == token { state.backup?.snapshot = result }
            }
            self.waker.wake()
        }
    }

    /// Ends the present backup.
    func finish(_ event: OperatorReport.Event, of token: CallToken) {
        self.state.withLock { $0.backup = nil }
        self.report(event, to: token)
    }

    func report(_ event: OperatorReport.Event, to token: CallToken) {
        self.mailboxes[Int(token.loop)].post(OperatorReport(token: token, event: event))
    }
}
