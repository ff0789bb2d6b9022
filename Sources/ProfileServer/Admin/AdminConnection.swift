// One HTTP/1.1 connection of an admin listener. Time and socket are passed in; it never blocks.

import Bytes
import GRPCTransport
import IOCore

/// Serves the requests of one connection, one after the other.
///
/// ```
/// head --request--> responding --sent--> idle --first byte--> head
///   +----request--> waiting --response made elsewhere--> responding
///   |                 +--peer closed, too much further input--> closed
///   +----invalid--> responding --sent--> lingering --peer closed, limit or time--> closed
/// ```
/// The next request is parsed only after the previous response was sent, so that a client which
/// sends without reading causes at most one buffered response; its further requests stay in the
/// socket, but for what a head may have while a response is made elsewhere.
final class AdminConnection {
    private enum Phase {
        /// Waits for the first request, or for the rest of one that has begun.
        case head
        case responding
        /// The response is made on another thread.
        case waiting
        /// Between two requests.
        case idle
        /// The request was rejected or had no version, and the response is sent. Further input is
        /// discarded, since closing with unread bytes resets the connection and can destroy the
        /// response before the peer has read it.
        case lingering
    }

    /// The input for responses; the same for all connections of a turn.
    struct Context {
        let responder: any HTTPResponder
        /// Makes the listener look at its waiting connections; from any thread.
        let wake: @Sendable () -> Void
        /// Monotonic, in nanoseconds.
        let now: UInt64
        let wallMicroseconds: Int64
        /// Buffer for one read; shared by all connections.
        // SAFETY: the listener owns it and outlives the turn that this context is made for.
        let scratch: UnsafeMutableRawBufferPointer
    }

    /// How readily a connection is closed in favour of a new one; the lowest first.
    enum Worth: Int, Comparable {
        /// It has no request.
        case idle
        /// Its request is not complete, or was rejected.
        case unfinished
        /// It waits for a response, or for the rest of one.
        case responding

        static func < (left: Worth, right: Worth) -> Bool { left.rawValue < right.rawValue }
    }

    /// Time for a request head, from the accept or from the first byte after a response, to its
    /// last byte, however steadily the bytes come: a probe sends it in one packet.
    static let headNanoseconds: UInt64 = 10 * 1_000_000_000
    /// Time between two requests: at least the usual probe periods (10 s) and scrape intervals (15
    /// to 60 s).
    static let idleNanoseconds: UInt64 = 60 * 1_000_000_000
    /// Time for the peer to receive one response.
    static let responseNanoseconds: UInt64 = 10 * 1_000_000_000
    /// Time for a response that is made elsewhere: the page waits 20 s for a change, and each call
    /// of the service for 10 s.
    static let waitNanoseconds: UInt64 = 60 * 1_000_000_000
    /// Time for the peer to receive a rejection.
    static let lingerNanoseconds: UInt64 = 1_000_000_000
    /// Most bytes that are discarded while lingering.
    static let lingerBytesMax = 64 * 1_024
    /// Requests served before other connections get their turn. One, because no client of this
    /// listener sends the next request before it has the response, except to keep it busy.
    static let responsesPerTurnMax = 1
    /// Output storage kept between responses, in bytes.
    private static let outputBytesKept = 64 * 1_024

    let socket: any StreamSocket
    /// What the peer's share of the connections is counted by.
    let host: PeerAddress
    /// Its number in the order of the accepts: which of two is older if their phases began in one
    /// turn, and so at the same time.
    private let number: UInt64
    /// When the current phase began, in monotonic nanoseconds.
    private var since: UInt64
    /// When `expire` is due, in monotonic nanoseconds.
    private(set) var deadline: UInt64

    private var phase = Phase.head
    private var parser: HTTPRequestParser
    /// The response that is made elsewhere, with what it depends on.
    private var pending: (content: PendingContent, hasBody: Bool, keepsAlive: Bool)?
    private var output = ByteBuffer()
    private var sentBytes = 0
    private var lingeredBytes = 0
    private var closesAfterResponse = false
    /// Whether the peer may still send after the last response.
    private var lingers = false
    private var inputEnded = false

    init(socket: any StreamSocket, number: UInt64, now: UInt64, readsDetails: Bool) {
        self.socket = socket
        self.parser = HTTPRequestParser(readsDetails: readsDetails)
        self.number = number
        self.host = PeerAddress(socket.peer)
        self.since = now
        self.deadline = now + Self.headNanoseconds
    }

    var worth: Worth {
        switch self.phase {
        case .idle: .idle
        case .head, .lingering: .unfinished
        case .responding, .waiting: .responding
        }
    }

    /// Whether it is closed before `other` in favour of a new connection: idle before unfinished
    /// before responding, and of equal ones the older.
    func isWorthLess(than other: AdminConnection) -> Bool {
        (self.worth, self.since, self.number) < (other.worth, other.since, other.number)
    }

    /// Whether a response that was made elsewhere can be sent.
    var hasPendingContent: Bool { self.pending?.content.isReady == true }

    /// Tells whoever makes its response that nobody waits for it.
    func abandon() {
        self.pending?.content.abandon()
    }

