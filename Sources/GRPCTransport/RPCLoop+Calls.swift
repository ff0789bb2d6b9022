import Bytes

// Calls by their tokens: how the handler responds to them. Streams are reached without counting a
// reference (see `RPCStream`).

extension RPCLoop {
    /// Whether the call still waits for its response.
    package func isOpen(_ token: CallToken) -> Bool {
        self.stream(of: token) != nil
    }

    /// Responds to a call with one message and OK; a call that has ended meanwhile is counted and
    /// dropped.
    package func respond(to token: CallToken, message: UnsafeRawBufferPointer) {
        guard let stream = self.stream(of: token) else { return self.metrics.lateResponse() }
        stream._withUnsafeGuaranteedRef { stream in
            stream.withConnection { $0.respond(on: stream) { $0.append(message) } }
        }
    }

    /// Responds to a call with the message that `body` appends, and OK.
    ///
    /// `body` writes behind what the stream's output already holds: it may only append to the
    /// buffer and patch what it appended, and must not call the loop. It is not called when the
    /// call has ended meanwhile, which is counted.
    ///
    /// Budget: no allocation, no copy of the message.
    package func respond(to token: CallToken, writing body: (inout ByteBuffer) -> Void) {
        guard let stream = self.stream(of: token) else { return self.metrics.lateResponse() }
        stream._withUnsafeGuaranteedRef { stream in
            stream.withConnection { $0.respond(on: stream, writing: body) }
        }
    }

    /// Responds to a call with the message that `body` appends and OK, or ends it with the status
    /// that `body` returns; whatever it appended is dropped then.
    ///
    /// What `body` may do: see `respond(to:writing:)`.
    package func respondOrReject(
        to token: CallToken, writing body: (inout ByteBuffer) -> RPCStatus?
    ) {
        guard let stream = self.stream(of: token) else { return self.metrics.lateResponse() }
        stream._withUnsafeGuaranteedRef { stream in
            stream.withConnection { $0.respondOrReject(on: stream, writing: body) }
        }
    }

    /// Sends one message of a response stream.
    package func send(_ message: UnsafeRawBufferPointer, to token: CallToken) -> SendOutcome {
        guard let stream = self.stream(of: token) else {
            self.metrics.lateResponse()
            return .gone
        }
        return stream._withUnsafeGuaranteedRef { stream in
            stream.withConnection { $0.send(message, on: stream) }
        }
    }

    /// Sends the message that `body` appends to a response stream.
    ///
    /// `body` is called only when the message will be taken: `.full` and `.gone` are known before.
    /// As its size is not, a stream may exceed its limit by one message. What `body` may do: see
    /// `respond(to:writing:)`.
    package func send(to token: CallToken, writing body: (inout ByteBuffer) -> Void) -> SendOutcome
    {
        guard let stream = self.stream(of: token) else {
            self.metrics.lateResponse()
            return .gone
        }
        return stream._withUnsafeGuaranteedRef { stream in
            stream.withConnection { $0.send(on: stream, writing: body) }
        }
    }

    /// Ends a call with a status.
    package func finish(_ token: CallToken, with status: RPCStatus) {
        guard let stream = self.stream(of: token) else { return self.metrics.lateResponse() }
        stream._withUnsafeGuaranteedRef { stream in
            stream.withConnection { $0.finish(stream, status) }
        }
    }

    /// Counts what the handler keeps of a call's response while it is not complete, until the call
    /// ends; each time all of it.
    package func keep(responseBytes: Int, of token: CallToken) {
        self.stream(of: token)?._withUnsafeGuaranteedRef { stream in
            stream.withConnection { $0.keep(responseBytes: responseBytes, of: stream) }
        }
    }

    /// Whether connection, peer and loop have headroom for more of a response that is not complete.
    package func mayKeepMore(of token: CallToken) -> Bool {
        self.stream(of: token)?._withUnsafeGuaranteedRef { stream in
            stream.withConnection { $0.mayKeepMore(of: stream) }
        } ?? true
    }

    /// Where a call comes from; `nil` if it has ended.
    package func peerAddress(of token: CallToken) -> PeerAddress? {
        self.stream(of: token)?._withUnsafeGuaranteedRef { stream in
            stream.withConnection { $0.peer.address }
        }
    }

    /// The stream of a token; `nil` if its call has ended.
    // SAFETY: the loop's table owns every stream until the loop's deinit; the slot is checked
    // against the table, and the token against the call that the stream now serves.
    func stream(of token: CallToken) -> Unmanaged<RPCStream>? {
        guard Int(token.streamSlot) < self.streams.count else { return nil }
        let stream = self.streams[Int(token.streamSlot)]
        let isCurrent = stream._withUnsafeGuaranteedRef {
            #if CANARIES
                if Canary.generationUnchecked.isActive { return $0.machine.isLive }
            #endif
            return $0.machine.isLive && $0.token == token
        }
        return isCurrent ? stream : nil
    }

    /// What the handler learns of a stream's call.
    func call(of stream: RPCStream) -> RPCCall {
        RPCCall(
            token: stream.token, method: stream.method ?? 0,
            deadlineNanoseconds: stream.deadlineNanoseconds)
    }

    // MARK: Streams

    var openStreams: Int { self.streams.count - self.freeStreams.count }

    /// Whether one more stream may be opened.
    var mayOpenStream: Bool { self.openStreams < self.limits.streamsMax }

    /// A stream that no call uses.
    // SAFETY: as in `stream(of:)`, the table owns what is in the pool.
    func takeStream() -> Unmanaged<RPCStream> {
        if let stream = self.freeStreams.popLast() { return stream }
        let stream = RPCStream(slot: UInt32(self.streams.count))
        // SAFETY: the stream owns its timer, and the loop's table, which is given the one counted
        // reference here, owns the stream until the loop's deinit: no timer fires after that.
        stream.timer.fire = { [unowned(unsafe) stream] in
            stream.withConnection { $0.timeExpired(stream) }
        }
        let kept = Unmanaged.passRetained(stream)
        self.streams.append(kept)
        return kept
    }

    /// Idle streams that keep their buffers: as many as a busy loop has open at once. Those beyond
    /// it are left by a burst of connections.
    private static let streamsWithBuffersMax = 2_048

    /// Returns a stream to the pool whose HTTP/2 stream is gone.
    func giveBack(_ stream: RPCStream) {
        stream.reset(isSpare: self.freeStreams.count >= Self.streamsWithBuffersMax)
        // SAFETY: the table keeps the one counted reference.
        self.freeStreams.append(Unmanaged.passUnretained(stream))
    }

    func schedule(_ stream: RPCStream, at nanoseconds: UInt64) {
        if nanoseconds == .max {
            self.wheel.cancel(stream.timer)
        } else {
            self.wheel.schedule(stream.timer, atNanoseconds: nanoseconds)
        }
    }
}
