/// How much a log line matters.
package enum LogLevel: String, Sendable, CaseIterable, Comparable {
    /// For the one who changes the program.
    case debug
    /// What an operator wants to find afterwards: started, drained, recovered.
    case info
    /// Goes on, but someone should look: no keys configured, a torn tail set aside.
    case warning
    /// Something is lost or refused until a person acts: the log failed.
    case error

    private var severity: Int {
        switch self {
        case .debug: 0
        case .info: 1
        case .warning: 2
        case .error: 3
        }
    }

    package static func < (left: LogLevel, right: LogLevel) -> Bool {
        left.severity < right.severity
    }
}
