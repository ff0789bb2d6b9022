import GRPCTransport
import IOCore
import Synchronization

/// Where loops leave their scans, and the worker finds them. Any thread.
package final class ScanCoordinator: Sendable {
    package let metrics = ScanMetrics()
    let limits: ScanLimits
    let calls: CallRegistry<ScanCall>

    /// - Parameters:
    ///   - mailboxes: One per loop, by its index.
    ///   - waker: Wakes the worker.
    package init(limits: ScanLimits, mailboxes: [CompletionMailbox], waker: any Waker) {
        self.limits = limits
        self.calls = CallRegistry(
            places: PeerPlaces(
                placesMax: limits.scansMax, limit: "scans_max",
                limitPerPeer: "scans_per_peer_max"),
            mailboxes: mailboxes, waker: waker)
    }

    /// Counts and lists that are open.
    package var scans: Int { self.calls.count }

    /// Makes the worker end.
    package func stop() { self.calls.stop() }
}

/// What scans do; written by the worker, read by any thread.
package final class ScanMetrics: Sendable {
    private let endedCell = Atomic<UInt64>(0)
    private let workCell = Atomic<UInt64>(0)
    private let tooDearCell = Atomic<UInt64>(0)

    /// Scans that came to their end.
    package var ended: UInt64 { self.endedCell.load(ordering: .relaxed) }
    /// Units of work (`ScanSlice`) of all scans.
    package var work: UInt64 { self.workCell.load(ordering: .relaxed) }
    /// Counts that were rejected because they would take too long.
    package var tooDear: UInt64 { self.tooDearCell.load(ordering: .relaxed) }

    func noteEnd() { self.endedCell.wrappingAdd(1, ordering: .relaxed) }
    func noteTooDear() { self.tooDearCell.wrappingAdd(1, ordering: .relaxed) }
    func add(work: Int) { self.workCell.wrappingAdd(UInt64(work), ordering: .relaxed) }
}
