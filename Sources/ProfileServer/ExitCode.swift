// Supervisors act on these numbers, and they are part of the contract: never reuse one.

/// The exit codes of `profiled`.
package enum ExitCode: Int32, Sendable, CaseIterable {
    /// A drain after SIGTERM completed, SIGTERM came before anything was served, or an option such
    /// as `--help` or `--check-config` printed its text.
    case success = 0
    /// Any failure without a code of its own: a bind that failed, a thread that could not start, a
    /// second SIGTERM, SIGQUIT or SIGABRT.
    case unexpected = 1
    /// A setting is unknown, malformed or not allowed, and the error names it and its source; or a
    /// limit of the process leaves no space for a log segment.
    case configuration = 2
    /// The data directory must not be served: corruption, a newer format, a gap in the log.
    case dataRejected = 3
    /// Another process has locked the data directory.
    case directoryLocked = 4

    /// What it means, for an operator; one line.
    package var summary: String {
        switch self {
        case .success: "normal end"
        case .unexpected: "unexpected failure"
        case .configuration: "invalid configuration"
        case .dataRejected: "data rejected"
        case .directoryLocked: "data directory locked by another process"
        }
    }
}
