import IOCore
import Storage

/// Prepares the next segment a piece per step, and rests while a spare one waits.
final class SegmentWorker: Steppable {
    /// Pause between two pieces, in nanoseconds: the log's own syncs go first.
    private static let paceNanoseconds: UInt64 = 5_000_000
    /// Pause after a failure, such as a full disk, in nanoseconds.
    private static let retryNanoseconds: UInt64 = 1_000_000_000

    private let preparer: SegmentPreparer
    private let onEvent: (NodeEvent) -> Void
    private var hasFailed = false

    init(_ preparer: SegmentPreparer, onEvent: @escaping (NodeEvent) -> Void) {
        self.preparer = preparer
        self.onEvent = onEvent
    }

    func step() -> NextStep {
        do throws(IOError) {
            let hasMore = try self.preparer.step()
            self.hasFailed = false
            return hasMore ? .after(nanoseconds: Self.paceNanoseconds) : .whenWoken
        } catch {
            // One event for a row of failures: a full disk fails once a second.
            if !self.hasFailed { self.onEvent(.segmentNotPrepared(error)) }
            self.hasFailed = true
            return .after(nanoseconds: Self.retryNanoseconds)
        }
    }
}
