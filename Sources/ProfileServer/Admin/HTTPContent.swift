import Bytes
import IOCore

/// A response except for its date and its connection header.
package struct HTTPContent: Equatable, Sendable {
    package var status: HTTPStatus
    package var type: String
    /// More header fields, each with a line break before it.
    package var fields: String
    package var body: [UInt8]

    package init(status: HTTPStatus, type: String, fields: String = "", body: [UInt8]) {
        (self.status, self.type, self.fields, self.body) = (status, type, fields, body)
    }

    static let plainText = "text/plain; charset=utf-8"

    static func text(
        _ status: HTTPStatus, _ text: String, type: String = Self.plainText, fields: String = ""
    ) -> HTTPContent {
        HTTPContent(status: status, type: type, fields: fields, body: Array(text.utf8))
    }

    /// Appends the whole response.
    func append(
        hasBody: Bool, keepsAlive: Bool, wallMicroseconds: Int64, to output: inout ByteBuffer
    ) {
        HTTPResponseHead(
            status: self.status, type: self.type, bodyBytes: self.body.count,
            keepsAlive: keepsAlive, fields: self.fields
        ).append(wallMicroseconds: wallMicroseconds, to: &output)
        // SAFETY: the bytes are copied within the closure.
        if hasBody { self.body.withUnsafeBytes { output.append($0) } }
    }
}

/// A response that is made on another thread than the listener's.
package final class PendingContent: Sendable {
    private struct State: Sendable {
        var content: HTTPContent?
        var isAbandoned = false
        var onReady: (@Sendable () -> Void)?
    }

    private let state = Guarded(State())

    package init() {}

    /// Whether nobody waits for it any more.
    package var isAbandoned: Bool { self.state.withLock { $0.isAbandoned } }
    var isReady: Bool { self.state.withLock { $0.content != nil } }

    /// Hands over the response; once only.
    package func complete(_ content: HTTPContent) {
        let onReady = self.state.withLock { state in
            state.content = content
            return state.onReady
        }
        onReady?()
    }

    /// Calls `body` when the response is there, which it may be already.
    func notify(_ body: @escaping @Sendable () -> Void) {
        let isReady = self.state.withLock { state in
            state.onReady = body
            return state.content != nil
        }
        if isReady { body() }
    }

    func abandon() {
        self.state.withLock { $0.isAbandoned = true }
    }

    /// Removes the response; `nil`: it is not there yet.
    func take() -> HTTPContent? {
        self.state.withLock { state in
            defer { state.content = nil }
            return state.content
        }
    }
}
