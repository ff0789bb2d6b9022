/// What the service manager is told at each time of the server's life, in order.
///
/// ```
/// starting --ready--> serving --stop--> stopping
///     +-------------- stop ----------------+
/// ```
///
/// Of each kind of message at most one waits, the newest, so that a receiver that does not read
/// makes nothing grow.
struct SupervisorStateMachine: Sendable {
    private enum State {
        case starting
        case serving
        case stopping
    }

    private var state = State.starting
    /// Not sent yet, the oldest first; at most one of each kind.
    private(set) var waiting: [SupervisorMessage] = []
    private var lastStatus = ""
    private var lastStart: ServingPhase?

    var isStarting: Bool { self.state == .starting }

    /// Calls are served.
    mutating func ready() {
        guard self.state == .starting else { return }
        self.state = .serving
        self.add(.ready)
    }

    /// A reload begins. Before the server is ready there is nothing to say: READY would end the
    /// start.
    mutating func reloadBegins(atMicroseconds time: UInt64) {
        if self.state == .serving { self.add(.reloading(microseconds: time)) }
    }

    /// The reload that began last is complete.
    mutating func reloadEnded() {
        if self.state == .serving { self.add(.reloaded) }
    }

    /// The server drains.
    mutating func stop(withinMicroseconds time: UInt64) {
        guard self.state != .stopping else { return }
        self.state = .stopping
        self.add(.stopping(microseconds: time))
    }

    /// The threads that serve calls make progress.
    mutating func alive() { self.add(.alive) }

    /// Tells of the phase if it has changed; while the server starts, a change also asks for time.
    mutating func observe(_ phase: ServingPhase, extensionMicroseconds: UInt64) {
        let status = phase.readyz.text
        if status != self.lastStatus {
            self.lastStatus = status
            self.add(.status(status))
        }
        guard self.state == .starting, phase != self.lastStart else { return }
        self.lastStart = phase
        self.add(.extendStart(microseconds: extensionMicroseconds))
    }

    /// The first message that waits was received, or never can be.
    mutating func removeFirst() { self.waiting.removeFirst() }

    /// A newer message goes behind what waits, in the place of none: a `reloaded` must follow the
    /// `reloading` that it ends.
    private mutating func add(_ message: SupervisorMessage) {
        self.waiting.removeAll { $0.kind == message.kind }
        self.waiting.append(message)
    }
}
