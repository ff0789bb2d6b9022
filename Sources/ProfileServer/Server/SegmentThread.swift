import IOCore
import IOLinux
import Storage
import Synchronization

/// Prepares the next segment in the background, a piece at a time, and rests while a spare one
/// waits.
final class SegmentThread: Sendable {
    /// Pause between two pieces, in nanoseconds: the log's own syncs go first.
    private static let paceNanoseconds: UInt64 = 5_000_000
    /// Pause after a failure, such as a full disk, in nanoseconds.
    private static let retryNanoseconds: UInt64 = 1_000_000_000

    private let preparer: SegmentPreparer
    private let parker: LinuxParker
    private let log: Log
    private let isStopping = Atomic<Bool>(false)

    init(_ preparer: SegmentPreparer, parker: LinuxParker, log: Log) {
        self.preparer = preparer
        self.parker = parker
        self.log = log
    }

    /// The body of the thread.
    func run() {
        var hasFailed = false
        while !self.isStopping.load(ordering: .acquiring) {
            do throws(IOError) {
                let hasMore = try self.preparer.step()
                hasFailed = false
                self.parker.park(forNanoseconds: hasMore ? Self.paceNanoseconds : nil)
            } catch {
                if !hasFailed {
                    self.log.warning(
                        "the next segment cannot be prepared",
                        LogField("operation", error.operation.description),
                        LogField("errno", Int(error.code)))
                }
                hasFailed = true
                self.parker.park(forNanoseconds: Self.retryNanoseconds)
            }
        }
    }

    /// Makes `run` return; from any thread.
    func stop() {
        self.isStopping.store(true, ordering: .releasing)
        self.parker.wake()
    }
}
