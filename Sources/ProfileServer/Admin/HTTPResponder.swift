/// What a responder says to a request.
package enum HTTPReply {
    case content(HTTPContent)
    /// Made on another thread.
    case later(PendingContent)

    static func text(
        _ status: HTTPStatus, _ text: String, type: String = HTTPContent.plainText,
        fields: String = ""
    ) -> HTTPReply {
        .content(.text(status, text, type: type, fields: fields))
    }
}

/// Who responds to the requests of a listener. Called on the listener's thread, which it must not
/// block.
package protocol HTTPResponder: AnyObject, Sendable {
    /// Whether it uses the `details` of requests.
    var readsDetails: Bool { get }
    /// The responder of one turn of the listener, which may render a page once for all its
    /// requests.
    func forTurn() -> any HTTPResponder
    /// - Parameter now: Monotonic, in nanoseconds.
    func respond(to request: HTTPRequest, now: UInt64) -> HTTPReply
}

/// Responds with the pages of the admin listener.
final class AdminResponder: HTTPResponder {
    private let pages: any AdminPages

    init(_ pages: any AdminPages) {
        self.pages = pages
    }

    var readsDetails: Bool { false }

    func forTurn() -> any HTTPResponder { AdminResponder(TurnPages(self.pages)) }

    func respond(to request: HTTPRequest, now: UInt64) -> HTTPReply {
        AdminResponse.reply(to: request, pages: self.pages)
    }
}
