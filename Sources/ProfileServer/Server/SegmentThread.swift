import IOCore
import IOLinux
import Storage
import Synchronization

/// Prepares the next segment in the background, and logs when that begins to fail.
final class SegmentThread: @unchecked Sendable {
    // The preparer is stepped by this thread alone.
    private let preparer: (any Steppable)?
    private let parker: LinuxParker
    private let log: Log
    private let isStopping = Atomic<Bool>(false)

    init(_ preparer: (any Steppable)?, parker: LinuxParker, log: Log) {
        self.preparer = preparer
        self.parker = parker
        self.log = log
    }

    /// The body of the thread.
    func run() {
        guard let preparer = self.preparer else { return }
        var hadFailed = false
        while !self.isStopping.load(ordering: .acquiring) {
            let next = preparer.step()
            let failure = (preparer as? SegmentPreparer)?.failure
            if let failure, !hadFailed {
                self.log.warning(
                    "the next segment cannot be prepared",
                    LogField("operation", failure.operation.description),
                    LogField("errno", Int(failure.code)))
            }
            hadFailed = failure != nil
            switch next {
            case .now: continue
            case .after(let nanoseconds): self.parker.park(forNanoseconds: nanoseconds)
            case .whenWoken: self.parker.park(forNanoseconds: nil)
            case .ended: return
            }
        }
    }

    /// Makes `run` return; from any thread.
    func stop() {
        self.isStopping.store(true, ordering: .releasing)
        self.parker.wake()
    }
}
