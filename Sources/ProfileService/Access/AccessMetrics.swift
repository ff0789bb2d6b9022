import Synchronization

/// Why a call is refused access; the raw value labels a metric and never reaches a client.
package enum AccessFailure: UInt8, CaseIterable, Sendable {
    /// No key in the headers, or several.
    case missing
    /// Something that is no key.
    case malformed
    /// No key has the name.
    case unknown
    /// The secret is another.
    case mismatch
    case revoked
    case expired
    /// The key lacks the scope.
    case scope
    /// The key is for another project.
    case project

    /// Whether the caller is not known at all, rather than not allowed to do this.
    package var isLogin: Bool {
        switch self {
        case .missing, .malformed, .unknown, .mismatch, .revoked, .expired: true
        case .scope, .project: false
        }
    }

    package var label: String { "\(self)" }
}

/// Counters of refused and held-back calls, of all loops; relaxed.
package final class AccessMetrics: Sendable {
    /// By `AccessFailure.rawValue`.
    private let failureCells = InlineArray<8, Atomic<UInt64>> { _ in Atomic(0) }
    private let delayedCell = Atomic<UInt64>(0)
    private let callQuotaCell = Atomic<UInt64>(0)
    private let updateQuotaCell = Atomic<UInt64>(0)

    init() {
        precondition(AccessFailure.allCases.count == 8, "each failure has its counter")
    }

    /// Calls that were refused for a reason.
    package func count(of failure: AccessFailure) -> UInt64 {
        self.failureCells[Int(failure.rawValue)].load(ordering: .relaxed)
    }

    /// Failed logins whose rejection had to wait, or whose connection was closed.
    package var delayed: UInt64 { self.delayedCell.load(ordering: .relaxed) }
    /// Calls rejected because their key had as many open.
    package var callQuotaRejections: UInt64 { self.callQuotaCell.load(ordering: .relaxed) }
    /// Calls rejected because their key had used up its operations.
    package var updateQuotaRejections: UInt64 { self.updateQuotaCell.load(ordering: .relaxed) }

    func add(_ failure: AccessFailure) {
        self.failureCells[Int(failure.rawValue)].add(1, ordering: .relaxed)
    }

    func addDelayed() { self.delayedCell.add(1, ordering: .relaxed) }
    func addCallQuotaRejection() { self.callQuotaCell.add(1, ordering: .relaxed) }
    func addUpdateQuotaRejection() { self.updateQuotaCell.add(1, ordering: .relaxed) }
}
