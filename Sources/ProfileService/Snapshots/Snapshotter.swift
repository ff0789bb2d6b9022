import IOCore
import Profiles
import Storage

/// Makes snapshots when they are due or requested, one block per step.
///
/// The log thread makes the blocks (`SnapshotMaker`), this component writes them at a pace: after
/// each block it rests as long as the block took, so that half of the disk's time is left to the
/// log. Used by one thread; others reach it through `requests` and the feed, which wake it.
package final class Snapshotter: Steppable {
    /// Bytes waiting above which it does not rest: a profile that is about to change must be copied
    /// at once, and memory must not grow by that.
    private static let pressureBytes = 16 << 20
    /// How often the schedule is evaluated, in nanoseconds.
    private static let lookNanoseconds: UInt64 = 1_000_000_000

    /// What the operator is told.
    package enum Event: Sendable {
        case finished(SnapshotFile, SnapshotCatalogue.Pruning, seconds: Double)
        case failed(SnapshotFailure)
        /// The snapshot is valid; what it supersedes could not be removed, and will be with the
        /// next.
        case notPruned(StorageError)
    }

    ///       due or requested        complete              feed synced           verified
    /// idle -----------------> writing ------> awaitingFeed ------> verifying ------> pruning
    ///   +--stop--> ended         +------------- failure ---------------+--> idle <------+
    private enum State {
        case idle
        /// Waits for blocks and writes them; no writer before the log has chosen the position.
        case writing(SnapshotWriter?)
        case awaitingFeed(SnapshotWriter)
        case verifying(SnapshotWriter)
        case pruning(SnapshotPruner, SnapshotFile)
        case ended
    }

    /// What is known of the snapshot that is being made.
    private struct Attempt {
        var responses: [SnapshotRequests.Response]
        var startedNanoseconds: UInt64
        var logBytes: UInt64
        /// From the start to the verification.
        var nanoseconds: UInt64 = 0
    }

    package let metrics = SnapshotMetrics()
    private let environment: LogEnvironment
    private let logStore: any LogStore
    private let directoryID: DirectoryID
    private let feed: SnapshotFeed
    private let requests: SnapshotRequests
    private let barrier: FeedBarrier?
    private let store: Store
    private let log: LogMetrics
    private let onEvent: (Event) -> Void
    private var schedule: SnapshotSchedule
    private var state = State.idle
    private var attempt: Attempt?
    private var pacing = WorkPacing.half

    /// - Parameters:
    ///   - environment: Where snapshots are kept.
    ///   - logStore: Truncates the log behind the older of two snapshots.
    ///   - feed: Wakes this component.
    ///   - requests: Wakes this component.
    ///   - barrier: What a snapshot waits for before it counts; `nil`: nothing.
    ///   - onEvent: Called in a step.
    init(
        environment: LogEnvironment, logStore: any LogStore, directoryID: DirectoryID,
        feed: SnapshotFeed, requests: SnapshotRequests, barrier: FeedBarrier? = nil,
        store: Store, log: LogMetrics, coverage: SnapshotCoverage, policy: SnapshotPolicy,
        onEvent: @escaping (Event) -> Void
    ) {
        self.environment = environment
        self.logStore = logStore
        self.directoryID = directoryID
        self.feed = feed
        self.requests = requests
        self.barrier = barrier
        self.store = store
        self.log = log
        self.onEvent = onEvent
        self.schedule = SnapshotSchedule(coverage, policy: policy, clock: environment.clock)
        if let newest = coverage.newest { self.metrics.found(newest) }
    }

    /// Whether no snapshot is being made.
    package var isIdle: Bool { if case .idle = self.state { true } else { false } }

    package func step() -> NextStep {
        let started = self.environment.clock.monotonicNanoseconds()
        // Each new block wakes this component; that does not end its rest.
        if self.feed.bytesWaiting < Self.pressureBytes, !self.requests.isStopping,
            let rest = self.pacing.remaining(at: started)
        {
            return .after(nanoseconds: rest)
        }
        do throws(SnapshotFailure) {
            switch self.state {
            case .idle: return try self.beginIfDue(now: started)
            case .writing(let writer): return try self.writeNext(to: writer, since: started)
            case .awaitingFeed(let writer): return self.awaitFeed(writer)
            case .verifying(let writer): return try self.verifyNext(of: writer, since: started)
            case .pruning(let pruner, let file):
                return self.pruneNext(pruner, after: file, since: started)
            case .ended: return .ended
            }
        } catch {
            return self.fail(error)
        }
    }

    // MARK: Idle

    private func beginIfDue(now: UInt64) throws(SnapshotFailure) -> NextStep {
        let responses = self.requests.take()
        if self.requests.isStopping {
            for response in responses { response(.failure(.stopping)) }
            self.state = .ended
            return .ended
        }
        let isDiskFull = self.requests.isDiskFull
        let isDue = self.schedule.isDue(
            appliedLSN: self.store.appliedLSN, lastEraseLSN: self.store.lastEraseLSN,
            logBytes: self.log.bytes, isDiskFull: isDiskFull, now: now)
        guard isDue || !responses.isEmpty else { return .after(nanoseconds: Self.lookNanoseconds) }
        if responses.isEmpty, isDiskFull, !self.hasHeadroom {
            // The operator knows of the full disk already, from the rejected writes.
            self.schedule.failed(at: now)
            return .after(nanoseconds: Self.lookNanoseconds)
        }
        self.attempt = Attempt(
            responses: responses, startedNanoseconds: now, logBytes: self.log.bytes)
        self.metrics.began()
        self.state = .writing(nil)
        guard self.hasHeadroom else { throw .noSpace }
        self.feed.want()
        return .now
    }

    /// Whether the disk has space for a snapshot like the last one: one that fails half way has cut
    /// the log for nothing.
    private var hasHeadroom: Bool {
        let free = try? self.environment.fileSystem.freeBytes(self.environment.directory)
        return free.map { $0 >= self.metrics.bytes + UInt64(self.environment.options.reserveBytes) }
            ?? true
    }

    // MARK: Writing and verifying

    private func writeNext(
        to writer: SnapshotWriter?, since started: UInt64
    ) throws(SnapshotFailure) -> NextStep {
        switch self.feed.next() {
        case .nothing:
            if self.requests.isStopping { throw .stopping }
            return .after(nanoseconds: Self.lookNanoseconds)
        case .begun(let position):
            do throws(StorageError) {
                self.state = .writing(
                    try SnapshotWriter(
                        self.environment, directoryID: self.directoryID, position: position))
            } catch {
                throw Self.failure(error)
            }
            return .now
        case .block(let block):
            do throws(StorageError) { try writer?.append(block.bytes) } catch {
                throw Self.failure(error)
            }
            return self.rest(since: started)
        case .failed(let failure): throw failure
        case .complete:
            guard let writer else { throw .logFailed }
            self.state = .awaitingFeed(writer)
            return .now
        }
    }

    /// The snapshot gets its name only when the feed has come as far (L11): it was begun when the
    /// feed had its position.
    private func awaitFeed(_ writer: SnapshotWriter) -> NextStep {
        guard self.barrier?.isPassed() ?? true else {
            return .after(nanoseconds: Self.lookNanoseconds)
        }
        self.state = .verifying(writer)
        return .now
    }

    private func verifyNext(
        of writer: SnapshotWriter, since started: UInt64
    ) throws(SnapshotFailure) -> NextStep {
        do throws(StorageError) {
            guard case .finished(let file) = try writer.finishStep() else {
                return self.rest(since: started)
            }
            self.verified(file)
            return .now
        } catch {
            throw Self.failure(error)
        }
    }

    private func verified(_ file: SnapshotFile) {
        let now = self.environment.clock.monotonicNanoseconds()
        let nanoseconds = now - (self.attempt?.startedNanoseconds ?? now)
        self.attempt?.nanoseconds = nanoseconds
        self.metrics.ended(.success(file), nanoseconds: nanoseconds)
        let catalogue = SnapshotCatalogue(self.environment, directoryID: self.directoryID)
        self.state = .pruning(catalogue.pruner(after: file, of: self.logStore), file)
    }

    private func fail(_ failure: SnapshotFailure) -> NextStep {
        self.feed.abandon()
        switch self.state {
        case .writing(let writer): writer?.abandon()
        case .awaitingFeed(let writer), .verifying(let writer): writer.abandon()
        case .idle, .pruning, .ended: break
        }
        self.metrics.ended(.failure(failure), nanoseconds: 0)
        self.schedule.failed(at: self.environment.clock.monotonicNanoseconds())
        self.onEvent(.failed(failure))
        self.end(.failure(failure))
        return .now
    }

    // MARK: Pruning

    private func pruneNext(
        _ pruner: SnapshotPruner, after file: SnapshotFile, since started: UInt64
    ) -> NextStep {
        var pruning: SnapshotCatalogue.Pruning?
        do throws(StorageError) {
            switch try pruner.step() {
            case .progress: return self.rest(since: started)
            case .finished(let result): pruning = result
            }
        } catch {
            self.onEvent(.notPruned(error))
        }
        guard let attempt = self.attempt else { preconditionFailure("a snapshot has its attempt") }
        self.schedule.finished(
            file, older: pruning?.older, logBytes: attempt.logBytes,
            startedAt: attempt.startedNanoseconds)
        if let pruning {
            self.onEvent(.finished(file, pruning, seconds: Double(attempt.nanoseconds) / 1e9))
        }
        self.end(.success(file))
        return .now
    }

    private func end(_ result: Result<SnapshotFile, SnapshotFailure>) {
        let responses = self.attempt?.responses ?? []
        self.attempt = nil
        self.state = .idle
        for response in responses { response(result) }
    }

    private func rest(since started: UInt64) -> NextStep {
        self.pacing.didWork(
            from: started, to: self.environment.clock.monotonicNanoseconds())
        return .now
    }

    private static func failure(_ error: StorageError) -> SnapshotFailure {
        if case .noSpace = error { return .noSpace }
        return .storage(error)
    }
}
