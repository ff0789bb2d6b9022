import GRPCTransport
import IOCore
import IOSimulation
import Messages
import Testing

@testable import ProfileService
@testable import Storage

/// What loops leave with the coordinator, and what comes back; the test steps the worker.
@Suite struct OperatorCoordinatorTests {
    private final class NoParker: Parker {
        func park(forNanoseconds nanoseconds: UInt64?) {}
        func wake() {}
    }

    /// Completes every request at once, with what it was given.
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

    /// Copies in so many steps.
    private final class Copier: BackupCopier {
        let onStep: (Int) -> Void
        let steps: Int

        init(steps: Int, onStep: @escaping (Int) -> Void = { _ in }) {
            self.steps = steps
            self.onStep = onStep
        }

        func copy(_ snapshot: SnapshotFile, to destination: String) -> any BackupCopy {
            Copy(of: snapshot, steps: self.steps, onStep: self.onStep)
        }
    }

    private final class Copy: BackupCopy {
        private var progress = BackupProgress()
        private let steps: Int
        private let onStep: (Int) -> Void

        init(of snapshot: SnapshotFile, steps: Int, onStep: @escaping (Int) -> Void) {
            self.progress.lsn = snapshot.position.lsn
            self.steps = steps
            self.onStep = onStep
        }

        func step() throws(OperatorFailure) -> BackupStep {
            let step = Int(self.progress.bytesDone)
            guard step < self.steps else { return .finished(self.progress) }
            self.onStep(step)
            self.progress.bytesDone += 1
            return .progress(self.progress)
        }

        func abandon() {}
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
        _ result: Result<SnapshotFile, OperatorFailure> = .success(Self.snapshot)
    ) -> OperatorCoordinator {
        OperatorCoordinator(
            source: Taker(result), mailboxes: [self.mailbox], waker: NoParker())
    }

    /// The last event of each call.
    private func event() -> [OperatorReport] { self.mailbox.takeReports() }

    private static func report(_ slot: UInt32, _ event: OperatorReport.Event) -> OperatorReport {
        OperatorReport(token: self.token(slot), event: event)
    }

    @Test func snapshotRespondsWithLSNAndBytes() {
        self.coordinator().snapshot(for: Self.token(4))
        #expect(self.event() == [Self.report(4, .snapshot(lsn: 7, bytes: 700))])
        self.coordinator(.failure(.diskFull)).snapshot(for: Self.token(4))
        #expect(self.event() == [Self.report(4, .failed(.diskFull))])
    }

    @Test func secondBackupIsRejectedUntilTheFirstHasEnded() {
        let coordinator = self.coordinator()
        let worker = BackupWorker(
            coordinator,
            copier: Copier(steps: 2) { step in
                if step == 1 { coordinator.stop() }
            }, clock: SimulatedClock())
        #expect(coordinator.backUp(to: "/b", for: Self.token(1)) == nil)
        #expect(coordinator.backUp(to: "/c", for: Self.token(2)) == .busy)
        while worker.step() != .ended {}
        #expect(self.event() == [Self.report(1, .failed(.draining))])
        #expect(coordinator.backUp(to: "/c", for: Self.token(2)) == .draining)
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

    @Test func backupWhoseCallHasEndedIsAbandoned() {
        let coordinator = self.coordinator()
        var last = 0
        let worker = BackupWorker(
            coordinator,
            copier: Copier(steps: 1_000) { step in
                last = step
                if step == 3 { coordinator.cancel(Self.token(9)) }
                if step == 5 { coordinator.cancel(Self.token(1)) }
            }, clock: SimulatedClock())
        #expect(coordinator.backUp(to: "/b", for: Self.token(1)) == nil)
        coordinator.cancel(Self.token(2))
        #expect(self.run(worker) == [Self.report(1, .failed(.cancelled))])
        #expect(last == 5, "the end of another call abandons nothing")
    }

    /// Half of the disk's time is left to the log; a wake does not shorten the rest.
    @Test func backupRestsAsLongAsEachBlockTook() {
        let coordinator = self.coordinator()
        let clock = SimulatedClock()
        let worker = BackupWorker(
            coordinator, copier: Copier(steps: 3) { _ in clock.advance(nanoseconds: 1_000) },
            clock: clock)
        #expect(coordinator.backUp(to: "/b", for: Self.token(1)) == nil)
        // Takes the request, takes the snapshot, copies the first block.
        for _ in 0 ..< 3 { #expect(worker.step() == .now) }
        clock.advance(nanoseconds: 400)
        #expect(worker.step() == .after(nanoseconds: 600))
        clock.advance(nanoseconds: 600)
        #expect(worker.step() == .now)
    }

    /// Keeps the requests and responds when the test says so.
    private final class SlowTaker: SnapshotTaker {
        private let waiting = Guarded<[@Sendable (Result<SnapshotFile, OperatorFailure>) -> Void]>(
            [])
        func requestSnapshot(
            _ completion: @escaping @Sendable (Result<SnapshotFile, OperatorFailure>) -> Void
        ) {
            self.waiting.withLock { $0.append(completion) }
        }

        /// Responds to a request with a snapshot of this lsn.
        func respond(to request: Int, lsn: UInt64) {
            var snapshot = OperatorCoordinatorTests.snapshot
            snapshot.position.lsn = lsn
            self.waiting.withLock { $0[request] }(.success(snapshot))
        }
    }

    @Test func snapshotOfABackupThatWasAbandonedIsTooOldForTheNext() {
        let taker = SlowTaker()
        let coordinator = OperatorCoordinator(
            source: taker, mailboxes: [self.mailbox], waker: NoParker())
        let worker = BackupWorker(
            coordinator, copier: Copier(steps: 1), clock: SimulatedClock())
        #expect(coordinator.backUp(to: "/b", for: Self.token(1)) == nil)
        _ = worker.step()
        coordinator.cancel(Self.token(1))
        #expect(self.run(worker) == [Self.report(1, .failed(.cancelled))])
        #expect(coordinator.backUp(to: "/b", for: Self.token(2)) == nil)
        #expect(self.run(worker) == [])
        // The response to the first request comes while the second backup waits for its own.
        taker.respond(to: 0, lsn: 7)
        #expect(self.run(worker) == [])
        taker.respond(to: 1, lsn: 9)
        var progress = BackupProgress()
        progress.lsn = 9
        progress.bytesDone = 1
        #expect(self.run(worker) == [Self.report(2, .backup(progress))])
    }

    @Test func failedSnapshotEndsTheBackup() {
        let coordinator = self.coordinator(.failure(.logUnavailable))
        let worker = BackupWorker(coordinator, copier: Copier(steps: 3), clock: SimulatedClock())
        #expect(coordinator.backUp(to: "/b", for: Self.token(1)) == nil)
        #expect(self.run(worker) == [Self.report(1, .failed(.logUnavailable))])
    }

    /// Steps the worker until it waits; what was reported last.
    private func run(_ worker: BackupWorker) -> [OperatorReport] {
        while worker.step() == .now {}
        return self.event()
    }
}
