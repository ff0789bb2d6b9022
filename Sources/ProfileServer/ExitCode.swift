// What a supervisor learns from the end of the process. The numbers are part of the contract: never
// reuse one.

/// The exit codes of `profiled`.
package enum ExitCode: Int32, Sendable, CaseIterable {
    /// A drain after SIGTERM ended in order, or a question (`--help`, `--check-config`) was
    /// answered.
    case success = 0
    /// Anything that has no code of its own: a bind that failed, a thread that could not start.
    case unexpected = 1
    /// A setting is unknown, malformed or not allowed; the error names it and where it came from.
    case configuration = 2
    /// The data directory holds something that must not be served: corruption, a newer format, a
    /// hole in the log.
    case dataRefused = 3
    /// Another process holds the data directory.
    case directoryLocked = 4

    /// What it means, for an operator; one line.
    package var summary: String {
        switch self {
        case .success: "ended in order"
        case .unexpected: "unexpected failure"
        case .configuration: "configuration refused"
        case .dataRefused: "data refused"
        case .directoryLocked: "data directory locked by another process"
        }
    }
}
