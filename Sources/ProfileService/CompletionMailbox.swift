import IOCore

/// Where finished batches wait for their loop, filled by the log thread, and news of operators'
/// calls; emptied by the loop.
///
/// Bounded by the batches that a loop may have in flight (`ServiceLoop.batchesInFlightMax`), and
/// one report a call.
package final class CompletionMailbox: Sendable {
    private let batches = Guarded<[LogBatch]>([])
    private let reports = Guarded<[OperatorReport]>([])
    private let wake: @Sendable () -> Void

    /// - Parameter wake: Wakes the loop; from any thread.
    package init(wake: @escaping @Sendable () -> Void) {
        self.wake = wake
    }

    /// Leaves a finished batch and wakes the loop unless it has one to fetch already.
    package func post(_ batch: LogBatch) {
        let wasEmpty = self.batches.withLock { batches in
            batches.append(batch)
            return batches.count == 1
        }
        if wasEmpty { self.wake() }
    }

    /// Leaves news of an operator's call and wakes the loop; what it has not fetched of the same
    /// call is replaced.
    package func post(_ report: OperatorReport) {
        self.reports.withLock { reports in
            reports.removeAll { $0.token == report.token }
            reports.append(report)
        }
        self.wake()
    }

    /// Takes the news, in the order of their last change.
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
