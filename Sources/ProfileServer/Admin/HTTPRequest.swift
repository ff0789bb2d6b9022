/// One request of an HTTP listener; it never has a body.
package struct HTTPRequest: Equatable, Sendable {
    package enum Method: Equatable, Sendable {
        case get
        case head
        /// Without a body, as every request.
        case post
        case other

        /// Whether it asks for a page.
        var isRead: Bool { self == .get || self == .head }
    }

    package var method: Method
    /// Without the query; not percent-decoded, since no path here needs it.
    package var path: String
    /// What follows the `?`, not percent-decoded; empty: nothing.
    package var query: String
    /// The values of `Accept`, joined by commas; empty: it is not there.
    package var accept: String
    /// Whether the connection stays open for another request.
    package var keepsAlive: Bool
    /// False for a line such as `GET /readyz`, which is a whole request (HTTP/0.9). Its response
    /// has a head nevertheless, so that the status shows.
    package var hasVersion: Bool
    /// `nil` unless the listener reads them.
    package var details: HTTPDetails?

    package init(
        method: Method, path: String, query: String = "", accept: String = "", keepsAlive: Bool,
        hasVersion: Bool = true
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.accept = accept
        self.keepsAlive = keepsAlive
        self.hasVersion = hasVersion
    }
}

/// The statuses that the HTTP listeners use.
package enum HTTPStatus: Int, Sendable {
    case ok = 200
    case badRequest = 400
    case unauthorized = 401
    case forbidden = 403
    case notFound = 404
    case methodNotAllowed = 405
    case requestTimeout = 408
    case contentTooLarge = 413
    case misdirected = 421
    case tooManyRequests = 429
    case headTooLarge = 431
    case internalError = 500
    case unavailable = 503
    case versionNotSupported = 505

    package var reason: StaticString {
        switch self {
        case .ok: "OK"
        case .badRequest: "Bad Request"
        case .unauthorized: "Unauthorized"
        case .forbidden: "Forbidden"
        case .notFound: "Not Found"
        case .methodNotAllowed: "Method Not Allowed"
        case .requestTimeout: "Request Timeout"
        case .contentTooLarge: "Content Too Large"
        case .misdirected: "Misdirected Request"
        case .tooManyRequests: "Too Many Requests"
        case .headTooLarge: "Request Header Fields Too Large"
        case .internalError: "Internal Server Error"
        case .unavailable: "Service Unavailable"
        case .versionNotSupported: "HTTP Version Not Supported"
        }
    }
}
