import GRPCTransport

/// What a stream of requests that are answered in order may do next: its place between the log and
/// a client that may not read.
///
/// ```
/// reading ──too many unanswered, answers unread, log behind──▶ paused
///    ▲──────────────half of them answered, room─────────────────┘
/// reading, paused ──requests end, a status, drain──▶ ending ──all answered──▶ finished
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
    /// The last request waits until the log has room; nothing is read meanwhile.
    private(set) var isPostponed = false
    var responses = OrderedResponses()

    init(requestsInFlightMax: Int) {
        self.requestsInFlightMax = requestsInFlightMax
    }

    /// The log has no room for a request that has come.
    mutating func postpone() { self.isPostponed = true }

    /// The postponed request is with the log, or answered.
    mutating func postponedIsTaken() { self.isPostponed = false }

    /// No further request is taken; once those before are answered the call ends so. The first
    /// reason counts.
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

    /// What is to be done after a request, an answer, or room.
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
