import Bytes
import GRPCTransport
import Messages

// Streams whose requests are answered in order: what TrackStream and server reflection share.

extension ServiceLoop {
    /// The stream of a call; its first message opens it.
    func openStream(_ call: RPCCall) -> ServiceStream {
        if let stream = self.stream(of: call.token) { return stream }
        let slot = Int(call.token.streamSlot)
        while self.streams.count <= slot { self.streams.append(nil) }
        let stream = ServiceStream(
            token: call.token, requestsInFlightMax: self.streamLimits.requestsInFlightMax)
        self.streams[slot] = stream
        return stream
    }

    /// The stream of a token; `nil`: it has ended, or is none.
    func stream(of token: CallToken) -> ServiceStream? {
        guard Int(token.streamSlot) < self.streams.count,
            let stream = self.streams[Int(token.streamSlot)],
            stream.token == token
        else { return nil }
        return stream
    }

    /// Answers one request of a stream: at once if it is its turn and the client reads, else later.
    func reply(to ticket: UInt64, of stream: ServiceStream, with message: UnsafeRawBufferPointer) {
        if stream.machine.responses.isOldest(ticket),
            self.transport.send(message, to: stream.token) == .sent
        {
            stream.machine.responses.sent()
            self.sendReady(of: stream)
        } else {
            stream.machine.responses.keep(message, for: ticket)
            self.streamResponseBytes += message.count
            self.abandonUnread(stream)
        }
    }

    /// Sends what has become the oldest answer, as far as there is room.
    func sendReady(of stream: ServiceStream) {
        while let bytes = stream.machine.responses.next {
            guard bytes.withUnsafeBytes({ self.transport.send($0, to: stream.token) }) == .sent
            else { return }
            stream.machine.responses.sent()
            self.streamResponseBytes -= bytes.count
        }
    }

    /// Does what the state of a stream asks for.
    func advance(_ stream: ServiceStream) {
        // It may have been given up meanwhile.
        guard self.stream(of: stream.token) === stream else { return }
        switch stream.machine.step() {
        case .none: break
        case .pause: self.transport.pauseRequests(of: stream.token)
        case .resume: self.transport.resumeRequests(of: stream.token)
        case .finish(let status):
            self.transport.finish(stream.token, with: status)
            self.forget(stream)
        }
    }

    /// Ends a stream once the requests before are answered.
    func end(_ stream: ServiceStream, with status: RPCStatus) {
        stream.postponed = []
        self.postponed.removeAll { $0 === stream }
        stream.machine.end(with: status)
        self.advance(stream)
    }

    /// A stream that is gone: its commands may still be on their way, their answers find nobody.
    func forget(_ stream: ServiceStream) {
        guard self.stream(of: stream.token) === stream else { return }
        self.streamResponseBytes -= stream.machine.responses.readyBytes
        self.streams[Int(stream.token.streamSlot)] = nil
        self.postponed.removeAll { $0 === stream }
    }

    /// Only clients that do not read get here: a stream that is read has at most
    /// `requestsInFlightMax` answers of its own size waiting.
    private func abandonUnread(_ stream: ServiceStream) {
        guard self.streamResponseBytes > self.streamLimits.unreadResponseBytesMax else { return }
        self.transport.finish(
            stream.token,
            with: RPCStatus(
                .resourceExhausted, "too many answers wait for clients that do not read them"))
        self.forget(stream)
    }

    /// Tries the requests again that found no room in the log.
    func retryPostponed(in partition: Partition) {
        guard !self.postponed.isEmpty else { return }
        let waiting = self.postponed
        self.postponed.removeAll(keepingCapacity: true)
        for stream in waiting {
            let isTaken = stream.postponed.withUnsafeBytes {
                self.takeTrack($0, of: stream, in: partition)
            }
            guard isTaken else {
                self.postponed.append(stream)
                continue
            }
            stream.postponed = []
            stream.machine.postponedIsTaken()
            self.advance(stream)
        }
    }

    // MARK: What the transport tells

    package func requestsEnded(of call: RPCCall) {
        self.end(self.openStream(call), with: RPCStatus(.ok, ""))
    }

    package func becameWritable(_ token: CallToken) {
        guard let stream = self.stream(of: token) else { return self.retryEnd(of: token) }
        self.sendReady(of: stream)
        self.advance(stream)
    }

    package func drain(_ token: CallToken) {
        // A stream without a request yet is none to us.
        guard let stream = self.stream(of: token) else {
            self.forgetOperator(token)
            return self.transport.finish(token, with: Self.status(of: .draining))
        }
        // What is not taken yet is not answered: the client resumes from the last answer.
        self.transport.pauseRequests(of: token)
        self.end(stream, with: Self.status(of: .draining))
    }
}
