import Synchronization

/// What WatchTriggers calls do; written by the worker, read by any thread.
package final class TriggerStreamMetrics: Sendable {
    private let deliveriesCell = Atomic<UInt64>(0)
    private let expirationsCell = Atomic<UInt64>(0)
    private let releasesCell = Atomic<UInt64>(0)

    /// Deliveries that were handed to loops.
    package var deliveries: UInt64 { self.deliveriesCell.load(ordering: .relaxed) }
    /// Deliveries that were not acknowledged in time.
    package var expirations: UInt64 { self.expirationsCell.load(ordering: .relaxed) }
    /// Deliveries whose stream ended before they were acknowledged.
    package var releases: UInt64 { self.releasesCell.load(ordering: .relaxed) }

    func addDelivery() { self.deliveriesCell.wrappingAdd(1, ordering: .relaxed) }
    func add(expirations: Int) {
        self.expirationsCell.wrappingAdd(UInt64(expirations), ordering: .relaxed)
    }
    func add(releases: Int) { self.releasesCell.wrappingAdd(UInt64(releases), ordering: .relaxed) }
}
