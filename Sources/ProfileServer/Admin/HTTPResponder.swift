import Bytes

/// Who responds to the requests of a listener. Called on the listener's thread, which it must not
/// block.
package protocol HTTPResponder: AnyObject, Sendable {
    /// Whether it uses the `details` of requests.
    var readsDetails: Bool { get }
    /// The responder of one turn of the listener, which may render a page once for all its
    /// requests.
    func forTurn() -> any HTTPResponder
    /// Appends the response, or returns one that is made on another thread.
    ///
    /// - Parameters:
    ///   - now: Monotonic, in nanoseconds.
    ///   - wallMicroseconds: For the `Date` header.
    func respond(
        to request: HTTPRequest, now: UInt64, wallMicroseconds: Int64, output: inout ByteBuffer
    ) -> PendingContent?
}

/// Responds with the pages of the admin listener.
final class AdminResponder: HTTPResponder {
    private let pages: any AdminPages

    init(_ pages: any AdminPages) {
        self.pages = pages
    }

    var readsDetails: Bool { false }

    func forTurn() -> any HTTPResponder { AdminResponder(TurnPages(self.pages)) }

    func respond(
        to request: HTTPRequest, now: UInt64, wallMicroseconds: Int64, output: inout ByteBuffer
    ) -> PendingContent? {
        AdminResponse.append(
            responseTo: request, pages: self.pages, wallMicroseconds: wallMicroseconds, to: &output)
    }
}
