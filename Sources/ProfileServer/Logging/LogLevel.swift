/// The severity of a log line.
package enum LogLevel: String, Sendable, CaseIterable, Comparable {
    /// For developers.
    case debug
    /// Events that an operator may need later: started, drained, recovered.
    case info
    /// The server continues, but somebody should look: no keys configured, a torn tail set aside.
    case warning
    /// Something is lost, or rejected until somebody acts: the log failed.
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
