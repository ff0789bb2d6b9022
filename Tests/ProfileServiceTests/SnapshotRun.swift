import IOCore
import Storage

@testable import ProfileService

/// Runs the snapshot thread's work on the test's thread: whenever it would sleep, the log thread
/// has its turn.
final class SnapshotRun {
    private final class TurnParker: Parker, @unchecked Sendable {
        // Used by the test's thread only.
        var turn: () -> Void = {}

        func park(forNanoseconds nanoseconds: UInt64?) { self.turn() }
        func wake() {}
    }

    let snapshotter: Snapshotter
    private let fixture: ServiceFixture
    private let parker = TurnParker()
    private let event = Guarded<[Snapshotter.Event]>([])
    private var schedule: SnapshotSchedule

    init(_ fixture: ServiceFixture, policy: SnapshotPolicy = SnapshotPolicy()) {
        self.fixture = fixture
        let event = self.event
        self.snapshotter = Snapshotter(
            environment: fixture.environment, directoryID: fixture.recovered.opened.directoryID,
            feed: fixture.feed,
            parker: self.parker, store: fixture.store, log: fixture.recovered.opened.metrics,
            coverage: fixture.recovered.coverage, policy: policy,
            onEvent: { item in event.withLock { $0.append(item) } })
        self.schedule = SnapshotSchedule(
            fixture.recovered.coverage, policy: policy, clock: fixture.clock)
    }

    /// What was removed after each snapshot.
    var prunings: [SnapshotCatalogue.Pruning] {
        self.event.withLock {
            $0.compactMap { if case .finished(_, let pruning, _) = $0 { pruning } else { nil } }
        }
    }

    /// Whether the schedule made one.
    func isMadeBySchedule() -> Bool {
        self.parker.turn = { self.fixture.rest() }
        return self.snapshotter.takeIfDue(&self.schedule)
    }

    /// Asks for a snapshot and waits for it; `between` is called before each turn of the log
    /// thread.
    func take(between: @escaping () -> Void = {}) throws -> SnapshotFile {
        let response = Guarded<Result<SnapshotFile, SnapshotFailure>?>(nil)
        self.snapshotter.request { result in response.withLock { $0 = result } }
        self.parker.turn = {
            between()
            self.fixture.rest()
        }
        _ = self.snapshotter.takeIfDue(&self.schedule)
        guard let result = response.withLock({ $0 }) else { throw SnapshotFailure.stopping }
        return try result.get()
    }
}
