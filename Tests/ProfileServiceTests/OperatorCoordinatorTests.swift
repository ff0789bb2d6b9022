import GRPCTransport
import IOCore
import IOSimulation
import Messages
import Testing

@testable import ProfileService
@testable import Storage

/// What loops leave at the desk, and what comes back; the thread's body runs here, on the test's
/// own.
@Suite struct OperatorCoordinatorTests {
    private final class NoParker: Parker {
        func park(forNanoseconds nanoseconds: UInt64?) {}
        func wake() {}
    }

    /// Answers every request at once, with what it was given.
    private final class Taker: SnapshotTaker {
        let requests = Guarded(0)
        let result: Result<SnapshotFile, OperatorFailure>

        init(_ result: Result<SnapshotFile, OperatorFailure>) {
            self.result = result
        }

        func requestSnapshot(
            _ completion: @escaping @Sendable (Result<SnapshotFile, OperatorFailure>) -> Void
        ) {
            self.requests.withLock { $0 += 1 }
            completion(self.result)
        }
    }

    /// Reports so many steps, and stops when told to.
    private final class Copier: BackupCopier {
        let onStep: @Sendable (Int) -> Void
        let steps: Int

        init(steps: Int, onStep: @escaping @Sendable (Int) -> Void = { _ in }) {
            self.steps = steps
            self.onStep = onStep
        }

        func copy(
            _ snapshot: SnapshotFile, to destination: String,
            shouldContinue: (BackupProgress) -> Bool
        ) throws(OperatorFailure) -> BackupProgress {
            var progress = BackupProgress()
            progress.lsn = snapshot.position.lsn
            for step in 0 ..< self.steps {
                self.onStep(step)
                progress.bytesDone += 1
                guard shouldContinue(progress) else { throw .cancelled }
            }
            return progress
        }
    }

    fileprivate static let snapshot = SnapshotFile(
        position: SnapshotPosition(
            lsn: 7, receivedAt: 1, rulesVersion: 1, resultsDigest: 1,
            log: LogPosition(index: 5, check: 1)),
        name: "0000000000000007.snapshot", bytes: 700, blocks: 2)

    private static func token(_ slot: UInt32) -> CallToken {
        CallToken(
            loop: 0, connectionSlot: 1, connectionGeneration: 1, streamSlot: slot,
            streamGeneration: 1)
    }

    private let mailbox = CompletionMailbox {}

    private func coordinator(
        _ result: Result<SnapshotFile, OperatorFailure> = .success(Self.snapshot),
        _ copier: Copier = Copier(steps: 3)
    ) -> OperatorCoordinator {
        OperatorCoordinator(
            source: Taker(result), copier: copier, mailboxes: [self.mailbox], parker: NoParker(),
            clock: SimulatedClock())
    }

    /// The last news of each call.
    private func event() -> [OperatorReport] { self.mailbox.takeReports() }

    private static func report(_ slot: UInt32, _ event: OperatorReport.Event) -> OperatorReport {
        OperatorReport(token: self.token(slot), event: event)
    }

    @Test func snapshotIsAnsweredWithLSNAndBytes() {
        self.coordinator().snapshot(for: Self.token(4))
        #expect(self.event() == [Self.report(4, .snapshot(lsn: 7, bytes: 700))])
        self.coordinator(.failure(.diskFull)).snapshot(for: Self.token(4))
        #expect(self.event() == [Self.report(4, .failed(.diskFull))])
    }

    @Test func secondBackupIsRejectedUntilTheFirstHasEnded() {
        let holder = Guarded<OperatorCoordinator?>(nil)
        let coordinator = self.coordinator(
            .success(Self.snapshot),
            Copier(steps: 2) { step in
                // The end: the thread's body returns after this backup.
                if step == 1 { holder.withLock { $0 }?.stop() }
            })
        holder.withLock { $0 = coordinator }
        #expect(coordinator.backUp(to: "/b", for: Self.token(1)) == nil)
        #expect(coordinator.backUp(to: "/c", for: Self.token(2)) == .busy)
        coordinator.run()
        #expect(self.event() == [Self.report(1, .failed(.draining))])
        #expect(coordinator.backUp(to: "/c", for: Self.token(2)) == .draining)
        holder.withLock { $0 = nil }
    }

