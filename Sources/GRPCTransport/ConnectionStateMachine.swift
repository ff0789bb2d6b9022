/// The lifetime of one connection:
///
/// ```
/// handshake ──first frame──▶ open ──drain──▶ announced ──PING acknowledged, or 1 s──▶ final
///     │                       │                  │                                     │
///     │                       │        drain from the handshake leads here, too        │
///     ▼                       ▼                  ▼                                     ▼
///   closing(reason): a timeout, a fault of the peer, or the session has ended (`done`)
///     └──output written, if the reason is `done`; else at once──▶ closed
/// lost connection, end of the loop: closed, from any state
/// ```
///
/// The first reason to close counts; one exception is a peer that does not read the last output.
/// Beside the states are the budgets of two rules of their own, resets and pings; what any frame
/// costs is counted by `FrameGate`.
struct ConnectionStateMachine {
    private enum State: Equatable {
        /// The client's preface is not complete.
        case handshake
        /// Calls come. Idle while none is open: see `check`.
        case open
        /// GOAWAY(2^31-1) and a PING are sent: calls still come, the client learns not to send any.
        case announced
        /// GOAWAY(last id) is sent: open calls end, none comes.
        case final
        /// To be closed in this tick; `done`: after its output is written.
        case closing(ConnectionEnd)
        case closed
    }

    private enum Output: Equatable {
        case flowing
        /// Output waits that the peer does not take.
        case stalled(sinceNanoseconds: UInt64)
    }

    private var state = State.handshake
    private var output = Output.flowing
    private var lastActivityNanoseconds: UInt64
    private var resets: TokenBucket
    /// When the last PING came, and how many came too early since the last response; `nil`: none
    /// came.
    private var lastPingNanoseconds: UInt64?
    private var pingStrikes = 0
    private let limits: TransportLimits

    init(limits: TransportLimits, nowNanoseconds: UInt64) {
        self.limits = limits
        self.lastActivityNanoseconds = nowNanoseconds
        self.resets = TokenBucket(
            burst: limits.resetBurst, perSecond: limits.resetsPerSecond,
            nowNanoseconds: nowNanoseconds)
    }

    // MARK: Input

    enum OnBytes: Equatable {
        case feedSession
        /// It closes in this tick.
        case ignore
    }

    /// The socket had bytes.
    mutating func bytesReceived(nowNanoseconds: UInt64) -> OnBytes {
        switch self.state {
        case .handshake, .open, .announced, .final:
            self.lastActivityNanoseconds = nowNanoseconds
            return .feedSession
        case .closing, .closed: return .ignore
        }
    }

    /// A whole frame has come: the preface was good.
    mutating func frameReceived() {
        if case .handshake = self.state { self.state = .open }
    }

    /// The peer broke a rule or a limit, or nghttp2 cannot go on.
    mutating func fail(_ reason: ConnectionEnd) {
        switch self.state {
        case .handshake, .open, .announced, .final: self.state = .closing(reason)
        case .closing, .closed: break
        }
    }

    /// An RST_STREAM came, or was provoked by an error of the peer (A1, A2).
    mutating func streamReset(nowNanoseconds: UInt64) {
        if !self.resets.take(nowNanoseconds: nowNanoseconds) { self.fail(.rapidReset) }
    }

    /// A PING came that is not an acknowledgement (C7).
    mutating func pingReceived(nowNanoseconds: UInt64) {
        if let last = self.lastPingNanoseconds,
            nowNanoseconds - last < self.limits.pingIntervalNanoseconds
        {
            self.pingStrikes += 1
        }
        self.lastPingNanoseconds = nowNanoseconds
        if self.pingStrikes > self.limits.pingStrikesMax { self.fail(.pings) }
    }

    /// HEADERS or DATA of ours have left: a client that gets responses may send pings beside them.
    mutating func responseSent() {
        self.pingStrikes = 0
    }

    // MARK: Shutdown

    enum OnDrain: Equatable {
        case sendNoticeAndPing
        /// It is draining already, or closes.
        case ignore
    }

