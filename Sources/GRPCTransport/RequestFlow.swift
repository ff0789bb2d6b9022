/// Whether the requests of a stream go up as they come, or wait for the handler.
///
/// ```
/// flowing --pause--> paused --resume--> draining --all delivered--> flowing
///                       ^------pause-------+
/// any --the requests have failed--> discarding
/// ```
///
/// What waits is not given back to the peer's window, so flow control bounds it: a paused stream
/// holds one window of bytes.
struct RequestFlow: Equatable {
    private enum State: Equatable {
        case flowing
        case paused
        /// Resumed, and what waited goes up before anything new.
        case draining
        /// Nothing goes up any more, and nothing is kept: the call ends with what came before.
        case discarding
    }

    private var state = State.flowing
    /// The end of the requests came while something waited.
    private var endWaits = false

    /// Whether nothing goes up: the handler asked for no more, or the requests have failed.
    var isPaused: Bool { self.state == .paused || self.state == .discarding }

    enum OnArrival: Equatable {
        case deliver
        /// It goes behind what waits.
        case hold
        /// It goes nowhere.
        case discard
    }

    /// Bytes have come.
    func bytes() -> OnArrival {
        switch self.state {
        case .flowing: .deliver
        case .paused, .draining: .hold
        case .discarding: .discard
        }
    }

    /// The peer's last byte has come.
    mutating func end() -> OnArrival {
        let action = self.bytes()
        if action == .hold { self.endWaits = true }
        return action
    }

    mutating func pause() {
        guard self.state != .discarding else { return }
        self.state = .paused
    }

    /// No further request is taken.
    mutating func fail() {
        self.state = .discarding
        self.endWaits = false
    }

    enum OnResume: Equatable {
        /// Deliver what waits, soon.
        case schedule
        /// It was not paused.
        case ignore
    }

    mutating func resume() -> OnResume {
        guard self.state == .paused else { return .ignore }
        self.state = .draining
        return .schedule
    }

    enum OnDelivered: Equatable {
        /// The handler paused again meanwhile, or the requests have failed.
        case wait
        case flow
        /// Nothing more can come.
        case end
    }

    /// What waited has gone up, as far as the handler took it.
    mutating func delivered() -> OnDelivered {
        guard self.state == .flowing || self.state == .draining else { return .wait }
        self.state = .flowing
        guard self.endWaits else { return .flow }
        self.endWaits = false
        return .end
    }
}
