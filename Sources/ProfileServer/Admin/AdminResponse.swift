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
        /// As in `HTTPResponseHead`.
        var fields = ""
        var body: String
    }

    private enum Reply {
        case content(Content)
        case later(PendingContent)
    }

    /// Appends the response to `request`, or returns one that is made on another thread.
    ///
    /// - Parameter wallMicroseconds: For the `Date` header.
    package static func append(
        responseTo request: HTTPRequest, pages: any AdminPages, wallMicroseconds: Int64,
        to output: inout ByteBuffer
    ) -> PendingContent? {
        var content: Content
        switch Self.reply(to: request, pages: pages) {
        case .content(let made): content = made
        case .later(let pending): return pending
        }
        if content.body.utf8.count > Self.pageBytesMax {
            content = Content(
                status: .internalError,
                body: "page of \(content.body.utf8.count) bytes, at most \(Self.pageBytesMax)\n")
        }
        Self.append(
            content, hasBody: request.method != .head, keepsAlive: request.keepsAlive,
            wallMicroseconds, to: &output)
        return nil
    }

    /// Appends the response to an invalid request; the connection ends after it.
    package static func append(
        rejection status: HTTPStatus, wallMicroseconds: Int64, to output: inout ByteBuffer
    ) {
        let content = Content(status: status, body: "\(status.reason)\n")
        Self.append(content, hasBody: true, keepsAlive: false, wallMicroseconds, to: &output)
    }

    private static func reply(to request: HTTPRequest, pages: any AdminPages) -> Reply {
        if request.method.isRead, DebugPage.paths.contains(request.path),
            let page = DebugPage(path: request.path, query: request.query)
        {
            return pages.debug(page).map { .later($0) } ?? .content(Self.busy)
        }
        return .content(Self.content(for: request, pages: pages))
    }

    private static var busy: Content {
        Content(
            status: .unavailable, fields: "\r\nRetry-After: 1",
            body: "too many pages are being made\n")
    }

    private static func content(for request: HTTPRequest, pages: any AdminPages) -> Content {
        let paths =
            ["/livez", "/readyz", "/startupz", "/metrics", "/version"] + DebugPage.paths
        guard paths.contains(request.path) else {
            return Content(
                status: .notFound, body: "not found; pages: \(paths.joined(separator: " "))\n")
        }
        guard request.method.isRead else {
            return Content(
                status: .methodNotAllowed, fields: "\r\nAllow: GET, HEAD",
                body: "only GET and HEAD\n")
        }
        switch request.path {
        case "/livez": return Self.content(of: pages.livez())
        case "/readyz": return Self.content(of: pages.readyz())
        case "/startupz": return Self.content(of: pages.startupz())
        case "/metrics":
            let format = MetricsFormat(accept: request.accept)
            return Content(
                status: .ok, type: format.contentType, body: pages.metrics(format))
        case _ where DebugPage.paths.contains(request.path):
            return Content(status: .badRequest, body: DebugPage.usage)
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
        HTTPResponseHead(
            status: content.status, type: content.type.description,
            bodyBytes: content.body.utf8.count, keepsAlive: keepsAlive, fields: content.fields
        ).append(wallMicroseconds: wallMicroseconds, to: &output)
        if hasBody { output.append(text: content.body) }
    }
}
