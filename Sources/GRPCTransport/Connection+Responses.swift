import Bytes
import CNGHTTP2

extension Connection {
    /// Queues the only message of a call, which `body` appends, and the OK trailers behind it.
    ///
    /// Budget: no allocation in the steady state, no copy of the message.
    @inline(__always)
    func respond(on stream: RPCStream, writing body: (inout ByteBuffer) -> Void) {
        let start = Self.beginMessage(on: stream)
        body(&stream.output.buffer)
        self.completeResponse(from: start, on: stream)
    }

    /// As above, or ends the call with the status that `body` returns.
    func respondOrReject(
        on stream: RPCStream, writing body: (inout ByteBuffer) -> RPCStatus?
    ) {
        let start = Self.beginMessage(on: stream)
        if let rejection = body(&stream.output.buffer) {
            stream.output.buffer.truncate(to: start)
            self.finish(stream, rejection)
        } else {
            self.completeResponse(from: start, on: stream)
        }
    }

    /// A response is never rejected: what it says of a write is true already. Calls are not begun
    /// while too much waits, and `RPCLoop.shedResponses` bounds the rest.
    private func completeResponse(from start: Int, on stream: RPCStream) {
        self.endMessage(from: start, on: stream, stream.machine.respond())
        self.callEnded(stream, code: .ok)
    }

    /// Queues one message of a response stream.
    ///
    /// Budget: one copy, no allocation in the steady state.
    func send(_ message: UnsafeRawBufferPointer, on stream: RPCStream) -> SendOutcome {
        let framedBytes = message.count + Self.prefixBytes
        // The limits guard against readers that do not read: a single message always fits an empty
        // stream on an empty connection.
        guard self.hasHeadroom(forBytes: framedBytes),
            stream.output.isEmpty
                || stream.output.count + framedBytes
                    <= self.loop.limits.outputBytesPerStreamMax
        else {
            self.loop.awaitWritable(stream)
            return .full
        }
        return self.queue(on: stream) { $0.append(message) }
    }

    /// Queues one message of a response stream that `body` appends.
    ///
    /// Nothing is taken that the peer's windows keep here: what waits in its source can still be
    /// replaced, or be dropped because its person is erased.
    func send(on stream: RPCStream, writing body: (inout ByteBuffer) -> Void) -> SendOutcome {
        guard self.hasHeadroom(forBytes: 1),
            stream.output.count
                < min(self.loop.limits.outputBytesPerStreamMax, self.remoteWindow(of: stream))
        else {
            self.loop.awaitWritable(stream)
            return .full
        }
        return self.queue(on: stream, body)
    }

    @inline(__always)
    private func queue(on stream: RPCStream, _ body: (inout ByteBuffer) -> Void) -> SendOutcome {
        let action = stream.machine.send()
        if case .ignore = action { return .gone }
        let start = Self.beginMessage(on: stream)
        body(&stream.output.buffer)
        self.endMessage(from: start, on: stream, action)
        self.markDirty()
        return .sent
    }

    /// Bytes of a stream that the peer takes now, by the windows of the stream and the connection.
    func remoteWindow(of stream: RPCStream) -> Int {
        let ofStream = nghttp2_session_get_stream_remote_window_size(self.session, stream.id)
        return max(0, Int(min(ofStream, nghttp2_session_get_remote_window_size(self.session))))
    }

    /// Bytes of the prefix of a message: not compressed, and a big-endian length.
    private static let prefixBytes = 1 + 4

    /// Appends the prefix of a message whose length is not known yet.
    ///
    /// - Returns: Where the prefix starts in the stream's output.
    @inline(__always)
    private static func beginMessage(on stream: RPCStream) -> Int {
        if stream.output.isEmpty {
            stream.progressNanoseconds = stream.withConnection { $0.loop.nowNanoseconds }
        }
        stream.output.prepareAppend()
        let start = stream.output.buffer.count
        // Not compressed; the length is patched by `endMessage`.
        stream.output.buffer.appendUninitialized(Self.prefixBytes)
            .storeBytes(of: 0, as: UInt8.self)
        return start
    }

    /// Completes the prefix of the message at `start` and gives the message to nghttp2.
    @inline(__always)
    private func endMessage(
        from start: Int, on stream: RPCStream, _ action: RPCStreamStateMachine.OnSend
    ) {
        let framedBytes = stream.output.buffer.count - start
        stream.output.buffer.patch(UInt32(framedBytes - Self.prefixBytes).bigEndian, at: start + 1)
        self.responsesGrew(by: framedBytes)
        stream.responseBytes += framedBytes
        self.loop.metrics.messageSent()
        self.gate.budget.earnProgress()
        switch action {
        case .start: self.loop.begunResponses.append(stream)
        case .resume: nghttp2_session_resume_data(self.session, stream.id)
        case .append, .ignore: break
        }
    }

