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
    package enum News: Sendable {
        case finished(SnapshotFile, SnapshotCatalogue.Pruning, seconds: Double)
        case failed(SnapshotFailure)
        /// The snapshot stands; what it makes superfluous could not be removed, and will be with
        /// the next.
        case notPruned(StorageError)
    }

    package typealias Answer = @Sendable (Result<SnapshotFile, SnapshotFailure>) -> Void

    private struct Wishes: Sendable {
        var answers: [Answer] = []
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
    private let onNews: @Sendable (News) -> Void
    private let wishes = Guarded(Wishes())
    private let isDiskFull = Atomic<Bool>(false)

    /// - Parameters:
    ///   - parker: The one that the feed wakes.
    ///   - onNews: Called on the snapshot thread.
    package init(
        environment: LogEnvironment, directoryID: DirectoryID, feed: SnapshotFeed,
        parker: any Parker, store: Store,
        log: LogMetrics, coverage: SnapshotCoverage, policy: SnapshotPolicy,
        onNews: @escaping @Sendable (News) -> Void
    ) {
        self.environment = environment
        self.directoryID = directoryID
        self.feed = feed
        self.parker = parker
        self.store = store
        self.log = log
        self.coverage = coverage
        self.policy = policy
        self.onNews = onNews
        if let newest = coverage.newest { self.metrics.found(newest) }
    }

    // MARK: Any thread

    /// Asks for a snapshot of everything that is applied now; `answer` is called on the snapshot
    /// thread, or at once if too many wait.
    package func request(_ answer: @escaping Answer) {
        let refusal = self.wishes.withLock { wishes -> SnapshotFailure? in
            if wishes.isStopping { return .stopping }
            guard wishes.answers.count < Self.requestsMax else { return .tooManyRequests }
            wishes.answers.append(answer)
            return nil
        }
        guard let refusal else { return self.parker.unpark() }
        answer(.failure(refusal))
    }

    /// Says that writes wait for space, or no longer: a snapshot may free some of the log.
    package func note(isDiskFull: Bool) {
        self.isDiskFull.store(isDiskFull, ordering: .relaxed)
        self.parker.unpark()
    }

    /// Makes `run` return.
    package func stop() {
        self.wishes.withLock { $0.isStopping = true }
        self.parker.unpark()
    }

    private var isStopping: Bool { self.wishes.withLock { $0.isStopping } }

    // MARK: The snapshot thread

    /// Runs until `stop`.
    package func run() {
        var schedule = SnapshotSchedule(
            self.coverage, policy: self.policy, clock: self.environment.clock)
        while !self.isStopping {
            if !self.takeIfDue(&schedule) { self.parker.park(forNanoseconds: Self.lookNanoseconds) }
        }
        for answer in self.takeAnswers() { answer(.failure(.stopping)) }
    }

    /// Makes a snapshot if one is due or asked for; false: none is.
    func takeIfDue(_ schedule: inout SnapshotSchedule) -> Bool {
        let answers = self.takeAnswers()
        let isDue = schedule.isDue(
            appliedLSN: self.store.appliedLSN, lastEraseLSN: self.store.lastEraseLSN,
            logBytes: self.log.bytes,
            isDiskFull: self.isDiskFull.load(ordering: .relaxed),
            now: self.environment.clock.monotonicNanoseconds())
        guard isDue || !answers.isEmpty else { return false }
        if answers.isEmpty, self.isDiskFull.load(ordering: .relaxed), !self.hasRoom {
            // Told already, by those whose writes are refused.
            schedule.failed(at: self.environment.clock.monotonicNanoseconds())
            return false
        }
        let result = self.take(&schedule)
        for answer in answers { answer(result) }
        return true
    }

    private func takeAnswers() -> [Answer] {
        self.wishes.withLock { wishes in
            defer { wishes.answers = [] }
            return wishes.answers
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
            self.onNews(.failed(failure))
        case .success(let file):
            let pruning = self.prune(after: file)
            schedule.finished(file, older: pruning?.older, logBytes: logBytes, startedAt: started)
            if let pruning {
                self.onNews(.finished(file, pruning, seconds: Double(nanoseconds) / 1e9))
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
            self.onNews(.notPruned(error))
            return nil
        }
    }

    /// Writes one snapshot and verifies it.
    private func write() throws(SnapshotFailure) -> SnapshotFile {
        guard self.hasRoom else { throw .noSpace }
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
            self.feed.giveUp()
            writer?.abandon()
            throw error
        }
    }

    /// Whether the disk has room for a snapshot like the last one: one that fails half way has cut
    /// the log for nothing.
    private var hasRoom: Bool {
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
