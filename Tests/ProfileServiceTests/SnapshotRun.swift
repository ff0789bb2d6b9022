import IOCore
import Storage

@testable import ProfileService

/// Steps the snapshotter of a fixture: whenever it would wait, the log has its turn.
final class SnapshotRun {
    let requests = SnapshotRequests(waker: NoWaker())
    private let snapshotter: Snapshotter
    private let fixture: ServiceFixture
    private let events = Guarded<[Snapshotter.Event]>([])

    private final class NoWaker: Waker {
        func wake() {}
    }

    init(_ fixture: ServiceFixture, policy: SnapshotPolicy = SnapshotPolicy()) {
        self.fixture = fixture
        let events = self.events
        self.snapshotter = Snapshotter(
            environment: fixture.environment, logStore: fixture.logStore,
            directoryID: fixture.recovered.opened.directoryID,
            feed: fixture.feed, requests: self.requests, store: fixture.store,
            log: fixture.recovered.opened.metrics, coverage: fixture.recovered.coverage,
            policy: policy, onEvent: { event in events.withLock { $0.append(event) } })
    }

    /// What was removed after each snapshot.
    var prunings: [SnapshotCatalogue.Pruning] {
        self.events.withLock {
            $0.compactMap { if case .finished(_, let pruning, _) = $0 { pruning } else { nil } }
        }
    }

    /// Whether the schedule made one.
    func isMadeBySchedule() -> Bool {
        _ = self.snapshotter.step()
        guard !self.snapshotter.isIdle else { return false }
        self.stepUntilIdle {}
        return true
    }

    /// Requests a snapshot and waits for it; `between` is called before each turn of the log.
    func take(between: () -> Void = {}) throws -> SnapshotFile {
        let response = Guarded<Result<SnapshotFile, SnapshotFailure>?>(nil)
        self.requests.request { result in response.withLock { $0 = result } }
        _ = self.snapshotter.step()
        self.stepUntilIdle(between)
        guard let result = response.withLock({ $0 }) else { throw SnapshotFailure.stopping }
        return try result.get()
    }

    private func stepUntilIdle(_ between: () -> Void) {
        while !self.snapshotter.isIdle {
            guard self.snapshotter.step() != .now else { continue }
            between()
            self.fixture.rest()
        }
    }
}
