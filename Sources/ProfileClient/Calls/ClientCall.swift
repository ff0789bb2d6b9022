/// One call. A load reuses the object for the next call when it has ended.
final class ClientCall {
    /// Such as `/profiles.v1.Profiles/Track`.
    var path: [UInt8] = []
    /// `grpc-timeout` and `authorization`, if set.
    var metadata: [(StaticString, [UInt8])] = []
    /// The framed request.
    var body: [UInt8] = []
    var bodyOffset = 0
    /// Whether more of the request may follow what is in `body`: its side of the stream stays open.
    var isBodyOpen = false
    /// Its number on the connection.
    var stream: Int32 = 0
    /// For loads that look at what comes and keep nothing; the bytes are valid during the call.
    var onData: ((UnsafeRawBufferPointer) -> Void)?
    /// For loads: the index of the method, and the time at which the call was due.
    var kind = 0
    var startedNanoseconds: UInt64 = 0
    /// From the trailers; -1 until they arrive.
    var status: Int32 = -1
    /// Whether `response`, `message` and `details` are stored; a load needs the status only.
    let keepsResponse: Bool
    /// The framed response, or what is left of it once messages are taken from it.
    var response: [UInt8] = []
    /// How much of `response` has been taken.
    private var responseOffset = 0
    /// `grpc-message` and `grpc-status-details-bin`, as sent.
    var message = ""
    var details = ""
    var hasEnded = false
    /// The server has not looked at it, and says so: it may be started again elsewhere.
    var isUnprocessed = false
    /// For loads: how often that has happened to this call.
    var timesSentBack = 0
    /// Whether the response was longer than the client keeps.
    var isOversized = false

    init(keepsResponse: Bool) {
        self.keepsResponse = keepsResponse
    }

    /// Whether nothing but whole messages has been received, and all of them were taken.
    var isDrained: Bool { self.response.count == self.responseOffset }

    /// Whether the next message has been received completely.
    var hasMessage: Bool { self.messageEnd != nil }

    /// The end of the next message in `response`; `nil` if it is incomplete, or compressed, which
    /// no server does unasked.
    private var messageEnd: Int? {
        let start = self.responseOffset
        guard self.response.count - start >= ClientFraming.headerBytes, self.response[start] == 0
        else { return nil }
        let length = self.response[start + 1 ..< start + ClientFraming.headerBytes].reduce(0) {
            $0 << 8 | Int($1)
        }
        let end = start + ClientFraming.headerBytes + length
        return end <= self.response.count ? end : nil
    }

    /// Removes the next message; `nil` if it is incomplete.
    ///
    /// - Complexity: O(bytes of the message), and once per call without a result O(bytes of the
    ///   incomplete message): a stream of small messages is never moved as a whole.
    func takeMessage() -> [UInt8]? {
        guard let end = self.messageEnd else {
            self.response.removeSubrange(..<self.responseOffset)
            self.responseOffset = 0
            return nil
        }
        defer { self.responseOffset = end }
        return Array(self.response[self.responseOffset + ClientFraming.headerBytes ..< end])
    }

    /// - Throws: `RPCFailure` if the call ended with any status but OK, or with none.
    func checkStatus() throws(RPCFailure) {
        guard !self.isOversized else {
            throw RPCFailure(
                withoutResponse: RPCFailure.internalError,
                "the response is too large for this client")
        }
        guard self.status != 0 else { return }
        // A stream that ended without a status was reset, or was not gRPC: the outcome is unknown.
        let code = self.status < 0 ? RPCFailure.unavailable : self.status
        throw RPCFailure(
            code: code,
            message: self.status < 0 ? "the call ended without a status" : self.message,
            details: self.details)
    }
}

/// The frame of a gRPC message: a byte that is 0 without compression, and four of its length.
enum ClientFraming {
    static let headerBytes = 5

    static func framed(_ message: [UInt8]) -> [UInt8] {
        // SAFETY: the bytes of the length are copied before the closure returns.
        [0] + withUnsafeBytes(of: UInt32(message.count).bigEndian) { Array($0) } + message
    }
}

extension ClientCall {
    /// Stores the header or trailer if it is one that the client uses.
    func receiveField(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        if name.elementsEqual("grpc-status".utf8) {
            self.status = RPCFailure.code(trailer: value)
        } else if self.keepsResponse {
            if name.elementsEqual("grpc-message".utf8) {
                self.message = String(decoding: value, as: UTF8.self)
            }
            if name.elementsEqual("grpc-status-details-bin".utf8) {
                self.details = String(decoding: value, as: UTF8.self)
            }
        }
    }
}
