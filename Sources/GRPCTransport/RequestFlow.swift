/// Whether the requests of a stream go up as they come, or wait for the handler.
///
/// ```
/// flowing --pause--> paused --resume--> draining --all delivered--> flowing
///                       ^------pause-------+
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
    }

    private var state = State.flowing
    /// The end of the requests came while something waited.
    private var endWaits = false

    /// Whether the handler asked for no more.
    var isPaused: Bool { self.state == .paused }

    enum OnArrival: Equatable {
        case deliver
        /// It goes behind what waits.
        case hold
    }

    /// Bytes have come.
    func bytes() -> OnArrival { self.state == .flowing ? .deliver : .hold }

    /// The peer's last byte has come.
    mutating func end() -> OnArrival {
        guard self.state != .flowing else { return .deliver }
        self.endWaits = true
        return .hold
    }

    mutating func pause() {
        self.state = .paused
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
        /// The handler paused again meanwhile.
        case wait
        case flow
        /// Nothing more can come.
        case end
    }

    /// What waited has gone up, as far as the handler took it.
    mutating func delivered() -> OnDelivered {
        guard self.state != .paused else { return .wait }
        self.state = .flowing
        guard self.endWaits else { return .flow }
        self.endWaits = false
        return .end
    }
}
