import GRPCTransport

/// What a stream whose requests are responded to in order may do next, between a log that may have
/// no headroom and a client that may not read.
///
/// ```
/// reading --too many requests in flight, client does not read, log is full--> paused
///    ^--------------half of the responses sent, headroom----------------------+
/// reading, paused --requests end, a status, drain--> ending --all responses sent--> finished
/// ```
struct OrderedStreamStateMachine {
    private enum State {
        case reading
        case paused
        case ending(RPCStatus)
        case finished
    }

    private var state = State.reading
    private let requestsInFlightMax: Int
    /// The last request waits for headroom in the log; nothing is read meanwhile.
    private(set) var isPostponed = false
    var responses = OrderedResponses()

    init(requestsInFlightMax: Int) {
        self.requestsInFlightMax = requestsInFlightMax
    }

    /// The log has no headroom for a request that has come.
    mutating func postpone() { self.isPostponed = true }

    /// The postponed request is with the log, or has its response.
    mutating func postponedIsTaken() { self.isPostponed = false }

    /// Takes no further request. The call ends with `status` once the responses to the earlier
    /// requests are sent; the first status counts.
    mutating func end(with status: RPCStatus) {
        switch self.state {
        case .reading, .paused:
            self.state = .ending(status)
            self.isPostponed = false
        // A drain may meet a stream that ends already.
        case .ending, .finished: return
        }
    }

    enum Step: Equatable {
        case none
        case pause
        case resume
        case finish(RPCStatus)
    }

    /// What to do after a request, a response, or new headroom.
    mutating func step() -> Step {
        switch self.state {
        case .reading:
            guard
                self.isPostponed || self.responses.next != nil
                    || self.responses.count >= self.requestsInFlightMax
            else { return .none }
            self.state = .paused
            return .pause
        case .paused:
            guard !self.isPostponed, self.responses.next == nil,
                self.responses.count <= self.requestsInFlightMax / 2
            else { return .none }
            self.state = .reading
            return .resume
        case .ending(let status):
            guard self.responses.count == 0 else { return .none }
            self.state = .finished
            return .finish(status)
        case .finished: return .none
        }
    }
}