    /// Whether connection and loop may hold so many more bytes of responses.
    @inline(__always)
    private func hasHeadroom(forBytes count: Int) -> Bool {
        self.pendingResponseBytes == 0
            || (self.pendingResponseBytes + count <= self.loop.limits.outputBytesPerConnectionMax
                && self.loop.pendingResponseBytes + count <= self.loop.limits.outputBytesMax)
    }

    /// Ends a call with a status.
    ///
    /// - Parameter listsEncodings: It is rejected for its compression, and the client is told which
    ///   there are (G33).
    func finish(_ stream: RPCStream, _ status: RPCStatus, listsEncodings: Bool = false) {
        switch stream.machine.finish(status) {
        case .trailersOnly:
            var headers = HeaderList()
            headers.add(":status", "200")
            headers.add("content-type", "application/grpc")
            if listsEncodings { headers.add("grpc-accept-encoding", "identity") }
            headers.add(status)
            headers.add(stream.trace)
            self.submitTrailersOnly(stream, headers)
        case .trailersFollow: break
        case .resume: nghttp2_session_resume_data(self.session, stream.id)
        case .ignore: return
        }
        self.callEnded(stream, code: status.code)
    }

    /// Ends a call for a reason that is not the handler's, which is notified if it knows the call.
    func cancel(_ stream: RPCStream, _ status: RPCStatus, listsEncodings: Bool = false) {
        let isLive = stream.machine.isLive
        self.finish(stream, status, listsEncodings: listsEncodings)
        if isLive { self.notifyCancelled(stream) }
    }

    /// Tells the handler that a call is over. Once for each call that the handler did not end: only
    /// `cancel` and `close` call this, when they take a call out of its live states.
    func notifyCancelled(_ stream: RPCStream) {
        self.loop.handler.cancelled(stream.token)
    }

    /// Rejects what is not gRPC, with an HTTP status and no gRPC status (G4-G7).
    func rejectHTTP(_ stream: RPCStream, _ status: String) {
        guard stream.machine.finish(RPCStatus(.unknown, "")) == .trailersOnly else { return }
        var headers = HeaderList()
        headers.add(":status", status)
        self.submitTrailersOnly(stream, headers)
        self.callEnded(stream, code: .unknown)
    }

    /// A call has its status: nothing of it is due any more, and it is counted.
    func callEnded(_ stream: RPCStream, code: RPCStatusCode) {
        self.dropHeld(of: stream)
        self.gate.budget.earnProgress()
        self.reservedResponseBytes -= stream.reservedResponseBytes
        stream.reservedResponseBytes = 0
        self.keep(responseBytes: 0, of: stream)
        stream.endedNanoseconds = self.loop.nowNanoseconds
        // Calls that were not begun may have headroom by it.
        self.loop.hasDrained = true
        self.loop.wheel.cancel(stream.timer)
        self.loop.metrics.handled(
            method: stream.method, code: code,
            nanoseconds: self.loop.nowNanoseconds - stream.startedNanoseconds)
        if self.loop.observation.reportsEnds { self.reportEnd(of: stream, code) }
        if stream.reportsEnd {
            stream.reportsEnd = false
            self.loop.handler.callEnded(stream.token, code)
        }
        self.markDirty()
    }

    private func submitTrailersOnly(_ stream: RPCStream, _ headers: HeaderList) {
        headers.withFields { _ = nghttp2_submit_response(self.session, stream.id, $0, $1, nil) }
    }

    /// Gives the headers of a response to nghttp2, which asks for its bytes when they have left.
    func submitResponse(_ stream: RPCStream) {
        // SAFETY: the loop's table owns the stream for the life of the loop, and nghttp2 drops the
        // pointer with its HTTP/2 stream. nghttp2 copies the provider and the fields' descriptors.
        var provider = nghttp2_data_provider(
            source: nghttp2_data_source(ptr: Unmanaged.passUnretained(stream).toOpaque()),
            read_callback: SessionSettings.readOutput)
        let fields = StaticHeaders.shared.response
        nghttp2_submit_response(
            self.session, stream.id, fields.baseAddress, fields.count, &provider)
    }
}

/// What became of a message for a stream.
package enum SendOutcome: Equatable, Sendable {
    case sent
    /// The peer does not read as fast as this: nothing was taken. `RPCHandler.becameWritable` says
    /// when to try again.
    case full
    /// The call has ended.
    case gone
}
