import GRPCTransport
import IOCore
import Messages
import Storage

/// Copies verified snapshots into directories that a server can start from.
package protocol BackupCopier: AnyObject {
    /// Makes a copy, which has done nothing yet.
    func copy(_ snapshot: SnapshotFile, to destination: String) -> any BackupCopy
}

/// How one step of a copy ended.
package enum BackupStep: Equatable, Sendable {
    case progress(BackupProgress)
    /// The backup is durable and verified.
    case finished(BackupProgress)
}

/// One copy, a block per step. Used by one thread.
package protocol BackupCopy: AnyObject {
    /// Copies or verifies the next block.
    ///
    /// - Throws: Nothing is left of the copy then, and it is not stepped again.
    func step() throws(OperatorFailure) -> BackupStep
    /// Removes what was written.
    func abandon()
}

/// Makes the backups that the `OperatorCoordinator` takes in, and rests after each block as long as
/// the block took: half of the disk's time is left to the log.
///
/// Used by one thread; the coordinator wakes it.
package final class BackupWorker: Steppable {
    ///        backUp                      snapshot               end or failure
    /// idle --------> awaitingSnapshot ----------> copying ------------------> idle --stop--> ended
    private enum State {
        case idle
        case awaitingSnapshot(CallToken)
        case copying(CallToken, any BackupCopy)
        case ended
    }

    private let coordinator: OperatorCoordinator
    private let copier: any BackupCopier
    private let clock: any Clock
    private var state = State.idle
    private var pacing = WorkPacing.half
    private var reported = BackupProgress()

    package init(_ coordinator: OperatorCoordinator, copier: any BackupCopier, clock: any Clock) {
        self.coordinator = coordinator
        self.copier = copier
        self.clock = clock
    }

    package func step() -> NextStep {
        switch self.state {
        case .idle: return self.begin()
        case .awaitingSnapshot(let token): return self.beginCopy(for: token)
        case .copying(let token, let copy): return self.advance(copy, for: token)
        case .ended: return .ended
        }
    }

    private func begin() -> NextStep {
        guard let backup = self.coordinator.backup else {
            guard self.coordinator.isStopping else { return .whenWoken }
            self.state = .ended
            return .ended
        }
        self.state = .awaitingSnapshot(backup.token)
        self.coordinator.requestSnapshot(for: backup.token)
        return .now
    }

    private func beginCopy(for token: CallToken) -> NextStep {
        if let reason = self.coordinator.reasonToStop { return self.end(.failed(reason), token) }
        guard let backup = self.coordinator.backup, let result = backup.snapshot else {
            return .whenWoken
        }
        switch result {
        case .failure(let failure): return self.end(.failed(failure), token)
        case .success(let snapshot):
            self.reported = BackupProgress()
            self.state = .copying(token, self.copier.copy(snapshot, to: backup.destination))
            return .now
        }
    }

    private func advance(_ copy: any BackupCopy, for token: CallToken) -> NextStep {
        if let reason = self.coordinator.reasonToStop {
            copy.abandon()
            return self.end(.failed(reason), token)
        }
        let started = self.clock.monotonicNanoseconds()
        if let rest = self.pacing.remaining(at: started) { return .after(nanoseconds: rest) }
        do throws(OperatorFailure) {
            switch try copy.step() {
            case .finished(let progress): return self.end(.backup(progress), token)
            case .progress(let progress):
                // Blocks that are only read back do not change the progress.
                if progress != self.reported {
                    self.coordinator.report(.progress(progress), to: token)
                }
                self.reported = progress
            }
        } catch {
            return self.end(.failed(error), token)
        }
        self.pacing.didWork(from: started, to: self.clock.monotonicNanoseconds())
        return .now
    }

    private func end(_ event: OperatorReport.Event, _ token: CallToken) -> NextStep {
        self.state = .idle
        self.coordinator.finish(event, of: token)
        return .now
    }
}
