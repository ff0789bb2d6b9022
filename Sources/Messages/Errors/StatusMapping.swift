import Bytes
import CMessages
import CProtobufC
import Profiles

/// A gRPC status as numbers and bytes, from which the service makes the transport's type.
package struct MappedStatus: Equatable, Sendable {
    /// 0...16.
    package var code: Int32
    package var message: String
    /// A serialised `google.rpc.Status`.
    package var details: [UInt8]
}

/// gRPC status codes, with the numbers of the protocol.
enum StatusCode: Int32 {
    case ok = 0
    case cancelled = 1
    case invalidArgument = 3
    case notFound = 5
    case alreadyExists = 6
    case permissionDenied = 7
    case resourceExhausted = 8
    case failedPrecondition = 9
    case aborted = 10
    case outOfRange = 11
    case unimplemented = 12
    case internalError = 13
    case unavailable = 14
    case unauthenticated = 16
}

/// The one place where gRPC codes are chosen. Error paths only: it allocates.
package enum StatusMapping {
    /// The domain of every `ErrorInfo`.
    private static let domain = "profiles.v1"
    /// Bytes of violations that are listed: trailers stay below 8 KiB, base64 included.
    private static let violationBytesMax = 4_096

    /// The code of a reason.
    static func code(of rejection: Rejection) -> StatusCode {
        switch rejection {
        case .none: .ok
        case .invalidFields, .filterInvalid, .tokenInvalid: .invalidArgument
        case .profileNotFound, .projectNotFound, .keyNotFound, .triggerNotFound, .mergeNotFound:
            .notFound
        case .requestIDReused, .projectExists: .alreadyExists
        case .rateExceeded, .limitExceeded, .memoryExhausted: .resourceExhausted
        case .identifierErased, .profileAnonymous, .attributeTypeMismatch, .lsnNotReached,
            .userUnsubscribed, .tokenExpired, .bothIdentified, .mergeExpired, .projectDeleted,
            .keysDisabled:
            .failedPrecondition
        case .keyInvalid: .unauthenticated
        case .scopeMissing: .permissionDenied
        case .revisionMismatch: .aborted
        case .timeWindow, .positionGone: .outOfRange
        case .logUnavailable, .diskFull, .replaying, .draining, .notLeader, .outcomeUnknown:
            .unavailable
        }
    }

    /// The status of a call that fails.
    package static func status(of failure: CallFailure) -> MappedStatus {
        switch failure {
        case .rejected(let rejection, let context): self.status(of: rejection, context)
        // Source: gRPC status codes: a message that cannot be decoded is INTERNAL.
        case .malformed(let found):
            self.status(.internalError, "the request cannot be decoded: \(found)")
        case .notBuilt: self.status(.unimplemented, "this RPC is not built yet")
        case .unsupportedField(let field):
            self.status(.unimplemented, "the field \(field) is not built yet")
        case .withoutFiles: self.status(.unimplemented, "this server has no files")
        case .unreadResponses:
            self.status(
                of: .rateExceeded,
                ErrorContext(
                    message: "too many responses wait for clients that do not read them"))
        case .cancelled: self.status(.cancelled, "the backup was abandoned")
        case .unknownService: self.status(.notFound, "unknown service")
        case .notHealthCheck: self.status(.internalError, "not a HealthCheckRequest")
        case .tooManyWatches(let maximum):
            self.status(
                of: .limitExceeded,
                ErrorContext(
                    metadata: [
                        ("limit", "health_watches_per_connection"), ("maximum", String(maximum)),
                    ],
                    message: "at most \(maximum) watches on one connection"))
        case .unexpected(let found): self.status(.internalError, found)
        }
    }

    private static func status(_ code: StatusCode, _ message: String) -> MappedStatus {
        MappedStatus(code: code.rawValue, message: message, details: [])
    }

    /// A serialised `google.rpc.Status` of a failure, for the `error` of an item; never empty.
    package static func itemError(of failure: CallFailure) -> [UInt8] {
        let mapped = self.status(of: failure)
        guard mapped.details.isEmpty else { return mapped.details }
        let arena = DecodeArena()
        let status = arena.make(google__rpc__status__init)
        status.pointee.code = mapped.code
        status.pointee.message = arena.string(mapped.message)
        return Self.packed(UnsafeMutableRawPointer(status))
    }

    /// One sentence for a developer.
    package static func message(of rejection: Rejection) -> String {
        switch rejection {
        case .none: ""
        case .invalidFields: "the request has invalid fields"
        case .timeWindow: "the effective time is outside the allowed window"
        case .profileNotFound: "no such profile"
        case .projectNotFound: "no such project"
        case .requestIDReused: "this request_id was used for another message"
        case .revisionMismatch: "the profile has another revision than expected_revision"
        case .identifierErased:
            "what this names was erased with a person; identifiers are blocked for a while"
        case .profileAnonymous: "this needs an identified profile"
        case .attributeTypeMismatch: "the attribute has another type"
        case .limitExceeded: "a limit of the stored profile or project is reached"
        case .lsnNotReached: "the server has not applied min_lsn yet"
        case .userUnsubscribed: "the person has unsubscribed"
        case .tokenInvalid: "the token is not valid"
        case .tokenExpired: "the token has expired"
        case .bothIdentified: "both profiles are identified"
        case .mergeExpired: "the merge can no longer be undone"
        case .mergeNotFound: "no such merge"
        case .logUnavailable:
            "the log has failed: the outcome is unknown, and writes are rejected until a restart"
        case .diskFull: "the disk is full: writes are rejected until there is free space"
        case .replaying: "the server is reading its log"
        case .draining: "the server is shutting down"
        case .rateExceeded: "too many commands wait for the log"
        case .memoryExhausted: "the memory for this is used up"
        case .positionGone: "this position is not in the feed"
        case .notLeader:
            "another server is the leader: this one accepts no writes; nothing was written"
        case .projectExists: "a project of this name exists with other options"
        case .projectDeleted: "the project is being deleted"
        case .keyInvalid: "the call needs a valid key: authorization: Bearer KEY"
        case .keyNotFound: "no such key"
        case .triggerNotFound: "no such trigger"
        case .filterInvalid: "the filter is invalid"
        case .scopeMissing: "the key does not allow this call"
        case .keysDisabled:
            """
            the server has no operators' keys (--operator-key-file), so it needs none and makes \
            none
            """
        case .outcomeUnknown:
            """
            this server lost its leadership before the write was committed: the outcome is \
            unknown; retry with the same request_id
            """
        }
    }

    /// The whole status of a rejected call or item.
    package static func status(of rejection: Rejection, _ context: ErrorContext = ErrorContext())
        -> MappedStatus
    {
        let arena = DecodeArena()
        let status = Self.cStatus(of: rejection, context, in: arena)
        return MappedStatus(
            code: Self.code(of: rejection).rawValue,
            message: context.message ?? Self.message(of: rejection),
            details: Self.packed(UnsafeMutableRawPointer(status)))
    }

    /// The same as a C message, for the error of one item inside a response.
    static func cStatus(
        of rejection: Rejection, _ context: ErrorContext, in arena: DecodeArena
    ) -> UnsafeMutablePointer<Google__Rpc__Status> {
        let status = arena.make(google__rpc__status__init)
        status.pointee.code = Self.code(of: rejection).rawValue
        status.pointee.message = arena.string(context.message ?? Self.message(of: rejection))
        var details: [UnsafeMutablePointer<Google__Protobuf__Any>] = []
        if !context.violations.isEmpty {
            details.append(Self.badRequest(context.violations, in: arena))
        }
        details.append(Self.errorInfo(rejection, context.metadata, in: arena))
        if let seconds = context.retrySeconds {
            details.append(Self.retryInfo(seconds, context.retryNanoseconds, in: arena))
        }
        status.pointee.n_details = details.count
        status.pointee.details = arena.pointers(details.count)
        for (index, detail) in details.enumerated() { status.pointee.details[index] = detail }
        return status
    }

    private static func errorInfo(
        _ rejection: Rejection, _ metadata: [(key: StaticString, value: String)],
        in arena: DecodeArena
    ) -> UnsafeMutablePointer<Google__Protobuf__Any> {
        let info = arena.make(google__rpc__error_info__init)
        info.pointee.reason = arena.string(rejection.reason.description)
        info.pointee.domain = arena.string(Self.domain)
        info.pointee.n_metadata = metadata.count
        info.pointee.metadata = arena.pointers(metadata.count)
        for (index, pair) in metadata.enumerated() {
            let entry = arena.make(google__rpc__error_info__metadata_entry__init)
            entry.pointee.key = arena.string(pair.key.description)
            entry.pointee.value = arena.string(pair.value)
            info.pointee.metadata[index] = entry
        }
        return Self.any("google.rpc.ErrorInfo", UnsafeMutableRawPointer(info), in: arena)
    }

    private static func badRequest(
        _ violations: Violations, in arena: DecodeArena
    ) -> UnsafeMutablePointer<Google__Protobuf__Any> {
        var listed: [Violation] = []
        var bytes = 0
        for violation in violations.list {
            bytes += violation.path.utf8.count + violation.description.utf8.count + 8
            guard bytes <= Self.violationBytesMax else { break }
            listed.append(violation)
        }
        let more = violations.list.count - listed.count + violations.unlisted
        if more > 0 { listed.append(Violation(path: "", description: "and \(more) more")) }
        let request = arena.make(google__rpc__bad_request__init)
        request.pointee.n_field_violations = listed.count
        request.pointee.field_violations = arena.pointers(listed.count)
        for (index, violation) in listed.enumerated() {
            let entry = arena.make(google__rpc__bad_request__field_violation__init)
            entry.pointee.field = arena.string(violation.path)
            entry.pointee.description = arena.string(violation.description)
            request.pointee.field_violations[index] = entry
        }
        return Self.any("google.rpc.BadRequest", UnsafeMutableRawPointer(request), in: arena)
    }

    private static func retryInfo(
        _ seconds: Int64, _ nanoseconds: Int32, in arena: DecodeArena
    ) -> UnsafeMutablePointer<Google__Protobuf__Any> {
        let info = arena.make(google__rpc__retry_info__init)
        let delay = arena.make(google__protobuf__duration__init)
        delay.pointee.seconds = seconds
        delay.pointee.nanos = nanoseconds
        info.pointee.retry_delay = delay
        return Self.any("google.rpc.RetryInfo", UnsafeMutableRawPointer(info), in: arena)
    }

    private static func any(
        _ type: String, _ message: UnsafeMutableRawPointer, in arena: DecodeArena
    ) -> UnsafeMutablePointer<Google__Protobuf__Any> {
        let any = arena.make(google__protobuf__any__init)
        any.pointee.type_url = arena.string("type.googleapis.com/" + type)
        // SAFETY: every C message begins with its `ProtobufCMessage`, and lives in `arena`.
        let base = message.assumingMemoryBound(to: ProtobufCMessage.self)
        let size = protobuf_c_message_get_packed_size(base)
        let bytes = arena.memory(size)
        // SAFETY: the target has exactly the size that protobuf-c asked for.
        protobuf_c_message_pack(base, bytes.assumingMemoryBound(to: UInt8.self))
        any.pointee.value = ProtobufCBinaryData(
            len: size, data: bytes.assumingMemoryBound(to: UInt8.self))
        return any
    }

    /// Serialises a C message.
    static func packed(_ message: UnsafeMutableRawPointer) -> [UInt8] {
        // SAFETY: every C message begins with its `ProtobufCMessage`; the caller's arena keeps it.
        let base = message.assumingMemoryBound(to: ProtobufCMessage.self)
        let size = protobuf_c_message_get_packed_size(base)
        return [UInt8](unsafeUninitializedCapacity: size) { bytes, count in
            if let target = bytes.baseAddress { protobuf_c_message_pack(base, target) }
            count = size
        }
    }
}
