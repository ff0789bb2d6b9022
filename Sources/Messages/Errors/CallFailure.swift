import Bytes
import Profiles

/// Why a call ends with something else than OK, before `StatusMapping` chooses its code.
package enum CallFailure {
    /// A reason of the contract.
    case rejected(Rejection, ErrorContext)
    /// The message cannot be decoded; what was found.
    case malformed(String)
    /// An RPC of the contract that this release does not carry out.
    case notBuilt
    /// A field of the contract that this release does not carry out.
    case unsupportedField(StaticString)
    /// The partition keeps no files, as in tests: there are no snapshots and backups.
    case withoutFiles
    /// Clients leave more responses unread than the loop may keep.
    case unreadResponses
    /// The operation was abandoned because its call ended.
    case cancelled
    /// A health check of a service that is not served.
    case unknownService
    /// The message of a health check is not one.
    case notHealthCheck
    /// A connection has as many health watches as it may.
    case tooManyWatches(maximum: Int)
    /// Anything else: what was done, to what, and what was found.
    case unexpected(String)

    package static func rejected(_ rejection: Rejection) -> CallFailure {
        .rejected(rejection, ErrorContext())
    }

    package static func invalid(_ violations: Violations) -> CallFailure {
        .rejected(
            violations.areOfFilters ? .filterInvalid : .invalidFields,
            ErrorContext(
                violations: violations,
                metadata: violations.index.map { [("index" as StaticString, String($0))] } ?? []))
    }

    /// One field is invalid.
    package static func invalid(_ path: String, _ description: String) -> CallFailure {
        var violations = Violations()
        violations.add(Violation(path: path, description: description))
        return .invalid(violations)
    }

    /// A command that did not get into the log, with the time after which it may be tried again.
    package static func notAdmitted(_ rejection: Rejection) -> CallFailure {
        .rejected(rejection, ErrorContext(ofNotAdmitted: rejection))
    }

    /// The call names an identifier that is blocked until then, in microseconds since 1970.
    package static func blocked(until: Int64) -> CallFailure {
        .rejected(.identifierErased, ErrorContext(ofBlockedUntil: until))
    }

    /// A limit with a name and its value.
    package static func limitExceeded(_ limit: String, maximum: Int) -> CallFailure {
        .rejected(
            .limitExceeded,
            ErrorContext(metadata: [("limit", limit), ("maximum", String(maximum))]))
    }

    /// A position that the feed does not keep, or has not reached.
    package static func positionGone(earliestLSN: UInt64) -> CallFailure {
        .rejected(
            .positionGone, ErrorContext(metadata: [("earliest_lsn", String(earliestLSN))]))
    }

    /// A key has used up a quota, and may try again after so long.
    package static func quotaExceeded(
        _ limit: String, maximum: UInt32, waitNanoseconds: UInt64
    ) -> CallFailure {
        .rejected(
            .rateExceeded,
            ErrorContext(
                metadata: [("limit", limit), ("maximum", String(maximum))],
                retrySeconds: Int64(waitNanoseconds / 1_000_000_000),
                retryNanoseconds: Int32(waitNanoseconds % 1_000_000_000),
                message: "the key may do no more at present: \(limit) is \(maximum)"))
    }

    /// A message that is larger than messages may be.
    ///
    /// - Parameters:
    ///   - bytes: Its size, as announced by its prefix.
    ///   - maximum: Bytes that are allowed.
    package static func messageTooLarge(bytes: Int, maximum: Int) -> CallFailure {
        Self.tooLarge("message_bytes_max", bytes, maximum, "a message")
    }

    /// The headers of a request are larger than headers may be.
    ///
    /// - Parameters:
    ///   - bytes: Their size, counted as SETTINGS_MAX_HEADER_LIST_SIZE counts.
    ///   - maximum: Bytes that are allowed.
    package static func headersTooLarge(bytes: Int, maximum: Int) -> CallFailure {
        Self.tooLarge("header_bytes", bytes, maximum, "request headers")
    }

    private static func tooLarge(
        _ limit: String, _ bytes: Int, _ maximum: Int, _ what: String
    ) -> CallFailure {
        .rejected(
            .limitExceeded,
            ErrorContext(
                metadata: [
                    ("limit", limit), ("maximum", String(maximum)), ("actual", String(bytes)),
                ],
                message: "\(what) of \(bytes) bytes, at most \(maximum) are allowed"))
    }

    /// Clients have begun more requests than the server keeps bytes of.
    package static var tooManyUnfinishedRequests: CallFailure {
        .rejected(
            .rateExceeded,
            ErrorContext(
                retrySeconds: ErrorContext.retrySeconds,
                message: "too many bytes of unfinished requests wait; send fewer at once"))
    }

    /// The server has applied less than the call asks for.
    package static func lsnNotReached(actual: UInt64) -> CallFailure {
        .rejected(
            .lsnNotReached,
            ErrorContext(metadata: [("actual", String(actual))], retrySeconds: 0))
    }
}

