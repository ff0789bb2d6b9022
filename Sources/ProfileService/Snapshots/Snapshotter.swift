import IOCore
import Profiles
import Storage
import Synchronization

/// Makes snapshots when they are due or asked for; `run` is the body of the snapshot thread.
///
/// The log thread makes the blocks (`SnapshotMaker`), this one writes them, at a pace: after each
/// block it rests as long as the block took, so that half of the disk's time is left to the log.
package final class Snapshotter: Sendable {
    /// Longest rest after one block, in nanoseconds.
    private static let restNanosecondsMax: UInt64 = 250_000_000
    /// Bytes waiting above which there is no rest: what is about to change must be copied at once,
    /// and memory must not grow by it.
    private static let pressureBytes = 16 << 20
    /// How often the schedule is looked at, in nanoseconds.
    private static let lookNanoseconds: UInt64 = 1_000_000_000
    /// Requests that may wait; one more is refused.
    private static let requestsMax = 64

    /// What the operator is told.
    package enum Event: Sendable {
        case finished(SnapshotFile, SnapshotCatalogue.Pruning, seconds: Double)
        case failed(SnapshotFailure)
        /// The snapshot stands; what it makes superfluous could not be removed, and will be with
        /// the next.
        case notPruned(StorageError)
    }

    package typealias Response = @Sendable (Result<SnapshotFile, SnapshotFailure>) -> Void

    private struct PendingRequests: Sendable {
        var responses: [Response] = []
        var isStopping = false
    }

    package let metrics = SnapshotMetrics()
    private let environment: LogEnvironment
    private let directoryID: DirectoryID
    private let feed: SnapshotFeed
    private let parker: any Parker
    private let store: Store
    private let log: LogMetrics
    private let policy: SnapshotPolicy
    private let coverage: SnapshotCoverage
    private let onEvent: @Sendable (Event) -> Void
    private let pendingRequests = Guarded(PendingRequests())
    private let isDiskFull = Atomic<Bool>(false)

    /// - Parameters:
    ///   - parker: The one that the feed wakes.
    ///   - onNews: Called on the snapshot thread.
    package init(
        environment: LogEnvironment, directoryID: DirectoryID, feed: SnapshotFeed,
        parker: any Parker, store: Store,
        log: LogMetrics, coverage: SnapshotCoverage, policy: SnapshotPolicy,
        onEvent: @escaping @Sendable (Event) -> Void
    ) {
        self.environment = environment
        self.directoryID = directoryID
        self.feed = feed
        self.parker = parker
        self.store = store
        self.log = log
        self.coverage = coverage
        self.policy = policy
        self.onEvent = onEvent
        if let newest = coverage.newest { self.metrics.found(newest) }
    }

    // MARK: Any thread

    /// Asks for a snapshot of everything that is applied now; `response` is called on the snapshot
    /// thread, or at once if too many wait.
    package func request(_ response: @escaping Response) {
        let rejection = self.pendingRequests.withLock { pendingRequests -> SnapshotFailure? in
            if pendingRequests.isStopping { return .stopping }
            guard pendingRequests.responses.count < Self.requestsMax else {
                return .tooManyRequests
            }
            pendingRequests.responses.append(response)
            return nil
        }
        guard let rejection else { return self.parker.wake() }
        response(.failure(rejection))
    }

    /// Says that writes wait for space, or no longer: a snapshot may free some of the log.
    package func note(isDiskFull: Bool) {
        self.isDiskFull.store(isDiskFull, ordering: .relaxed)
        self.parker.wake()
    }

    /// Makes `run` return.
    package func stop() {
        self.pendingRequests.withLock { $0.isStopping = true }
        self.parker.wake()
    }

    private var isStopping: Bool { self.pendingRequests.withLock { $0.isStopping } }

    // MARK: The snapshot thread

    /// Runs until `stop`.
    package func run() {
        var schedule = SnapshotSchedule(
            self.coverage, policy: self.policy, clock: self.environment.clock)
        while !self.isStopping {
            if !self.takeIfDue(&schedule) { self.parker.park(forNanoseconds: Self.lookNanoseconds) }
        }
        for response in self.takeResponses() { response(.failure(.stopping)) }
    }

    /// Makes a snapshot if one is due or asked for; false: none is.
    func takeIfDue(_ schedule: inout SnapshotSchedule) -> Bool {
        let responses = self.takeResponses()
        let isDue = schedule.isDue(
            appliedLSN: self.store.appliedLSN, lastEraseLSN: self.store.lastEraseLSN,
            logBytes: self.log.bytes,
            isDiskFull: self.isDiskFull.load(ordering: .relaxed),
            now: self.environment.clock.monotonicNanoseconds())
        guard isDue || !responses.isEmpty else { return false }
        if responses.isEmpty, self.isDiskFull.load(ordering: .relaxed), !self.hasHeadroom {
            // Told already, by those whose writes are refused.
            schedule.failed(at: self.environment.clock.monotonicNanoseconds())
            return false
        }
        let result = self.take(&schedule)
        for response in responses { response(result) }
        return true
    }

    private func takeResponses() -> [Response] {
        self.pendingRequests.withLock { pendingRequests in
            defer { pendingRequests.responses = [] }
            return pendingRequests.responses
        }
    }

    private func take(_ schedule: inout SnapshotSchedule) -> Result<SnapshotFile, SnapshotFailure> {
        let clock = self.environment.clock
        let started = clock.monotonicNanoseconds()
        let logBytes = self.log.bytes
        self.metrics.began()
        let result: Result<SnapshotFile, SnapshotFailure>
        do throws(SnapshotFailure) {
            result = .success(try self.write())
        } catch {
            result = .failure(error)
        }
        let nanoseconds = clock.monotonicNanoseconds() - started
        self.metrics.ended(result, nanoseconds: nanoseconds)
        switch result {
        case .failure(let failure):
            schedule.failed(at: clock.monotonicNanoseconds())
            self.onEvent(.failed(failure))
        case .success(let file):
            let pruning = self.prune(after: file)
            schedule.finished(file, older: pruning?.older, logBytes: logBytes, startedAt: started)
            if let pruning {
                self.onEvent(.finished(file, pruning, seconds: Double(nanoseconds) / 1e9))
            }
        }
        return result
    }

    private func prune(after file: SnapshotFile) -> SnapshotCatalogue.Pruning? {
        do throws(StorageError) {
            var started = self.environment.clock.monotonicNanoseconds()
            return try SnapshotCatalogue(self.environment, directoryID: self.directoryID).prune(
                after: file, pause: { _ in self.rest(since: &started) })
        } catch {
            self.onEvent(.notPruned(error))
            return nil
        }
    }

    /// Writes one snapshot and verifies it.
    private func write() throws(SnapshotFailure) -> SnapshotFile {
        guard self.hasHeadroom else { throw .noSpace }
        self.feed.want()
        var writer: SnapshotWriter?
        do throws(SnapshotFailure) {
            while true {
                switch self.feed.next() {
                case .nothing:
                    if self.isStopping { throw .stopping }
                    self.parker.park(forNanoseconds: Self.lookNanoseconds)
                case .begun(let position):
                    writer = try Self.storage { () throws(StorageError) in
                        try SnapshotWriter(
                            self.environment, directoryID: self.directoryID, position: position)
                    }
                case .block(let block): try self.write(block, to: writer)
                case .failed(let failure): throw failure
                case .complete:
                    guard let writer else { throw .logFailed }
                    var started = self.environment.clock.monotonicNanoseconds()
                    return try Self.storage { () throws(StorageError) in
                        try writer.finish(pause: { _ in self.rest(since: &started) })
                    }
                }
            }
        } catch {
            self.feed.abandon()
            writer?.abandon()
            throw error
        }
    }

    /// Whether the disk has room for a snapshot like the last one: one that fails half way has cut
    /// the log for nothing.
    private var hasHeadroom: Bool {
        let free = try? self.environment.fileSystem.freeBytes(self.environment.directory)
        return free.map { $0 >= self.metrics.bytes + UInt64(self.environment.options.reserveBytes) }
            ?? true
    }

    /// Writes one block, and rests as long as that took.
    private func write(_ block: SnapshotBlock, to writer: SnapshotWriter?) throws(SnapshotFailure) {
        var started = self.environment.clock.monotonicNanoseconds()
        try Self.storage { () throws(StorageError) in try writer?.append(block.bytes) }
        self.rest(since: &started)
    }

    /// Rests as long as the work since `started` took, and sets `started` to the end of the rest.
    private func rest(since started: inout UInt64) {
        let clock = self.environment.clock
        let done = clock.monotonicNanoseconds()
        let until = done + min(done - started, Self.restNanosecondsMax)
        defer { started = clock.monotonicNanoseconds() }
        // Each new block wakes this thread; it goes on resting.
        while self.feed.bytesWaiting < Self.pressureBytes, !self.isStopping {
            let now = clock.monotonicNanoseconds()
            guard now < until else { return }
            self.parker.park(forNanoseconds: until - now)
        }
    }

    private static func storage<Value>(_ body: () throws(StorageError) -> Value)
        throws(SnapshotFailure) -> Value
    {
        do throws(StorageError) {
            return try body()
        } catch {
            if case .noSpace = error { throw .noSpace }
            throw .storage(error)
        }
    }
}
