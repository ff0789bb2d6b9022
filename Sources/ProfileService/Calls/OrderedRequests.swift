import GRPCTransport
import Messages

/// A stream whose requests are responded to in their order: what TrackStream and server reflection
/// share. Used by its loop's thread only.
final class OrderedRequests {
    let token: CallToken
    // SAFETY: the loop owns its live calls, and closes them before it ends.
    private unowned(unsafe) let loop: ServiceLoop
    var machine: OrderedStreamStateMachine

    init(_ loop: ServiceLoop, _ token: CallToken) {
        self.loop = loop
        self.token = token
        self.machine = OrderedStreamStateMachine(
            requestsInFlightMax: loop.streamLimits.requestsInFlightMax)
    }

    /// Takes a request in; returns its ticket, never 0.
    func begin() -> UInt64 { self.machine.responses.begin() }

    /// Responds to one request: at once if it is the oldest and the client reads, else later.
    func reply(to ticket: UInt64, with message: UnsafeRawBufferPointer) {
        if self.machine.responses.isOldest(ticket),
            self.loop.transport.send(message, to: self.token) == .sent
        {
            self.machine.responses.sent()
            self.sendReady()
        } else {
            self.machine.responses.keep(message, for: ticket)
            self.loop.streamResponseBytes += message.count
            self.abandonUnread()
        }
    }

    /// Sends the responses that have become the oldest, as far as there is headroom.
    func sendReady() {
        while let bytes = self.machine.responses.next {
            guard
                bytes.withUnsafeBytes({ self.loop.transport.send($0, to: self.token) }) == .sent
            else { return }
            self.machine.responses.sent()
            self.loop.streamResponseBytes -= bytes.count
        }
    }

    /// Does what the state of the stream asks for.
    func advance() {
        // It may have been abandoned meanwhile.
        guard self.loop.liveCalls[self.token] != nil else { return }
        switch self.machine.step() {
        case .none: break
        case .pause: self.loop.transport.pauseRequests(of: self.token)
        case .resume: self.loop.transport.resumeRequests(of: self.token)
        case .finish(let status):
            self.loop.transport.finish(self.token, with: status)
            self.release()
            self.loop.close(self.token)
        }
    }

    /// Ends the stream once the requests before are responded to.
    func end(with status: RPCStatus) {
        self.machine.end(with: status)
        self.advance()
    }

    /// Ends the stream, taking no further request: what is not taken yet is not responded to, and
    /// the client resumes from the last response.
    func stop(with status: RPCStatus) {
        self.loop.transport.pauseRequests(of: self.token)
        self.end(with: status)
    }

    /// The stream is gone: its share of the unread responses is free again.
    func release() {
        self.loop.streamResponseBytes -= self.machine.responses.readyBytes
    }

    /// Only clients that do not read get here: a stream that is read has at most
    /// `requestsInFlightMax` responses of its own size waiting.
    private func abandonUnread() {
        guard self.loop.streamResponseBytes > self.loop.streamLimits.unreadResponseBytesMax else {
            return
        }
        self.loop.reject(self.token, .unreadResponses)
        self.release()
        self.loop.close(self.token)
    }
}
