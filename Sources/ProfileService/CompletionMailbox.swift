import GRPCTransport
import IOCore

/// Holds a loop's finished batches, posted by the committer, the reports of operators' calls, and
/// the calls for which another component has left something, until the loop takes them.
///
/// Bounded by the batches that a loop may have in flight (`ServiceLoop.batchesInFlightMax`), one
/// report a call, and one batch of changes a watcher.
package final class CompletionMailbox: Sendable {
    private let batches = Guarded<[LogBatch]>([])
    private let reports = Guarded<[OperatorReport]>([])
    private let ready = Guarded<[CallToken]>([])
    private let wake: @Sendable () -> Void

    /// - Parameter wake: Wakes the loop; from any thread.
    package init(wake: @escaping @Sendable () -> Void) {
        self.wake = wake
    }

    /// Posts a finished batch, and wakes the loop unless another one waits for it already.
    package func post(_ batch: LogBatch) {
        let wasEmpty = self.batches.withLock { batches in
            batches.append(batch)
            return batches.count == 1
        }
        if wasEmpty { self.wake() }
    }

    /// Posts a report of an operator's call and wakes the loop; replaces an earlier report of the
    /// same call that was not taken yet.
    package func post(_ report: OperatorReport) {
        self.reports.withLock { reports in
            reports.removeAll { $0.token == report.token }
            reports.append(report)
        }
        self.wake()
    }

    /// Posts that something waits for a call, and wakes the loop unless it has been woken for
    /// others.
    package func post(ready token: CallToken) {
        let wasEmpty = self.ready.withLock { ready in
            ready.append(token)
            return ready.count == 1
        }
        if wasEmpty { self.wake() }
    }

    /// Takes the calls for which something waits.
    package func takeReady() -> [CallToken] {
        self.ready.withLock { ready in
            defer { ready.removeAll() }
            return ready
        }
    }

    /// Takes the reports, in the order of their last change.
    package func takeReports() -> [OperatorReport] {
        self.reports.withLock { reports in
            defer { reports.removeAll() }
            return reports
        }
    }

    /// Exchanges the finished batches for `empty`, whose storage is used for the next ones.
    package func take(into empty: inout [LogBatch]) {
        self.batches.withLock { swap(&$0, &empty) }
    }
}
