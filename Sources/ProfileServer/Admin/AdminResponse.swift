/// Selects the page for a request of the admin listener.
package enum AdminResponse {
    /// Largest page, in bytes: ten times the metrics of a large server. Bounds the unsent output of
    /// a connection.
    package static let pageBytesMax = 1 << 20

    private static let paths =
        ["/livez", "/readyz", "/startupz", "/metrics", "/version"] + DebugPage.paths

    static func reply(to request: HTTPRequest, pages: any AdminPages) -> HTTPReply {
        guard Self.paths.contains(request.path) else {
            return .text(.notFound, "not found; pages: \(Self.paths.joined(separator: " "))\n")
        }
        guard request.method.isRead else {
            return .text(
                .methodNotAllowed, "only GET and HEAD\n", fields: "\r\nAllow: GET, HEAD")
        }
        switch request.path {
        case "/livez": return Self.reply(of: pages.livez())
        case "/readyz": return Self.reply(of: pages.readyz())
        case "/startupz": return Self.reply(of: pages.startupz())
        case "/metrics":
            let format = MetricsFormat(accept: request.accept)
            return Self.metrics(pages.metrics(format), format)
        case "/version":
            return .text(.ok, pages.version() + "\n", type: "application/json")
        default:
            guard let page = DebugPage(path: request.path, query: request.query) else {
                return .text(.badRequest, DebugPage.usage)
            }
            guard let pending = pages.debug(page) else {
                return .text(
                    .unavailable, "too many pages are being made\n",
                    fields: "\r\nRetry-After: 1")
            }
            return .later(pending)
        }
    }

    private static func metrics(_ text: String, _ format: MetricsFormat) -> HTTPReply {
        let bytes = text.utf8.count
        guard bytes <= Self.pageBytesMax else {
            return .text(
                .internalError, "page of \(bytes) bytes, at most \(Self.pageBytesMax)\n")
        }
        return .text(.ok, text, type: format.contentType.description)
    }

    private static func reply(of check: AdminCheck) -> HTTPReply {
        .text(check.ok ? .ok : .unavailable, check.text + "\n")
    }
}
