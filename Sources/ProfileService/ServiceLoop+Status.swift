import GRPCTransport
import Messages
import Profiles

// Error answers. They allocate; nothing here runs for a call that goes well.
extension ServiceLoop {
    /// Seconds after which a refused command may be tried again: the log has taken what waited by
    /// then.
    private static let retrySeconds: Int64 = 1

    /// The transport's status of a reason.
    static func status(of rejection: Rejection, _ context: ErrorContext = ErrorContext())
        -> RPCStatus
    {
        let mapped = StatusMapping.status(of: rejection, context)
        return RPCStatus(
            RPCStatusCode(rawValue: UInt8(mapped.code)) ?? .unknown, mapped.message,
            details: mapped.details)
    }

    /// The status of a command that did not get into the log, with the time after which it may be
    /// tried again.
    static func status(ofRejected rejection: Rejection) -> RPCStatus {
        var context = ErrorContext()
        switch rejection {
        case .rateExceeded, .diskFull, .replaying, .draining:
            context.retrySeconds = Self.retrySeconds
        default: break
        }
        return Self.status(of: rejection, context)
    }

    func reject(_ token: CallToken, _ rejection: Rejection) {
        self.transport.finish(token, with: Self.status(ofRejected: rejection))
    }

    func reject(_ token: CallToken, violations: Violations) {
        self.transport.finish(
            token, with: Self.status(of: .invalidFields, ErrorContext(violations: violations)))
    }

    /// Source: gRPC status codes: a message that cannot be decoded is INTERNAL.
    static func status(ofMalformed found: String) -> RPCStatus {
        RPCStatus(.internalError, "the request cannot be decoded: \(found)")
    }

    func rejectMalformed(_ token: CallToken, _ found: String) {
        self.transport.finish(token, with: Self.status(ofMalformed: found))
    }
}
