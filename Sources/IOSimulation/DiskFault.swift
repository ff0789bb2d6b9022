/// What goes wrong with one call of a simulated disk.
package enum DiskFault: Equatable, Sendable {
    /// EIO. A sync that fails so marks its pages clean; a write leaves the first half of its bytes.
    case inputOutput
    /// ENOSPC. A write leaves the first half of its bytes.
    case noSpace
    /// Nothing is said, and nothing is kept: a write that never reaches the disk. Only for calls of
    /// files.
    case lost
}

/// Which call fails.
package struct DiskFaultPlan: Sendable {
    /// The calls that count.
    package enum Calls: Sendable {
        case writes
        case syncs
        case directorySyncs
        case reads
        /// Every call that can change the disk.
        case changes
    }

    package var fault: DiskFault
    package var calls: Calls
    /// The n-th such call from the moment the plan is set; 1-based.
    package var countdown: Int

    /// Whether a call of this kind counts.
    func counts(_ call: Calls) -> Bool {
        self.calls == call || (self.calls == .changes && call != .reads)
    }

    package init(_ fault: DiskFault, of calls: Calls, number: Int) {
        self.fault = fault
        self.calls = calls
        self.countdown = number
    }
}
