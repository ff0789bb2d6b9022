// Selects the page for a request and writes the HTTP response.

import Bytes

/// Writes the responses of the admin listener.
package enum AdminResponse {
    /// Largest page, in bytes: ten times the metrics of a large server. Bounds the unsent output of
    /// a connection.
    package static let pageBytesMax = 1 << 20

    /// A response except for its date and its connection header.
    private struct Content {
        var status: HTTPStatus
        var type: StaticString = "text/plain; charset=utf-8"
        var body: String
    }

    /// Appends the response to `request`.
    ///
    /// - Parameter wallMicroseconds: For the `Date` header.
    package static func append(
        responseTo request: HTTPRequest, pages: any AdminPages, wallMicroseconds: Int64,
        to output: inout ByteBuffer
    ) {
        var content = Self.content(for: request, pages: pages)
        if content.body.utf8.count > Self.pageBytesMax {
            content = Content(
                status: .internalError,
                body: "page of \(content.body.utf8.count) bytes, at most \(Self.pageBytesMax)\n")
        }
        Self.append(
            content, hasBody: request.method != .head, keepsAlive: request.keepsAlive,
            wallMicroseconds, to: &output)
    }

    /// Appends the response to an invalid request; the connection ends after it.
    package static func append(
        rejection status: HTTPStatus, wallMicroseconds: Int64, to output: inout ByteBuffer
    ) {
        let content = Content(status: status, body: "\(status.reason)\n")
        Self.append(content, hasBody: true, keepsAlive: false, wallMicroseconds, to: &output)
    }

    private static func content(for request: HTTPRequest, pages: any AdminPages) -> Content {
        let paths = ["/livez", "/readyz", "/startupz", "/metrics", "/version"]
        guard paths.contains(request.path) else {
            return Content(
                status: .notFound, body: "not found; pages: \(paths.joined(separator: " "))\n")
        }
        guard request.method != .other else {
            return Content(status: .methodNotAllowed, body: "only GET and HEAD\n")
        }
        switch request.path {
        case "/livez": return Self.content(of: pages.livez())
        case "/readyz": return Self.content(of: pages.readyz())
        case "/startupz": return Self.content(of: pages.startupz())
        case "/metrics":
            return Content(
                status: .ok, type: MetricsText.contentType, body: pages.metrics())
        default:
            return Content(status: .ok, type: "application/json", body: pages.version() + "\n")
        }
    }

    private static func content(of check: AdminCheck) -> Content {
        Content(status: check.ok ? .ok : .unavailable, body: check.text + "\n")
    }

    private static func append(
        _ content: Content, hasBody: Bool, keepsAlive: Bool, _ wallMicroseconds: Int64,
        to output: inout ByteBuffer
    ) {
        output.append("HTTP/1.1 ")
        Self.append(content.status.rawValue.description, to: &output)
        output.append(" ")
        output.append(content.status.reason)
        output.append("\r\nDate: ")
        CivilTime(microsecondsSinceEpoch: wallMicroseconds).appendHTTPDate(to: &output)
        output.append("\r\nContent-Type: ")
        output.append(content.type)
        output.append("\r\nContent-Length: ")
        Self.append(content.body.utf8.count.description, to: &output)
        if content.status == .methodNotAllowed { output.append("\r\nAllow: GET, HEAD") }
        // A probe result from a cache would prove nothing.
        output.append("\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff")
        // Always explicit: HTTP/1.0 closes by default, HTTP/1.1 does not.
        output.append(keepsAlive ? "\r\nConnection: keep-alive" : "\r\nConnection: close")
        output.append("\r\n\r\n")
        if hasBody { Self.append(content.body, to: &output) }
    }

    private static func append(_ text: String, to output: inout ByteBuffer) {
        var text = text
        text.withUTF8 { output.append(UnsafeRawBufferPointer($0)) }
    }
}