    /// First half of a shutdown: calls still come, the client learns that they should not.
    mutating func announceDrain() -> OnDrain {
        switch self.state {
        case .handshake, .open:
            self.state = .announced
            return .sendNoticeAndPing
        case .announced, .final, .closing, .closed: return .ignore
        }
    }

    enum OnFinishDrain: Equatable {
        /// GOAWAY with the last stream; streams learn that they shall end.
        case sendGoawayAndDrainStreams
        /// Nothing was announced, or this half is done.
        case ignore
    }

    /// Second half: the client has acknowledged the PING of the first, or took too long.
    mutating func finishDrain() -> OnFinishDrain {
        guard case .announced = self.state else { return .ignore }
        self.state = .final
        return .sendGoawayAndDrainStreams
    }

    // MARK: Output

    enum OnFlush: Equatable {
        /// Take frames from nghttp2, then write.
        case collect
        /// Write what is there, then close.
        case writeRest
        case close(ConnectionEnd)
    }

    /// The loop is about to write.
    var flush: OnFlush {
        switch self.state {
        case .handshake, .open, .announced, .final: .collect
        case .closing(.done): .writeRest
        case .closing(let reason): .close(reason)
        case .closed: .close(.done)
        }
    }

    enum OnBlocked: Equatable {
        /// The peer has a limited time to read.
        case scheduleCheck
        /// It was blocked already.
        case ignore
    }

    /// The socket did not take all output.
    mutating func outputBlocked(nowNanoseconds: UInt64) -> OnBlocked {
        guard case .flowing = self.output else { return .ignore }
        self.output = .stalled(sinceNanoseconds: nowNanoseconds)
        return .scheduleCheck
    }

    /// The socket took output, perhaps a part.
    mutating func outputTaken() {
        self.output = .flowing
    }

    private var isStalled: Bool {
        if case .stalled = self.output { true } else { false }
    }

    // MARK: Time

    /// When to call `check`, in monotonic nanoseconds.
    var nextCheckNanoseconds: UInt64 {
        var due = self.lastActivityNanoseconds
        if case .handshake = self.state {
            due += self.limits.prefaceNanoseconds
        } else {
            due += self.limits.idleNanoseconds
        }
        guard case .stalled(let since) = self.output else { return due }
        return min(due, since + self.limits.sendStallNanoseconds)
    }

    enum OnCheck: Equatable {
        /// Its time is used up.
        case close
        /// Check again at `nextCheckNanoseconds`.
        case checkAgain
    }

    /// Compares the time with what each state allows.
    ///
    /// - Parameter hasStreams: Whether calls are open: such a connection is not idle.
    mutating func check(nowNanoseconds: UInt64, hasStreams: Bool) -> OnCheck {
        let silence = nowNanoseconds - self.lastActivityNanoseconds
        switch self.state {
        case .handshake, .open, .announced, .final, .closing(.done):
            // The last output of a session that is done may never leave either.
            guard case .stalled(let since) = self.output,
                nowNanoseconds - since >= self.limits.sendStallNanoseconds
            else { break }
            self.state = .closing(.notReading)
            return .close
        case .closing, .closed: return .close
        }
        switch self.state {
        case .handshake where silence >= self.limits.prefaceNanoseconds:
            self.state = .closing(.prefaceTimeout)
            return .close
        case .open, .announced, .final:
            // A response that is read slowly is work, too, though its stream is closed.
            if hasStreams || self.isStalled {
                self.lastActivityNanoseconds = nowNanoseconds
            } else if silence >= self.limits.idleNanoseconds {
                self.state = .closing(.idle)
                return .close
            }
            return .checkAgain
        case .handshake, .closing, .closed: return .checkAgain
        }
    }

    // MARK: End

    /// The session has nothing more to read or to write.
    mutating func sessionEnded() {
        self.fail(.done)
    }

    /// The connection is closed for good.
    ///
    /// - Returns: What the peer is told at last.
    mutating func close(_ reason: ConnectionEnd) -> ConnectionEnd.Goodbye? {
        if case .closed = self.state { return nil }
        self.state = .closed
        return reason.goodbye
    }
}