    @Test func progressIsReplacedByWhatComesLater() {
        let box = self.mailbox
        box.post(OperatorReport(token: Self.token(1), event: .progress(BackupProgress())))
        box.post(OperatorReport(token: Self.token(2), event: .progress(BackupProgress())))
        box.post(OperatorReport(token: Self.token(1), event: .failed(.busy)))
        #expect(
            self.event() == [
                Self.report(2, .progress(BackupProgress())), Self.report(1, .failed(.busy)),
            ])
    }

    @Test func backupWhoseCallHasEndedIsGivenUp() {
        let holder = Guarded<OperatorCoordinator?>(nil)
        let steps = Guarded(0)
        let coordinator = self.coordinator(
            .success(Self.snapshot),
            Copier(steps: 1_000) { step in
                steps.withLock { $0 = step }
                if step == 3 { holder.withLock { $0 }?.cancel(Self.token(9)) }
                if step == 5 { holder.withLock { $0 }?.cancel(Self.token(1)) }
                // Only so that the test ends, should the cancellation be lost.
                if step == 999 { holder.withLock { $0 }?.stop() }
            })
        holder.withLock { $0 = coordinator }
        #expect(coordinator.backUp(to: "/b", for: Self.token(1)) == nil)
        coordinator.cancel(Self.token(2))
        let ended = self.run(coordinator)
        #expect(ended == [Self.report(1, .failed(.cancelled))])
        #expect(steps.withLock { $0 } == 5, "another call's end gives nothing up")
        holder.withLock { $0 = nil }
    }

    /// Keeps what it is asked, and answers when told to.
    private final class SlowTaker: SnapshotTaker {
        private let waiting = Guarded<[@Sendable (Result<SnapshotFile, OperatorFailure>) -> Void]>(
            [])
        let onRequest: @Sendable (Int) -> Void

        init(onRequest: @escaping @Sendable (Int) -> Void) {
            self.onRequest = onRequest
        }

        func requestSnapshot(
            _ completion: @escaping @Sendable (Result<SnapshotFile, OperatorFailure>) -> Void
        ) {
            let count = self.waiting.withLock { waiting in
                waiting.append(completion)
                return waiting.count
            }
            self.onRequest(count)
        }

        /// Answers a request with a snapshot of this lsn.
        func response(_ request: Int, lsn: UInt64) {
            var snapshot = OperatorCoordinatorTests.snapshot
            snapshot.position.lsn = lsn
            self.waiting.withLock { $0[request] }(.success(snapshot))
        }
    }

    @Test func snapshotOfABackupThatWasGivenUpIsTooOldForTheNext() {
        let holder = Guarded<(coordinator: OperatorCoordinator, taker: SlowTaker)?>(nil)
        let taker = SlowTaker { count in
            guard let (coordinator, taker) = holder.withLock({ $0 }) else { return }
            if count == 1 { return coordinator.cancel(Self.token(1)) }
            // The first request's answer comes when the second backup waits for its own, or has it.
            taker.response(1, lsn: 9)
            taker.response(0, lsn: 7)
        }
        let coordinator = OperatorCoordinator(
            source: taker, copier: Copier(steps: 1), mailboxes: [self.mailbox], parker: NoParker(),
            clock: SimulatedClock())
        holder.withLock { $0 = (coordinator, taker) }
        #expect(coordinator.backUp(to: "/b", for: Self.token(1)) == nil)
        #expect(self.run(coordinator) == [Self.report(1, .failed(.cancelled))])
        #expect(coordinator.backUp(to: "/b", for: Self.token(2)) == nil)
        var progress = BackupProgress()
        progress.lsn = 9
        progress.bytesDone = 1
        #expect(self.run(coordinator) == [Self.report(2, .backup(progress))])
        holder.withLock { $0 = nil }
    }

    @Test func failedSnapshotEndsTheBackup() {
        let coordinator = self.coordinator(.failure(.logUnavailable))
        #expect(coordinator.backUp(to: "/b", for: Self.token(1)) == nil)
        #expect(self.run(coordinator) == [Self.report(1, .failed(.logUnavailable))])
    }

    /// Makes the backup that waits; what was reported last.
    private func run(_ coordinator: OperatorCoordinator) -> [OperatorReport] {
        #expect(coordinator.runOne())
        return self.event()
    }
}
