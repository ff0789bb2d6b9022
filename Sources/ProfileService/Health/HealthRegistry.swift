import IOCore
import Synchronization

/// Serving states of `grpc.health.v1`; the raw values are the protocol's.
package enum HealthStatus: UInt8, Sendable {
    case unknown = 0
    case serving = 1
    case notServing = 2
    case serviceUnknown = 3
}

/// Which services can be used now; set from any thread, read by every loop.
///
/// Loops compare `version` once per tick and push changes to their watches.
package final class HealthRegistry: Sendable {
    private let statuses: Guarded<[String: HealthStatus]>
    private let versionCell = Atomic<UInt64>(0)

    /// Every service begins as `NOT_SERVING` (H8).
    package init(services: [String]) {
        var statuses: [String: HealthStatus] = [:]
        for service in services { statuses[service] = .notServing }
        self.statuses = Guarded(statuses)
    }

    /// Raised with each change.
    package var version: UInt64 { self.versionCell.load(ordering: .acquiring) }

    /// Sets all services at once; the loops must be woken for their watches to learn of it soon.
    package func setAll(_ status: HealthStatus) {
        self.statuses.withLock { statuses in
            for service in statuses.keys { statuses[service] = status }
        }
        self.versionCell.add(1, ordering: .releasing)
    }

    /// The state of a service; `nil` if there is no such service.
    package func status(of service: String) -> HealthStatus? {
        self.statuses.withLock { $0[service] }
    }
}
