/// The lifetime of one connection:
///
/// ```
/// handshake --first frame--> open --drain--> announced --PING acknowledged, or 1 s--> final
///     |                       |                  |                                     |
///     |                       |        drain from the handshake leads here, too        |
///     v                       v                  v                                     v
///   closing(reason): a timeout, a fault of the peer, or the session has ended (`done`)
///     | +--another reason: at once--> closed
///     +--`done`, and all output is written--> lingering --peer closes, or 5 s--> closed
/// lost connection, end of the loop: closed, from any state
/// ```
///
/// A connection that has reached its age goes through a drain of its own. The limits in time count
/// from the start of what they bound; what a peer drips meanwhile does not move them.
///
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
        case announced(Shutdown)
        /// GOAWAY(last id) is sent: open calls end, none comes.
        case final(Shutdown)
        /// To be closed in this tick; `done`: after its output is written.
        case closing(ConnectionEnd)
        /// Our side is closed, and all output is with the kernel; what the peer sends is dropped.
        case lingering(untilNanoseconds: UInt64)
        case closed
    }

    /// The times of a shutdown; `.max`: the loop keeps them.
    private struct Shutdown: Equatable {
        var finalNanoseconds = UInt64.max
        var graceNanoseconds = UInt64.max
    }

    private enum Output: Equatable {
        case flowing
        /// Output waits that the peer does not take.
        case stalled(sinceNanoseconds: UInt64)
    }

    /// Whether the peer owes the acknowledgement of a keepalive PING.
    private enum Keepalive: Equatable {
        case quiet
        case awaited(sinceNanoseconds: UInt64)
    }

    /// How long a client may take to acknowledge the PING of a shutdown, in nanoseconds: a round
    /// trip over the worst of links, short against the grace.
    static let drainPingNanoseconds: UInt64 = 1_000_000_000

    private var state = State.handshake
    private var output = Output.flowing
    private var keepalive = Keepalive.quiet
    private let startedNanoseconds: UInt64
    /// When the connection had its last call, or was opened.
    private(set) var idleSinceNanoseconds: UInt64
    /// When the peer's last byte came, or the last check without calls was made.
    private var lastByteNanoseconds: UInt64
    /// When the header block began that is not complete; `.max`: there is none.
    private var headerBlockNanoseconds = UInt64.max
    /// Which one it is.
    private var headerBlock: UInt32 = 0
    /// When the last output of a session that is done must have left; `.max`: it is not done.
    private var lastOutputDueNanoseconds = UInt64.max
    private let ageDueNanoseconds: UInt64
    private var resets: TokenBucket
    /// When the last PING came, and how many came too early since the last response; `nil`: none
    /// came.
    private var lastPingNanoseconds: UInt64?
    private var pingStrikes = 0
    private let limits: TransportLimits

    /// - Parameter jitter: Any number: it spreads the ages of connections over a fifth.
    init(limits: TransportLimits, nowNanoseconds: UInt64, jitter: UInt64 = 0) {
        self.limits = limits
        self.startedNanoseconds = nowNanoseconds
        self.idleSinceNanoseconds = nowNanoseconds
        self.lastByteNanoseconds = nowNanoseconds
        let tenth = limits.ageNanoseconds / 10
        self.ageDueNanoseconds =
            nowNanoseconds + limits.ageNanoseconds - tenth + jitter % (2 * tenth + 1)
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
            self.lastByteNanoseconds = nowNanoseconds
            return .feedSession
        case .closing, .lingering, .closed: return .ignore
        }
    }

    /// The bytes so far end in a header block, by its number, or in none. Frames of other kinds
    /// cannot come before its end (RFC 9113, section 4.3).
    mutating func headerBlockOpen(_ block: UInt32?, nowNanoseconds: UInt64) {
        guard let block else {
            self.headerBlockNanoseconds = .max
            return
        }
        if !self.hasOpenHeaderBlock || block != self.headerBlock {
            self.headerBlockNanoseconds = nowNanoseconds
        }
        self.headerBlock = block
    }

    /// When the header block began whose rest is to come; `.max`: there is none.
    var headerBlockSinceNanoseconds: UInt64 { self.headerBlockNanoseconds }

    /// Whether the rest of a header block is to come, so that a check is due.
    var hasOpenHeaderBlock: Bool { self.headerBlockNanoseconds != .max }

    /// A call has begun, or the last one has ended.
    mutating func callsChanged(nowNanoseconds: UInt64) {
        self.idleSinceNanoseconds = nowNanoseconds
    }

    /// A whole frame has come: the preface was good.
    mutating func frameReceived() {
        if case .handshake = self.state { self.state = .open }
    }

    /// The peer broke a rule or a limit, or nghttp2 cannot go on.
    mutating func fail(_ reason: ConnectionEnd) {
        switch self.state {
        case .handshake, .open, .announced, .final: self.state = .closing(reason)
        case .closing, .lingering, .closed: break
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
            self.state = .announced(Shutdown())
            return .sendNoticeAndPing
        case .announced, .final, .closing, .lingering, .closed: return .ignore
        }
    }

    /// The same, because the connection has reached its age.
    mutating func announceEndOfAge(nowNanoseconds: UInt64) -> OnDrain {
        let action = self.announceDrain()
        guard case .sendNoticeAndPing = action else { return action }
        self.state = .announced(
            Shutdown(
                finalNanoseconds: nowNanoseconds + Self.drainPingNanoseconds,
                graceNanoseconds: nowNanoseconds + self.limits.ageGraceNanoseconds))
        return action
    }

    /// Whether it was asked to end, or closes.
    var isEnding: Bool {
        switch self.state {
        case .handshake, .open: false
        case .announced, .final, .closing, .lingering, .closed: true
        }
    }

    /// Whether the shutdown under way is that of the connection alone.
    var isEndOfAge: Bool {
        switch self.state {
        case .announced(let shutdown), .final(let shutdown): shutdown.graceNanoseconds < .max
        case .handshake, .open, .closing, .lingering, .closed: false
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
        guard case .announced(let shutdown) = self.state else { return .ignore }
        self.state = .final(shutdown)
        return .sendGoawayAndDrainStreams
    }

    // MARK: Output

    enum OnFlush: Equatable {
        /// Take frames from nghttp2, then write.
        case collect
        /// Write what is there, then call `outputFinished`.
        case writeRest
        /// Nothing more is sent; the peer is waited for.
        case wait
        case close(ConnectionEnd)
    }

    /// The loop is about to write.
    var flush: OnFlush {
        switch self.state {
        case .handshake, .open, .announced, .final: .collect
        case .closing(.done): .writeRest
        case .closing(let reason): .close(reason)
        case .lingering: .wait
        case .closed: .close(.done)
        }
    }

    /// All output of a session that is done is with the kernel: the socket is half-closed.
    mutating func outputFinished(lingerUntilNanoseconds until: UInt64) {
        guard case .closing(.done) = self.state else { return }
        self.state = .lingering(untilNanoseconds: until)
    }

    /// Whether everything was sent and only the peer's close is missing.
    var isLingering: Bool {
        if case .lingering = self.state { true } else { false }
    }

    /// Whether the connection could yield to a new one, as far as its state is concerned.
    var mayYield: Bool {
        switch self.state {
        case .handshake, .open, .announced, .final, .lingering: true
        case .closing, .closed: false
        }
    }

    /// Whether no frame of the peer has come yet.
    var isHandshake: Bool { self.state == .handshake }

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
        if case .lingering(let until) = self.state { return until }
        var due = min(
            self.idleSinceNanoseconds + self.limits.idleNanoseconds, self.keepaliveDueNanoseconds)
        switch self.state {
        case .handshake: due = self.startedNanoseconds + self.limits.prefaceNanoseconds
        case .open: due = min(due, self.ageDueNanoseconds)
        case .announced(let shutdown): due = min(due, shutdown.finalNanoseconds)
        case .final(let shutdown): due = min(due, shutdown.graceNanoseconds)
        case .closing: due = min(due, self.lastOutputDueNanoseconds)
        case .lingering, .closed: break
        }
        if self.hasOpenHeaderBlock {
            due = min(due, self.headerBlockNanoseconds + self.limits.headerBlockNanoseconds)
        }
        guard case .stalled(let since) = self.output else { return due }
        return min(due, since + self.limits.sendStallNanoseconds)
    }

    private var keepaliveDueNanoseconds: UInt64 {
        switch self.keepalive {
        case .quiet: self.lastByteNanoseconds + self.limits.keepaliveNanoseconds
        case .awaited(let since): since + self.limits.keepaliveTimeoutNanoseconds
        }
    }

    enum OnCheck: Equatable {
        /// Its time is used up.
        case close
        /// Check again at `nextCheckNanoseconds`.
        case checkAgain
        /// It has reached its age: call `announceEndOfAge`.
        case announceEndOfAge
        /// The client did not acknowledge the announcement in time: call `finishDrain`.
        case finishDrain
        /// Send a keepalive PING.
        case ping
    }

    /// Compares the time with what each state allows.
    ///
    /// - Parameter hasStreams: Whether calls are open: such a connection is not idle.
    mutating func check(nowNanoseconds now: UInt64, hasStreams: Bool) -> OnCheck {
        if let action = self.checkEnds(now) { return action }
        if self.hasOpenHeaderBlock,
            now - self.headerBlockNanoseconds >= self.limits.headerBlockNanoseconds
        {
            return self.end(.headerTimeout)
        }
        if case .handshake = self.state {
            let hasTime = now - self.startedNanoseconds < self.limits.prefaceNanoseconds
            return hasTime ? .checkAgain : self.end(.prefaceTimeout)
        }
        // A response that is read slowly is work, too, though its stream is closed.
        if hasStreams || self.isStalled {
            self.idleSinceNanoseconds = now
        } else if now - self.idleSinceNanoseconds >= self.limits.idleNanoseconds {
            return self.end(.idle)
        }
        switch self.state {
        case .open where now >= self.ageDueNanoseconds: return .announceEndOfAge
        case .announced(let shutdown) where now >= shutdown.finalNanoseconds: return .finishDrain
        case .final(let shutdown) where now >= shutdown.graceNanoseconds: return self.end(.maxAge)
        default: return self.checkKeepalive(now, hasStreams: hasStreams)
        }
    }

    /// What is due in the states that end, or because the peer does not read; `nil`: nothing.
    private mutating func checkEnds(_ now: UInt64) -> OnCheck? {
        switch self.state {
        case .handshake, .open, .announced, .final, .closing(.done):
            // The last output of a session that is done may never leave either, or byte by byte.
            if now >= self.lastOutputDueNanoseconds { return self.end(.notReading) }
            guard case .stalled(let since) = self.output,
                now - since >= self.limits.sendStallNanoseconds
            else { break }
            return self.end(.notReading)
        case .lingering(let until): return now >= until ? .close : .checkAgain
        case .closing, .closed: return .close
        }
        if case .closing = self.state { return .checkAgain }
        return nil
    }

    private mutating func end(_ reason: ConnectionEnd) -> OnCheck {
        self.state = .closing(reason)
        return .close
    }

    /// Asks a peer for a sign of life that has calls and says nothing: its host may be gone.
    private mutating func checkKeepalive(_ now: UInt64, hasStreams: Bool) -> OnCheck {
        switch self.keepalive {
        case .awaited(let since) where self.lastByteNanoseconds >= since: self.keepalive = .quiet
        case .awaited(let since):
            guard now - since >= self.limits.keepaliveTimeoutNanoseconds else { break }
            return self.end(.keepaliveTimeout)
        case .quiet:
            guard now - self.lastByteNanoseconds >= self.limits.keepaliveNanoseconds else { break }
            guard hasStreams else {
                // Its idle time bounds it.
                self.lastByteNanoseconds = now
                break
            }
            self.keepalive = .awaited(sinceNanoseconds: now)
            return .ping
        }
        return .checkAgain
    }

    // MARK: End

    /// The session has nothing more to read or to write.
    mutating func sessionEnded(nowNanoseconds: UInt64) {
        self.fail(.done)
        guard case .closing(.done) = self.state, self.lastOutputDueNanoseconds == .max else {
            return
        }
        self.lastOutputDueNanoseconds = nowNanoseconds + self.limits.lastOutputNanoseconds
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
