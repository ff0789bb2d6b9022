import IOCore
import Storage

/// When sealed files are read again.
package struct ScrubSchedule: Sendable {
    /// Between the start and the first run, in nanoseconds: a start has just read what it needed,
    /// and others have work to do then.
    package var firstNanoseconds: UInt64 = 3_600_000_000_000
    /// Between two runs, in nanoseconds.
    package var intervalNanoseconds: UInt64 = 86_400_000_000_000

    package init() {}
}

/// Reads the sealed files of the data directory once a day, about 1 MiB per step, and reports each
/// one that is damaged.
package final class ScrubWorker: Steppable {
    /// Rest as a multiple of the reading before it: a tenth of the disk, and of a core, at most.
    private static let restFactor: UInt64 = 9

    private enum State {
        /// Monotonic time of the next run, in nanoseconds.
        case waiting(until: UInt64)
        case reading(Scrubber)
    }

    private let logStore: any LogStore
    private let clock: any Clock
    private let directoryID: DirectoryID
    private let metrics: ScrubMetrics
    private let schedule: ScrubSchedule
    private let onEvent: (NodeEvent) -> Void
    private var state: State
    private var pacing = WorkPacing(factor: ScrubWorker.restFactor)

    /// - Parameter onEvent: Called in a step.
    package init(
        _ logStore: any LogStore, clock: any Clock, directoryID: DirectoryID,
        metrics: ScrubMetrics, schedule: ScrubSchedule, onEvent: @escaping (NodeEvent) -> Void
    ) {
        self.logStore = logStore
        self.clock = clock
        self.directoryID = directoryID
        self.metrics = metrics
        self.schedule = schedule
        self.onEvent = onEvent
        self.state = .waiting(
            until: clock.monotonicNanoseconds() + schedule.firstNanoseconds)
    }

    package func step() -> NextStep {
        let now = self.clock.monotonicNanoseconds()
        switch self.state {
        case .waiting(let next):
            guard now >= next else { return .after(nanoseconds: next - now) }
            self.state = .reading(self.logStore.makeScrubber(self.directoryID))
            return .now
        case .reading(let scrubber):
            if let rest = self.pacing.remaining(at: now) { return .after(nanoseconds: rest) }
            return self.read(scrubber, since: now)
        }
    }

    private func read(_ scrubber: Scrubber, since started: UInt64) -> NextStep {
        do throws(StorageError) {
            switch try scrubber.step() {
            case .progress:
                self.pacing.didWork(
                    from: started, to: self.clock.monotonicNanoseconds())
            case .damaged(let error): self.report(error)
            case .finished(let figures):
                self.metrics.finishedRun()
                self.onEvent(.scrubbed(figures))
                self.endRun()
            }
        } catch {
            self.report(error)
            self.endRun()
        }
        return .now
    }

    private func report(_ error: StorageError) {
        self.metrics.foundDamage()
        self.onEvent(.damaged(error))
    }

    private func endRun() {
        self.state = .waiting(
            until: self.clock.monotonicNanoseconds()
                + self.schedule.intervalNanoseconds)
    }
}
