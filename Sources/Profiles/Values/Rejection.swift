/// Why a call or an item of it was not carried out: the contract's reasons.
///
/// The raw values stand in stored responses and in the result digest; append only. gRPC codes are
/// chosen in `StatusMapping.swift`.
package enum Rejection: UInt8, Sendable, CaseIterable {
    case none = 0
    case invalidFields = 1
    case timeWindow = 2
    case profileNotFound = 3
    case projectNotFound = 4
    case requestIDReused = 5
    case revisionMismatch = 6
    case identifierErased = 7
    case profileAnonymous = 8
    case attributeTypeMismatch = 9
    case limitExceeded = 10
    case lsnNotReached = 11
    case userUnsubscribed = 12
    case tokenInvalid = 13
    case tokenExpired = 14
    case bothIdentified = 15
    case mergeExpired = 16
    case logUnavailable = 17
    case diskFull = 18
    case replaying = 19
    case draining = 20
    case rateExceeded = 21
    case memoryExhausted = 22
    case positionGone = 23
    /// Another node leads: this one takes no writes, or the leader did not keep this one.
    case notLeader = 24
    /// This node lost its leadership while the write was in flight, and ended before it learned
    /// whether the write was kept.
    case outcomeUnknown = 25
    /// A project of this name exists, with other options.
    case projectExists = 26
    /// The project is being deleted.
    case projectDeleted = 27
    /// No key, or one that is malformed, unknown, revoked or expired: one reason for all.
    case keyInvalid = 28
    /// No key of this project has this id.
    case keyNotFound = 29
    /// The key is valid, and does not allow the call: another project, or a missing scope.
    case scopeMissing = 30
    /// The server has no operators' keys, so nothing needs one, and none can be made.
    case keysDisabled = 31
    /// No trigger of this project has this id.
    case triggerNotFound = 32
    /// The filter is invalid, and nothing else is.
    case filterInvalid = 33
    /// No merge of this project has this id.
    case mergeNotFound = 34

    /// The reason in `google.rpc.ErrorInfo`.
    package var reason: StaticString {
        switch self {
        case .none: ""
        case .invalidFields: "INVALID_FIELDS"
        case .timeWindow: "TIME_WINDOW"
        case .profileNotFound: "PROFILE_NOT_FOUND"
        case .projectNotFound: "PROJECT_NOT_FOUND"
        case .requestIDReused: "REQUEST_ID_REUSED"
        case .revisionMismatch: "REVISION_MISMATCH"
        case .identifierErased: "IDENTIFIER_ERASED"
        case .profileAnonymous: "PROFILE_ANONYMOUS"
        case .attributeTypeMismatch: "ATTRIBUTE_TYPE_MISMATCH"
        case .limitExceeded: "LIMIT_EXCEEDED"
        case .lsnNotReached: "LSN_NOT_REACHED"
        case .userUnsubscribed: "USER_UNSUBSCRIBED"
        case .tokenInvalid: "TOKEN_INVALID"
        case .tokenExpired: "TOKEN_EXPIRED"
        case .bothIdentified: "BOTH_IDENTIFIED"
        case .mergeExpired: "MERGE_EXPIRED"
        case .logUnavailable: "LOG_UNAVAILABLE"
        case .diskFull: "DISK_FULL"
        case .replaying: "REPLAYING"
        case .draining: "DRAINING"
        case .rateExceeded: "RATE_EXCEEDED"
        case .memoryExhausted: "MEMORY_EXHAUSTED"
        case .positionGone: "POSITION_GONE"
        case .notLeader: "NOT_LEADER"
        case .outcomeUnknown: "OUTCOME_UNKNOWN"
        case .projectExists: "PROJECT_EXISTS"
        case .projectDeleted: "PROJECT_DELETED"
        case .keyInvalid: "KEY_INVALID"
        case .keyNotFound: "KEY_NOT_FOUND"
        case .scopeMissing: "SCOPE_MISSING"
        case .keysDisabled: "KEYS_DISABLED"
        case .triggerNotFound: "TRIGGER_NOT_FOUND"
        case .filterInvalid: "FILTER_INVALID"
        case .mergeNotFound: "MERGE_NOT_FOUND"
        }
    }
}
