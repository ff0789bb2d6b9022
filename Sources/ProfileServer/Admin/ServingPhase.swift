// A single value decides all three probes, so that they cannot contradict each other.

/// The phase of the server between its start and its end.
package enum ServingPhase: Equatable, Sendable {
    /// Opening the data directory.
    case starting
    /// Reading the log; `doneBytes` of `totalBytes` are read.
    case replaying(doneBytes: UInt64, totalBytes: UInt64)
    case ready
    /// Reads are served, writes are rejected until there is space.
    case diskFull
    /// Reads are served, writes are rejected until a restart.
    case logFailed
    /// Shutting down; open calls are completing.
    case draining

    /// Always passes: a restart fixes neither a full disk nor a long replay, and would interrupt
    /// the reads that still work. For the same reason a failed log is left to operators and to
    /// readiness.
    package var livez: AdminCheck {
        AdminCheck(ok: true, text: "alive")
    }

    /// Passes in `ready` only; otherwise the text says why not.
    package var readyz: AdminCheck {
        switch self {
        case .starting:
            AdminCheck(ok: false, text: "not ready: starting")
        case .replaying(let done, let total):
            AdminCheck(
                ok: false,
                text: "not ready: replaying, \(done) of \(total) bytes"
                    + " (\(Self.percent(done, of: total)) %)")
        case .ready:
            AdminCheck(ok: true, text: "ready")
        case .diskFull:
            AdminCheck(ok: false, text: "not ready: disk full, writes are rejected")
        case .logFailed:
            AdminCheck(
                ok: false, text: "not ready: log failed, writes are rejected until a restart")
        case .draining:
            AdminCheck(ok: false, text: "not ready: draining")
        }
    }

    /// Passes once recovery is complete, and from then on.
    package var startupz: AdminCheck {
        switch self {
        case .starting, .replaying: AdminCheck(ok: false, text: self.readyz.text)
        case .ready, .diskFull, .logFailed, .draining: AdminCheck(ok: true, text: "started")
        }
    }

    private static func percent(_ done: UInt64, of total: UInt64) -> Int {
        total == 0 ? 100 : Int(min(Double(done) / Double(total), 1) * 100)
    }
}
