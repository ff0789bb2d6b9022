import ProfileClient

/// One call of a `WireClient`: what it has sent and what has come back.
package final class WireCall {
    package let method: RPCMethod
    /// Of the method, unless the test calls one that the contract lacks.
    let path: String
    /// Framed messages that are not sent yet.
    var outgoing: [UInt8] = []
    var outgoingOffset = 0
    /// The request ends behind `outgoing`.
    var isRequestComplete = false
    /// The session waits for more to send.
    var isDeferred = false
    private var incoming: [UInt8] = []

    /// The stream; 0 before it is opened.
    package internal(set) var stream: Int32 = 0
    /// The status of the trailers; `nil` before they came.
    package internal(set) var status: Int32?
    package internal(set) var message = ""
    var details = ""
    /// The stream is closed, in order or not.
    package internal(set) var hasEnded = false
    /// Whole messages that came, the oldest first.
    package private(set) var messages: [[UInt8]] = []

    init(_ method: RPCMethod, path: String) {
        self.method = method
        self.path = path
    }

    func receive(_ bytes: UnsafeBufferPointer<UInt8>) {
        self.incoming += bytes
        var offset = 0
        while self.incoming.count >= offset + 5 {
            let count = self.incoming[offset + 1 ..< offset + 5].reduce(0) { $0 << 8 | Int($1) }
            let end = offset + 5 + count
            guard self.incoming.count >= end else { break }
            self.messages.append(Array(self.incoming[offset + 5 ..< end]))
            offset = end
        }
        self.incoming.removeFirst(offset)
    }

    /// Bytes of the request that the connection has not taken yet.
    package var bytesUnsent: Int { self.outgoing.count - self.outgoingOffset }

    /// The messages as JSON.
    package var responses: [JSONValue] {
        self.messages.map { MessageJSON.decode($0, as: self.method.response) ?? .null }
    }

    /// The one response of a unary call that has succeeded.
    package var response: JSONValue? { self.status == 0 ? self.responses.first : nil }

    /// What the trailers say of a call that failed.
    package var failure: RPCFailure {
        let status = Base64Text.decode(self.details).flatMap { MessageJSON.decode($0, as: .status) }
        return RPCFailure(status: status ?? .object([]))
    }

    /// Such as `REQUEST_ID_REUSED`; empty if the status carries no reason.
    package var reason: String { self.failure.reason }
}