/// What an error carries besides its reason; empty where nothing applies.
package struct ErrorContext {
    package var violations: Violations
    /// Of `google.rpc.ErrorInfo`: keys of the contract, in the order given.
    package var metadata: [(key: StaticString, value: String)]
    /// Seconds until a retry is worthwhile; `nil`: no `RetryInfo`.
    package var retrySeconds: Int64?
    /// As many nanoseconds more, 0...999,999,999.
    package var retryNanoseconds: Int32
    /// Says more than the reason's own sentence, for a developer; `nil`: that sentence.
    package var message: String?

    package init(
        violations: Violations = Violations(), metadata: [(key: StaticString, value: String)] = [],
        retrySeconds: Int64? = nil, retryNanoseconds: Int32 = 0, message: String? = nil
    ) {
        self.violations = violations
        self.metadata = metadata
        self.retrySeconds = retrySeconds
        self.retryNanoseconds = retryNanoseconds
        self.message = message
    }

    /// Seconds after which a rejected command may be tried again: the log has taken what waited by
    /// then.
    fileprivate static let retrySeconds: Int64 = 1

    /// Of a command that did not get into the log.
    init(ofNotAdmitted rejection: Rejection) {
        self.init()
        switch rejection {
        case .rateExceeded, .diskFull, .replaying, .draining: self.retrySeconds = Self.retrySeconds
        default: break
        }
    }

    /// Of a call that names an identifier which is blocked until then, in microseconds since 1970.
    init(ofBlockedUntil until: Int64) {
        self.init(metadata: [("blocked_until", UTCText.text(until))])
    }
}

// What the results of rejected commands say beside their reasons.
extension ErrorContext {
    /// Of a rejected command: each bad event with its index, or the metadata of the reason.
    ///
    /// - Parameter body: Behind the result's header.
    package init(ofRejected header: ResultHeader, body: inout ByteReader) {
        self.init()
        switch header.rejection {
        case .revisionMismatch: self.metadata = [("current_revision", String(header.detail))]
        case .limitExceeded: self.metadata = [("maximum", String(header.detail))]
        case .identifierErased where header.detail != 0:
            self.init(ofBlockedUntil: Int64(bitPattern: header.detail))
        default: break
        }
        switch (header.kind, header.rejection) {
        case (.createKey, .limitExceeded):
            self.metadata.insert(("limit", "keys_per_project_max"), at: 0)
        case (.createTrigger, .limitExceeded):
            self.metadata.insert(
                (
                    "limit",
                    header.index == Store.namesExhausted
                        ? "names_per_project_max" : "triggers_per_project_max"
                ), at: 0)
        case (.createProject, .limitExceeded):
            self.metadata.insert(("limit", "projects_max"), at: 0)
        // The one rule between options that only the state can see.
        case (.updateProject, .invalidFields):
            self.violations.add(
                Violation(
                    path: "options.late_window_seconds",
                    description: "longer than the retention of the project"))
        default: break
        }
        if header.kind == .updateSubscription,
            header.rejection == .userUnsubscribed || header.rejection == .limitExceeded
        {
            self.metadata.insert(("index", String(header.index)), at: 0)
        }
        if header.kind == .batch {
            self.init(ofRejectedBatch: header, body: &body)
            return
        }
        let count = body.read(UInt8.self)
        if count > 0 { self.metadata.insert(("index", String(header.index)), at: 0) }
        for _ in 0 ..< count {
            let index = Int(body.read(UInt8.self))
            let rejection = Rejection(rawValue: body.read()) ?? .none
            let effective = body.read(Int64.self)
            let bound = body.read(Int64.self)
            self.violations.add(
                rejection == .timeWindow
                    ? TrackWindows.violation(index: index, isLate: effective < bound)
                    : Violation(
                        path: "events[\(index)]", description: StatusMapping.message(of: rejection))
            )
        }
    }

    /// Of a rejected batch: the first failing write's reason, and its index.
    private init(ofRejectedBatch header: ResultHeader, body: inout ByteReader) {
        self.init()
        guard let inner = ResultHeader(from: &body) else { return }
        var context = ErrorContext(ofRejected: inner, body: &body)
        context.metadata.removeAll { $0.key.description == "index" }
        context.metadata.insert(("index", String(header.index)), at: 0)
        let name =
            switch inner.kind {
            case .identify: "identify"
            case .track: "track"
            default: "update_subscription"
            }
        var violations = Violations()
        for violation in context.violations.list {
            violations.add(violation.below("operations[\(header.index)].\(name)"))
        }
        context.violations = violations
        self = context
    }

    /// Of one rejected event.
    init(of event: EventResultView, index: Int) {
        self.init()
        switch event.rejection {
        case .timeWindow:
            self.violations.add(
                TrackWindows.violation(index: index, isLate: event.effectiveTime < event.detail))
        case .limitExceeded: self.metadata = [("maximum", String(event.detail))]
        default: break
        }
        for violation in Violations(packed: event.violations).list {
            self.violations.add(violation)
        }
    }
}
