import ProfileClient

/// Why the page itself rejects a request, before the service sees it.
struct ConsoleFailure: Error, Equatable {
    let status: HTTPStatus
    let message: String
}

/// Makes the responses of the profile page. Data are JSON only, whose writer escapes every text,
/// and a browser that is told not to guess takes them for nothing else.
enum ConsoleContent {
    /// Largest response, in bytes. JSON escapes a character with up to five more; of an event of
    /// 4 MiB, the largest, most are in URLs, where it is one. So changes of 512 KiB, and one event
    /// more, are below it.
    static let bytesMax = 12 << 20

    /// Nothing but this listener's own files; no script or style in a page, no frames, no forms
    /// that are sent anywhere, and no text that becomes markup.
    private static let securityFields =
        "\r\nContent-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self';"
        + " img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none';"
        + " frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
        + "\r\nCross-Origin-Opener-Policy: same-origin"
        + "\r\nCross-Origin-Resource-Policy: same-origin"
        + "\r\nReferrer-Policy: no-referrer\r\nX-Frame-Options: DENY"

    static func file(type: String, _ bytes: [UInt8]) -> HTTPContent {
        HTTPContent(status: .ok, type: type, fields: Self.securityFields, body: bytes)
    }

    static func text(_ status: HTTPStatus, _ text: String) -> HTTPContent {
        .text(status, text + "\n", fields: Self.securityFields)
    }

    /// - Parameter fields: More header fields, each with a line break before it.
    static func json(_ value: JSONValue, status: HTTPStatus = .ok, fields: String = "")
        -> HTTPContent
    {
        let body = Array(value.description.utf8)
        guard body.count <= Self.bytesMax else {
            return Self.failure(
                .internalError, code: "INTERNAL",
                "the response has \(body.count) bytes, at most \(Self.bytesMax) are sent")
        }
        return HTTPContent(
            status: status, type: "application/json", fields: Self.securityFields + fields,
            body: body)
    }

    /// - Parameter code: The name of a gRPC status code.
    static func failure(
        _ status: HTTPStatus, code: String, _ message: String, fields: String = ""
    ) -> HTTPContent {
        Self.json(
            .object(of: [
                (
                    "error",
                    .object(of: [("code", .string(code)), ("message", .string(message))])
                )
            ]), status: status, fields: fields)
    }

    /// The response for whatever a query throws.
    static func failure(_ error: any Error) -> HTTPContent {
        switch error {
        case let error as RPCFailure: Self.failure(error)
        case let error as ConsoleFailure:
            Self.failure(error.status, code: Self.code(of: error.status), error.message)
        case let error as MessageJSONError:
            Self.failure(
                .badRequest, code: "INVALID_ARGUMENT", "\(error.path): \(error.reason)")
        default: Self.failure(.internalError, code: "INTERNAL", "\(error)")
        }
    }

    private static func failure(_ failure: RPCFailure) -> HTTPContent {
        let metadata = failure.metadata.sorted { $0.key < $1.key }
        let violations = failure.violations.map {
            JSONValue.object(of: [
                ("field", .string($0.field)), ("description", .string($0.description)),
            ])
        }
        let error = JSONValue.object(of: [
            ("code", .string(RPCFailure.name(of: failure.code))),
            ("message", .string(failure.message)), ("reason", .string(failure.reason)),
            ("metadata", .object(metadata.map { .init($0.key, .string($0.value)) })),
            ("violations", .array(violations)),
        ])
        return Self.json(.object(of: [("error", error)]), status: Self.status(of: failure.code))
    }

    private static func code(of status: HTTPStatus) -> String {
        switch status {
        case .unauthorized: "UNAUTHENTICATED"
        case .forbidden: "PERMISSION_DENIED"
        case .notFound: "NOT_FOUND"
        case .tooManyRequests: "RESOURCE_EXHAUSTED"
        case .unavailable: "UNAVAILABLE"
        default: "INVALID_ARGUMENT"
        }
    }

    /// As grpc-gateway maps them.
    private static func status(of code: Int32) -> HTTPStatus {
        switch code {
        case 3, 9, 11: .badRequest
        case 5: .notFound
        case 7: .forbidden
        case 8: .tooManyRequests
        case 16: .unauthorized
        case 4, 14: .unavailable
        default: .internalError
        }
    }
}
