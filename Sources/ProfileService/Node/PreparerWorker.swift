import IOCore
import Storage

/// Steps a log's preparer, and reports when it begins to fail.
final class PreparerWorker: Steppable {
    private let preparer: any LogPreparer
    private let onEvent: (NodeEvent) -> Void
    private var hasFailed = false

    init(_ preparer: any LogPreparer, onEvent: @escaping (NodeEvent) -> Void) {
        self.preparer = preparer
        self.onEvent = onEvent
    }

    func step() -> NextStep {
        let next = self.preparer.step()
        let failure = self.preparer.failure
        // One event for a row of failures: a full disk fails once a second.
        if let failure, !self.hasFailed { self.onEvent(.logSpaceNotPrepared(failure)) }
        self.hasFailed = failure != nil
        return next
    }
}
