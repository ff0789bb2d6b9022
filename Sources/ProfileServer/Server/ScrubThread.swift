import IOCore
import IOLinux
import Storage
import Synchronization

/// Reads the sealed files of the data directory once a day, and says when one of them is damaged.
final class ScrubThread: Sendable {
    /// When it runs.
    struct Schedule {
        /// Between the start and the first run, in nanoseconds: a start has just read what it
        /// needed, and others have work to do then.
        var firstNanoseconds: UInt64 = 3_600_000_000_000
        /// Between two runs, in nanoseconds.
        var intervalNanoseconds: UInt64 = 86_400_000_000_000
    }

    /// It rests this many times as long as reading took: a tenth of the disk, and of a core, at
    /// most.
    private static let restFactor: UInt64 = 9

    private let scrubber: Scrubber
    private let metrics: ScrubMetrics
    private let clock: any Clock
    private let log: Log
    private let schedule: Schedule
    private let parker = LinuxParker()
    private let isStopping = Atomic<Bool>(false)

    init(
        _ scrubber: Scrubber, metrics: ScrubMetrics, clock: any Clock, log: Log,
        schedule: Schedule = Schedule()
    ) {
        self.scrubber = scrubber
        self.metrics = metrics
        self.clock = clock
        self.log = log
        self.schedule = schedule
    }

    /// The body of the thread.
    func run() {
        var next = self.clock.monotonicNanoseconds() + self.schedule.firstNanoseconds
        while !self.isStopping.load(ordering: .acquiring) {
            let now = self.clock.monotonicNanoseconds()
            guard now >= next else {
                self.parker.park(forNanoseconds: next - now)
                continue
            }
            self.scrub()
            next = self.clock.monotonicNanoseconds() + self.schedule.intervalNanoseconds
        }
    }

    private func scrub() {
        var since = self.clock.monotonicNanoseconds()
        do throws(StorageError) {
            let figures = try self.scrubber.run(
                pause: { _ in
                    self.parker.park(
                        forNanoseconds: (self.clock.monotonicNanoseconds() - since)
                            * Self.restFactor)
                    since = self.clock.monotonicNanoseconds()
                    return !self.isStopping.load(ordering: .acquiring)
                }, damaged: self.tell)
            guard let figures else { return }
            self.metrics.finishedRun()
            self.log.info(
                "data read again", LogField("files", figures.files),
                LogField("bytes", figures.bytes),
                LogField("damaged", figures.damaged))
        } catch {
            self.tell(error)
        }
    }

    private func tell(_ error: StorageError) {
        self.metrics.foundDamage()
        self.log.error("data on disk is damaged", LogField("reason", error.description))
    }

    /// Makes `run` return; from any thread.
    func stop() {
        self.isStopping.store(true, ordering: .releasing)
        self.parker.wake()
    }
}
