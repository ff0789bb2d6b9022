/// What one stream may do next. Its two halves end independently:
///
/// ```
/// request:   open --message--> open --END_STREAM--> ended
///
/// response:  undecided --accept--> awaited --first message--> sending --output taken--> deferred
///                |                    |                        |   ^                    |   |
///                |                    |                        |   +----next message----+   |
///            finish without a message: trailers only        finish, respond              finish
///                |                    |                        v                            |
///                v                    v                    finishing <----------------------+
///              ended <----------------+---output taken---------+
///
/// reset, lost connection: ended, from any state
/// ```
///
/// A call is live from `accept` until its response is finishing or ended: the handler knows its
/// token and owes it an end. Whoever takes a call out of these states counts its status; if that is
/// not the handler, the handler learns that the call is cancelled. So both happen once.
struct RPCStreamStateMachine: Equatable {
    /// What follows the last message.
    enum Trailers: Equatable {
        /// Status OK and nothing else: `TrailersOK` serves behind a message.
        case ok
        case status(RPCStatus)
    }

    private enum Request: Equatable {
        /// `isBodyDue`: a timer bounds the time until the message that has begun is whole.
        case open(messages: Int, isBodyDue: Bool)
        case ended
    }

    private enum Response: Equatable {
        /// The headers of the request are not complete, or not accepted.
        case undecided
        /// Accepted, and nothing is sent yet.
        case awaited
        /// nghttp2 takes the output.
        case sending
        /// nghttp2 has taken all output and waits to be resumed.
        case deferred
        /// All messages are in the output; these trailers follow them.
        case finishing(Trailers)
        /// Nothing more will be sent.
        case ended
    }

    /// Whether the handler may send more messages.
    private enum Headroom: Equatable {
        case free
        /// A message was rejected as `.full`: the handler learns when it may try again.
        case exhausted
    }

    private var request = Request.open(messages: 0, isBodyDue: false)
    private var response = Response.undecided
    private var headroom = Headroom.free
    /// Whether messages are delivered one by one.
    private(set) var streamsRequests = false
    private var streamsResponses = false

    /// Whether the handler knows the call and owes it an end.
    var isLive: Bool {
        switch self.response {
        case .awaited, .sending, .deferred: true
        case .undecided, .finishing, .ended: false
        }
    }

    /// Whether the call has its status.
    var hasEnded: Bool {
        switch self.response {
        case .finishing, .ended: true
        case .undecided, .awaited, .sending, .deferred: false
        }
    }

    /// Whether the client may still send.
    var isRequestOpen: Bool {
        if case .open = self.request { true } else { false }
    }

    /// Whether the handler waits for headroom.
    var awaitsHeadroom: Bool { self.headroom == .exhausted && self.isLive }

    /// The headers are good: the call goes to the handler.
    ///
    /// - Precondition: Called once, before anything but the end of the request.
    mutating func accept(streamsRequests: Bool, streamsResponses: Bool) {
        guard case .undecided = self.response else {
            preconditionFailure("a call is accepted once")
        }
        self.response = .awaited
        self.streamsRequests = streamsRequests
        self.streamsResponses = streamsResponses
    }

    // MARK: Request

    enum OnMessage: Equatable {
        /// A request stream: to the handler at once.
        case deliver
        /// A unary call: keep it until the request ends.
        case keep
        case reject(RPCStatus)
        /// The call is over already.
        case ignore
    }

    /// A whole message has come.
    mutating func message() -> OnMessage {
        guard case .open(let messages, let isBodyDue) = self.request, self.isLive else {
            return .ignore
        }
        self.request = .open(messages: messages + 1, isBodyDue: isBodyDue)
        if self.streamsRequests { return .deliver }
        // Source: gRPC status codes, cardinality violations (G28).
        guard messages == 0 else {
            return .reject(
                RPCStatus(.unimplemented, "a unary call takes one message, two were sent"))
        }
        return .keep
    }

    enum OnBody: Equatable {
        /// The message that has begun must be whole in time.
        case startTimer
        /// Between messages, only the deadline of the call counts.
        case stopTimer
        case ignore
    }

    /// Bytes of a request stream were taken.
    ///
    /// - Parameters:
    ///   - isInsideMessage: A message has begun and its rest may come.
    ///   - hasDelivered: At least one message was completed by these bytes.
    mutating func bodyTaken(isInsideMessage: Bool, hasDelivered: Bool) -> OnBody {
        guard self.streamsRequests, self.isLive,
            case .open(let messages, let isBodyDue) = self.request,
            isInsideMessage != isBodyDue || (isInsideMessage && hasDelivered)
        else { return .ignore }
        self.request = .open(messages: messages, isBodyDue: isInsideMessage)
        return isInsideMessage ? .startTimer : .stopTimer
    }

