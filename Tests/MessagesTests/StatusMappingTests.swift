import CMessages
import Profiles
import Testing

@testable import Messages

/// The gRPC code of every reason, and what a client reads of it.
@Suite struct StatusMappingTests {
    private static let codes: [Rejection: StatusCode] = [
        .none: .ok, .invalidFields: .invalidArgument, .timeWindow: .outOfRange,
        .profileNotFound: .notFound, .projectNotFound: .notFound,
        .requestIDReused: .alreadyExists, .revisionMismatch: .aborted,
        .identifierErased: .failedPrecondition, .profileAnonymous: .failedPrecondition,
        .attributeTypeMismatch: .failedPrecondition, .limitExceeded: .resourceExhausted,
        .lsnNotReached: .failedPrecondition, .userUnsubscribed: .failedPrecondition,
        .tokenInvalid: .invalidArgument, .tokenExpired: .failedPrecondition,
        .bothIdentified: .failedPrecondition, .mergeExpired: .failedPrecondition,
        .logUnavailable: .unavailable, .diskFull: .unavailable, .replaying: .unavailable,
        .draining: .unavailable, .rateExceeded: .resourceExhausted,
        .memoryExhausted: .resourceExhausted, .positionGone: .outOfRange,
        .notLeader: .unavailable, .outcomeUnknown: .unavailable,
        .projectExists: .alreadyExists, .projectDeleted: .failedPrecondition,
        .keyInvalid: .unauthenticated, .keyNotFound: .notFound,
        .mergeNotFound: .notFound, .triggerNotFound: .notFound, .filterInvalid: .invalidArgument,
        .scopeMissing: .permissionDenied, .keysDisabled: .failedPrecondition,
    ]

    @Test(arguments: Rejection.allCases)
    func reasonHasItsCodeAndASentence(rejection: Rejection) {
        #expect(StatusMapping.code(of: rejection) == Self.codes[rejection])
        #expect(StatusMapping.message(of: rejection).isEmpty == (rejection == .none))
        let status = StatusMapping.status(of: CallFailure.rejected(rejection))
        #expect(status.code == Self.codes[rejection]?.rawValue)
        #expect(status.message == StatusMapping.message(of: rejection))
        let reason = String(describing: rejection.reason)
        let details = String(decoding: status.details, as: UTF8.self)
        #expect(details.contains(reason) && details.contains("profiles.v1"))
    }

    /// Whether a write may be retried without its request id depends on these two sentences.
    @Test func lostLeadershipSaysWhatBecameOfTheWrite() {
        #expect(StatusMapping.message(of: .notLeader).contains("nothing was written"))
        let unknown = StatusMapping.message(of: .outcomeUnknown)
        #expect(unknown.contains("unknown") && unknown.contains("request_id"))
    }

    @Test func limitsOfTheTransportHaveTheirReasons() {
        for (failure, reason, words) in [
            (
                CallFailure.headersTooLarge(bytes: 20_000, maximum: 16_384), "LIMIT_EXCEEDED",
                ["header_bytes", "20000", "16384"]
            ),
            (.tooManyUnfinishedRequests, "RATE_EXCEEDED", ["google.rpc.RetryInfo"]),
        ] {
            let status = StatusMapping.status(of: failure)
            #expect(status.code == StatusCode.resourceExhausted.rawValue)
            let details = String(decoding: status.details, as: UTF8.self)
            for word in [reason] + words { #expect(details.contains(word), "\(word)") }
        }
    }

    @Test func fieldThatIsNotBuiltIsUnimplementedByItsName() {
        let status = StatusMapping.status(of: CallFailure.unsupportedField("update_mask"))
        #expect(status.code == StatusCode.unimplemented.rawValue)
        #expect(status.message.contains("update_mask"))
    }
}
