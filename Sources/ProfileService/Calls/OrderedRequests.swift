import GRPCTransport
import Messages

/// A stream whose requests are responded to in their order: what TrackStream, ImportProfiles and
/// server reflection share. Used by its loop's thread only.
final class OrderedRequests {
    let token: CallToken
    // SAFETY: the loop owns its live calls, and closes them before it ends.
    private unowned(unsafe) let loop: ServiceLoop
    var machine: OrderedStreamStateMachine
    /// The request that waits for headroom in the log, serialised; empty: none does. At most one,
    /// as the stream is paused meanwhile.
    private(set) var postponed: [UInt8] = []

    /// - Parameter requestsInFlightMax: Requests without a sent response; `nil`: as many as of any
    ///   stream.
    init(_ loop: ServiceLoop, _ token: CallToken, requestsInFlightMax: Int? = nil) {
        self.loop = loop
        self.token = token
        self.machine = OrderedStreamStateMachine(
            requestsInFlightMax: requestsInFlightMax ?? loop.streamLimits.requestsInFlightMax)
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
            self.loop.shedUnreadResponses()
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

    /// Keeps a request until there is headroom for it in the log.
    func postpone(_ message: UnsafeRawBufferPointer) {
        self.postponed = Array(message)
        self.loop.postponedBytes += message.count
        self.machine.postpone()
    }

    /// The postponed request is with the log, has its response, or will get none.
    func dropPostponed() {
        self.loop.postponedBytes -= self.postponed.count
        self.postponed = []
        self.machine.postponedIsTaken()
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
        self.dropPostponed()
        self.advance()
    }

    /// Ends the stream, taking no further request: what is not taken yet is not responded to, and
    /// the client resumes from the last response.
    func stop(with status: RPCStatus) {
        self.loop.transport.pauseRequests(of: self.token)
        self.end(with: status)
    }

    /// The stream is gone: its share of what the streams keep is free again.
    func release() {
        self.dropPostponed()
        self.loop.streamResponseBytes -= self.machine.responses.readyBytes
    }

    /// Bytes of responses that wait for an earlier one, or for the client.
    var unreadBytes: Int { self.machine.responses.readyBytes }

    /// Ends the stream without its responses, which are not read.
    func abandonUnread() {
        self.loop.reject(self.token, .unreadResponses)
        self.release()
        self.loop.close(self.token)
    }
}

extension ServiceLoop {
    /// Ends the stream that has most responses waiting, of the peer that has most, while all
    /// streams together have too many: whoever reads has few, and must not pay for those who do
    /// not, though these are many streams that have less each.
    ///
    /// - Complexity: O(open streams) for each stream that is ended; nothing otherwise.
    func shedUnreadResponses() {
        while self.streamResponseBytes > self.streamLimits.unreadResponseBytesMax,
            let largest = self.largestHolder(of: { $0.unreadBytes })
        {
            largest.orderedRequests?.abandonUnread()
        }
    }

    /// Rejects the largest postponed request of the peer that has most of them, while all together
    /// are too many: it has its response, and its stream goes on.
    ///
    /// - Complexity: O(open streams) for each request that is rejected; nothing otherwise.
    func shedPostponedRequests() {
        while self.postponedBytes > self.streamLimits.postponedBytesMax,
            let largest = self.largestHolder(of: { $0.postponed.count })
        {
            largest.rejectPostponed()
        }
    }

    /// The stream that holds most, of the peer whose streams do; `nil`: none holds anything.
    private func largestHolder(of bytes: (OrderedRequests) -> Int) -> (any LiveCall)? {
        var held: [PeerAddress: (bytes: Int, largestBytes: Int, largest: any LiveCall)] = [:]
        self.liveCalls.forEach { call in
            guard let requests = call.orderedRequests,
                let peer = self.transport.peerAddress(of: requests.token)
            else { return }
            let own = bytes(requests)
            guard own > 0 else { return }
            let known = held[peer] ?? (0, 0, call)
            held[peer] = (
                known.bytes + own, max(known.largestBytes, own),
                own > known.largestBytes ? call : known.largest
            )
        }
        return held.values.max { $0.bytes < $1.bytes }?.largest
    }
}