    enum OnEndOfRequest: Equatable {
        /// A unary call is whole.
        case dispatch
        /// A request stream has ended.
        case ended
        case reject(RPCStatus)
        case ignore
    }

    /// The peer's last byte was taken.
    mutating func endOfRequest(isBetweenMessages: Bool) -> OnEndOfRequest {
        guard case .open(let messages, _) = self.request else { return .ignore }
        self.request = .ended
        // The response may be complete before the request is.
        guard self.isLive else { return .ignore }
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

    // MARK: Response

    enum OnSend: Equatable {
        /// The first message: response headers go first.
        case start
        /// nghttp2 takes the output anyway.
        case append
        /// nghttp2 must be told that there is output again.
        case resume
        /// The call is over.
        case ignore
    }

    /// The handler sends one message of several.
    mutating func send() -> OnSend {
        let action = self.nextSend
        switch action {
        case .start, .resume: self.response = .sending
        case .append, .ignore: break
        }
        return action
    }

    /// The handler responds with one message and OK.
    mutating func respond() -> OnSend {
        let action = self.nextSend
        switch action {
        case .start, .append, .resume: self.response = .finishing(.ok)
        case .ignore: break
        }
        return action
    }

    private var nextSend: OnSend {
        switch self.response {
        case .awaited: .start
        case .sending: .append
        case .deferred: .resume
        case .undecided, .finishing, .ended: .ignore
        }
    }

    enum OnFinish: Equatable {
        /// No message was sent: one HEADERS frame says all (G10).
        case trailersOnly
        /// The trailers follow the output that nghttp2 takes.
        case trailersFollow
        /// As above, and nghttp2 must be told.
        case resume
        case ignore
    }

    /// The call ends with a status: the handler's, or one of the transport.
    mutating func finish(_ status: RPCStatus) -> OnFinish {
        let action: OnFinish
        switch self.response {
        case .undecided, .awaited:
            self.response = .ended
            return .trailersOnly
        case .sending: action = .trailersFollow
        case .deferred: action = .resume
        case .finishing, .ended: return .ignore
        }
        self.response = .finishing(status == RPCStatus(.ok, "") ? .ok : .status(status))
        return action
    }

    enum OnOutputTaken: Equatable {
        /// Ask again for more.
        case proceed
        /// Nothing to take until more is sent.
        case suspend
        /// These trailers follow; nothing more is taken.
        case end(Trailers)
    }

    /// nghttp2 has taken all output that there was.
    ///
    /// - Parameter tookBytes: Whether there was any.
    mutating func outputTaken(tookBytes: Bool) -> OnOutputTaken {
        switch self.response {
        case .finishing(let trailers):
            self.response = .ended
            return .end(trailers)
        case .sending:
            if tookBytes { return .proceed }
            self.response = .deferred
            return .suspend
        case .undecided, .awaited, .deferred, .ended:
            // A reset is on its way to nghttp2, which asks once more.
            return .suspend
        }
    }

    // MARK: Headroom

    enum OnFull: Equatable {
        /// Look at this stream when output has left.
        case watch
        /// It is watched already, or its call is over.
        case ignore
    }

    /// A message was rejected as `.full`.
    mutating func full() -> OnFull {
        guard self.isLive, self.headroom == .free else { return .ignore }
        self.headroom = .exhausted
        return .watch
    }

    enum OnHeadroom: Equatable {
        case notifyHandler
        /// The call has ended meanwhile.
        case ignore
    }

    /// There is headroom again.
    mutating func headroomFreed() -> OnHeadroom {
        guard self.awaitsHeadroom else { return .ignore }
        self.headroom = .free
        return .notifyHandler
    }

    // MARK: End

    enum OnDrain: Equatable {
        case notifyHandler
        /// A unary call ends soon without being asked; a finished one has.
        case ignore
    }

    /// The connection takes no more calls and waits for those that are open.
    func drain() -> OnDrain {
        self.isLive && (self.streamsRequests || self.streamsResponses) ? .notifyHandler : .ignore
    }

    enum OnClose: Equatable {
        /// The call was live: its status is CANCELLED and the handler learns of it.
        case cancel
        case ignore
    }

    /// The stream is gone: reset, closed, or lost with its connection.
    mutating func close() -> OnClose {
        let action: OnClose = self.isLive ? .cancel : .ignore
        self.request = .ended
        self.response = .ended
        return action
    }
}
