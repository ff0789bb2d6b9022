import IOCore

/// Where finished batches wait for their loop; filled by the log thread, emptied by the loop.
///
/// Bounded by the batches that a loop may have in flight (`ServiceLoop.batchesInFlightMax`).
package final class CompletionMailbox: Sendable {
    private let batches = Guarded<[LogBatch]>([])
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

    /// Exchanges the finished batches for `empty`, whose storage is used for the next ones.
    package func take(into empty: inout [LogBatch]) {
        self.batches.withLock { swap(&$0, &empty) }
    }
}