    /// Makes as much progress as possible without blocking.
    ///
    /// - Returns: What to watch the socket for, or `nil` if it must be closed.
    /// - Complexity: O(`responsesPerTurnMax` pages).
    func turn(_ context: Context) -> IOInterest? {
        var responsesLeft = Self.responsesPerTurnMax
        while true {
            if self.sentBytes < self.output.count {
                switch self.flush() {
                case .bytes: break
                case .wouldBlock: return .write
                case .closed: return nil
                }
            }
            if self.phase == .waiting {
                guard self.takePending(context) else { return self.watch(context) }
                continue
            }
            if self.phase == .responding, self.closesAfterResponse {
                guard self.lingers, !self.inputEnded else { return nil }
                self.enter(.lingering, context, Self.lingerNanoseconds)
            }
            if self.phase == .lingering { return self.linger(context) }
            // The socket is already writable, so the poller reports it again after the other
            // connections had their turn.
            if responsesLeft == 0, self.parser.holdsBytes { return .write }
            switch self.parser.next() {
            case .request(let request):
                responsesLeft -= 1
                self.respond(to: request, context)
            case .reject(let status):
                self.reject(status, context)
            case .needsMore:
                guard let interest = self.read(context) else { continue }
                return self.inputEnded ? nil : interest
            }
        }
    }

    /// Handles a missed deadline; the caller closes the connection afterwards, whether or not the
    /// response could be sent.
    func expire(_ context: Context) {
        guard self.phase == .head, self.parser.holdsBytes else { return }
        self.reject(.requestTimeout, context)
        _ = self.flush()
    }

    private func enter(_ phase: Phase, _ context: Context, _ nanoseconds: UInt64) {
        self.phase = phase
        self.since = context.now
        self.deadline = context.now + nanoseconds
    }

    private func respond(to request: HTTPRequest, _ context: Context) {
        self.closesAfterResponse = !request.keepsAlive
        self.lingers = !request.hasVersion
        let hasBody = request.method != .head
        switch context.responder.respond(to: request, now: context.now) {
        case .content(let content):
            self.send(content, hasBody: hasBody, keepsAlive: request.keepsAlive, context)
        case .later(let pending):
            self.pending = (pending, hasBody, request.keepsAlive)
            pending.notify(context.wake)
            self.enter(.waiting, context, Self.waitNanoseconds)
        }
    }

    private func send(
        _ content: HTTPContent, hasBody: Bool, keepsAlive: Bool, _ context: Context
    ) {
        content.append(
            hasBody: hasBody, keepsAlive: keepsAlive,
            wallMicroseconds: context.wallMicroseconds, to: &self.output)
        self.enter(.responding, context, Self.responseNanoseconds)
    }

    private func reject(_ status: HTTPStatus, _ context: Context) {
        self.closesAfterResponse = true
        self.lingers = true
        self.send(.text(status, "\(status.reason)\n"), hasBody: true, keepsAlive: false, context)
    }

    /// Sends the pending output; `.bytes` once all of it was sent.
    private func flush() -> IOOutcome {
        while self.sentBytes < self.output.count {
            let rest = UnsafeRawBufferPointer(rebasing: self.output.bytes[self.sentBytes...])
            switch self.socket.write(rest) {
            case .bytes(let count): self.sentBytes += count
            case .wouldBlock: return .wouldBlock
            case .closed: return .closed
            }
        }
        let sent = self.sentBytes
        self.output.removeAll()
        self.output.shrink(toCapacity: Self.outputBytesKept)
        self.sentBytes = 0
        return .bytes(sent)
    }

    /// Reads once; `nil` if bytes were received, otherwise what to wait for.
    private func read(_ context: Context) -> IOInterest? {
        switch self.inputEnded ? .closed : self.receive(context) {
        case .bytes: return nil
        case .closed:
            self.inputEnded = true
            return .read
        case .wouldBlock:
            self.await(context)
            return .read
        }
    }

    /// Starts the timeout of the current phase, unless it is already running.
    private func await(_ context: Context) {
        switch self.phase {
        case .idle where self.parser.holdsBytes, .responding where self.parser.holdsBytes:
            self.enter(.head, context, Self.headNanoseconds)
        case .responding:
            self.enter(.idle, context, Self.idleNanoseconds)
        case .idle, .head, .lingering, .waiting:
            break
        }
    }

    /// Appends the response that was made elsewhere; false if it is not there yet.
    private func takePending(_ context: Context) -> Bool {
        guard let pending = self.pending, let content = pending.content.take() else { return false }
        self.pending = nil
        self.send(
            content, hasBody: pending.hasBody, keepsAlive: pending.keepsAlive, context)
        return true
    }

    /// Reads while the response is made elsewhere, so that the end of a client shows. Ends the
    /// connection when there is no space left to read into: its end would be hidden behind the
    /// bytes, and its reset be reported in every turn.
    private func watch(_ context: Context) -> IOInterest? {
        switch self.receive(context) {
        case .bytes: return self.parser.freeBytes > 0 ? .read : nil
        case .wouldBlock: return .read
        case .closed: return nil
        }
    }

    /// Reads once, into the parser.
    private func receive(_ context: Context) -> IOOutcome {
        // The parser rejects a head that fills its buffer, and a full one ends a connection that
        // waits, so there is free space here; a read of zero bytes would look like the end.
        let capacity = min(self.parser.freeBytes, context.scratch.count)
        precondition(capacity > 0, "the parser has free space")
        let target = UnsafeMutableRawBufferPointer(rebasing: context.scratch[..<capacity])
        let outcome = self.socket.read(into: target)
        if case .bytes(let count) = outcome {
            self.parser.receive(UnsafeRawBufferPointer(rebasing: target[..<count]))
        }
        return outcome
    }

    private func linger(_ context: Context) -> IOInterest? {
        while self.lingeredBytes < Self.lingerBytesMax {
            switch self.socket.read(into: context.scratch) {
            case .bytes(let count): self.lingeredBytes += count
            case .wouldBlock: return .read
            case .closed: return nil
            }
        }
        return nil
    }
}
