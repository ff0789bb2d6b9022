import GRPCTransport
import IOCore
import Messages
import Storage

// Snapshots and backups take seconds, and files: nothing for a loop. A loop leaves the request here
// and goes on; what comes of it returns through its mailbox.

/// Who takes snapshots when asked.
package protocol SnapshotTaker: AnyObject, Sendable {
    /// Takes a snapshot of everything that is answered by now, or more; calls with the verified
    /// snapshot, or why there is none, on any thread, once.
    func requestSnapshot(
        _ completion: @escaping @Sendable (Result<SnapshotFile, OperatorFailure>) -> Void)
}

/// Copies a verified snapshot into a directory that a server can start from.
package protocol BackupCopier: AnyObject, Sendable {
    /// - Parameter goesOn: Told how far the copy is; false gives it up, and what was written is
    ///   removed.
    /// - Throws: `.cancelled` if it was given up; nothing is left of the copy then, as after any
    ///   other failure.
    func copy(
        _ snapshot: SnapshotFile, to destination: String, shouldContinue: (BackupProgress) -> Bool
    ) throws(OperatorFailure) -> BackupProgress
}

/// Where loops leave what operators ask for. The methods may be called on any thread, but for
/// `run`, the body of the one that copies.
///
/// One backup at a time: two would halve each other's disk, and a second is nearly always a
/// mistake.
package final class OperatorCoordinator: Sendable {
    private struct Backup: Sendable {
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
    private let copier: any BackupCopier
    private let mailboxes: [CompletionMailbox]
    private let parker: any Parker
    private let clock: any Clock
    /// Longest rest after one block of a copy, in nanoseconds.
    private static let restNanosecondsMax: UInt64 = 250_000_000
    /// How often a thread that waits for a snapshot looks whether it still should, in nanoseconds.
    private static let lookNanoseconds: UInt64 = 100_000_000

    /// - Parameters:
    ///   - mailboxes: One per loop, by its index.
    ///   - parker: Puts the thread that copies to sleep.
    package init(
        source: any SnapshotTaker, copier: any BackupCopier, mailboxes: [CompletionMailbox],
        parker: any Parker, clock: any Clock
    ) {
        self.clock = clock
        self.source = source
        self.copier = copier
        self.mailboxes = mailboxes
        self.parker = parker
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
    /// - Returns: `nil` if it has begun.
    package func backUp(to destination: String, for token: CallToken) -> OperatorFailure? {
        let rejection = self.state.withLock { state -> OperatorFailure? in
            if state.isStopping { return .draining }
            if state.backup != nil { return .busy }
            state.backup = Backup(token: token, destination: destination)
            return nil
        }
        if rejection == nil { self.parker.wake() }
        return rejection
    }

    /// Gives a backup up: its call has ended. Other tokens are ignored.
    package func cancel(_ token: CallToken) {
        let isOurs = self.state.withLock { state in
            guard state.backup?.token == token else { return false }
            state.backup?.isCancelled = true
            return true
        }
        if isOurs { self.parker.wake() }
    }

    /// Lets `run` return after giving up what it does.
    package func stop() {
        self.state.withLock { $0.isStopping = true }
        self.parker.wake()
    }

    // MARK: The thread that copies

    package func run() {
        while true {
            guard !self.runOne() else { continue }
            if self.state.withLock({ $0.isStopping }) { return }
            self.parker.park(forNanoseconds: nil)
        }
    }

    /// Makes the backup that waits.
    ///
    /// - Returns: Whether there was one.
    func runOne() -> Bool {
        guard let backup = self.state.withLock({ $0.backup }) else { return false }
        let event = self.make(backup)
        self.state.withLock { $0.backup = nil }
        self.report(event, to: backup.token)
        return true
    }

    private func make(_ backup: Backup) -> OperatorReport.Event {
        do throws(OperatorFailure) {
            let snapshot = try self.freshSnapshot(for: backup.token)
            var rested = self.clock.monotonicNanoseconds()
            return .backup(
                try self.copier.copy(snapshot, to: backup.destination) { progress in
                    self.report(.progress(progress), to: backup.token)
                    self.rest(since: &rested)
                    return self.reasonToStop == nil
                })
        } catch {
            return .failed(error == .cancelled ? self.reasonToStop ?? error : error)
        }
    }

    /// Rests as long as the block took: half of the disk's time is left to the log. Ends early when
    /// the backup is given up.
    private func rest(since rested: inout UInt64) {
        let nanoseconds = min(self.clock.monotonicNanoseconds() - rested, Self.restNanosecondsMax)
        self.parker.park(forNanoseconds: nanoseconds)
        rested = self.clock.monotonicNanoseconds()
    }

    /// Waits for a snapshot that has everything which was answered before the backup was asked for.
    private func freshSnapshot(for token: CallToken) throws(OperatorFailure) -> SnapshotFile {
        self.source.requestSnapshot { result in
            self.state.withLock { state in
                // One that was given up meanwhile may have a successor, for which this snapshot is
                // too old.
                if state.backup?.token == token { state.backup?.snapshot = result }
            }
            self.parker.wake()
        }
        while true {
            if let result = self.state.withLock({ $0.backup?.snapshot }) { return try result.get() }
            if let reason = self.reasonToStop { throw reason }
            self.parker.park(forNanoseconds: Self.lookNanoseconds)
        }
    }

    /// Why the present backup should not go on.
    private var reasonToStop: OperatorFailure? {
        self.state.withLock { state in
            if state.isStopping { return .draining }
            return state.backup?.isCancelled == true ? .cancelled : nil
        }
    }

    private func report(_ event: OperatorReport.Event, to token: CallToken) {
        self.mailboxes[Int(token.loop)].post(OperatorReport(token: token, event: event))
    }
}
