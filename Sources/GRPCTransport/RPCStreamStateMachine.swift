/// What one stream may do next. Two halves that end independently:
///
/// ```
/// request:   open ──message──▶ open ──END_STREAM──▶ ended
/// answer:    none ──first message──▶ sending ──finish──▶ finishing ──sent──▶ closed
///              └───────────── finish without a message (trailers only) ──────▶ closed
/// reset, deadline, lost connection: closed, from any state
/// ```
struct RPCStreamStateMachine: Equatable {
    private enum Request: Equatable {
        case open(messages: Int)
        case ended
    }

    private enum Response: Equatable {
        case none
        case sending
        case finishing
        case closed
    }

    private var request = Request.open(messages: 0)
    private var response = Response.none
    /// Whether messages go up one by one.
    let streamsRequests: Bool

    init(streamsRequests: Bool) {
        self.streamsRequests = streamsRequests
    }

    /// Whether the handler may still answer.
    var awaitsResponse: Bool { self.response == .none || self.response == .sending }
    /// Whether the client may still send.
    var isRequestOpen: Bool { self.request != .ended }

    enum OnMessage: Equatable {
        /// A request stream: to the handler at once.
        case deliver
        /// A unary call: keep it until the request ends.
        case keep
        case reject(RPCStatus)
        /// The call is over already.
        case ignore
    }

    mutating func message() -> OnMessage {
        guard case .open(let messages) = self.request, self.awaitsResponse else { return .ignore }
        self.request = .open(messages: messages + 1)
        if self.streamsRequests { return .deliver }
        // Source: gRPC status codes, cardinality violations (G28).
        guard messages == 0 else {
            return .reject(
                RPCStatus(.unimplemented, "a unary call takes one message, two were sent"))
        }
        return .keep
    }

    enum OnEndOfRequest: Equatable {
        /// A unary call is whole.
        case dispatch
        /// A request stream has ended.
        case ended
        case reject(RPCStatus)
        case ignore
    }

    mutating func endOfRequest(isBetweenMessages: Bool) -> OnEndOfRequest {
        guard case .open(let messages) = self.request else { return .ignore }
        self.request = .ended
        guard self.awaitsResponse else { return .ignore }
        guard isBetweenMessages else {
            return .reject(RPCStatus(.internalError, "the request ended inside a message"))
        }
        if self.streamsRequests { return .ended }
        guard messages == 1 else {
            return .reject(
                RPCStatus(.unimplemented, "a unary call takes one message, none was sent"))
        }
        return .dispatch
    }

    enum OnSend: Equatable {
        /// The first message: response headers go first.
        case startAndSend
        case send
        case ignore
    }

    mutating func send() -> OnSend {
        switch self.response {
        case .none:
            self.response = .sending
            return .startAndSend
        case .sending: return .send
        case .finishing, .closed: return .ignore
        }
    }

    enum OnFinish: Equatable {
        /// No message was sent: one HEADERS frame says all (G10).
        case trailersOnly
        case trailersAfterMessages
        case ignore
    }

    mutating func finish() -> OnFinish {
        switch self.response {
        case .none:
            self.response = .closed
            return .trailersOnly
        case .sending:
            self.response = .finishing
            return .trailersAfterMessages
        case .finishing, .closed: return .ignore
        }
    }

    /// The stream is gone.
    mutating func close() {
        self.request = .ended
        self.response = .closed
    }
}
