import Bytes
import CNGHTTP2

// Calls with several requests: what the handler does not take waits here, and the peer's window
// stays shut by as much (C16).

extension Connection {
    /// Bytes of a request's body, in any cut.
    ///
    /// Both windows, the stream's and the connection's, open only by what was taken: paused streams
    /// hold at most `connectionWindowBytes` in one connection. The price is that a client which
    /// leaves many streams unread stalls itself.
    func data(stream id: Int32, _ bytes: UnsafeRawBufferPointer) {
        var taken = bytes.count
        self.withStream(id) { taken = self.take(bytes, of: $0) }
        self.consume(taken, of: id)
    }

    /// Delivers what may go up and holds the rest.
    ///
    /// - Returns: How many bytes the windows may open by.
    private func take(_ bytes: UnsafeRawBufferPointer, of stream: RPCStream) -> Int {
        guard stream.machine.awaitsResponse else { return bytes.count }
        guard stream.flow.bytes() == .deliver else {
            stream.held.append(bytes)
            return 0
        }
        let taken = self.deliver(bytes, to: stream)
        guard taken < bytes.count, stream.machine.awaitsResponse else { return bytes.count }
        stream.held.append(UnsafeRawBufferPointer(rebasing: bytes[taken...]))
        return taken
    }

    /// Gives a resumed stream's handler what has waited.
    func deliverHeld(of stream: RPCStream) {
        guard !stream.flow.isPaused, stream.machine.awaitsResponse else { return }
        let waiting = stream.heldBytes
        let taken = self.deliver(
            UnsafeRawBufferPointer(rebasing: stream.held.bytes[stream.heldOffset...]), to: stream)
        // A call that ended meanwhile has dropped and consumed all of it: see `dropHeld`.
        guard stream.heldBytes == waiting, stream.machine.awaitsResponse else { return }
        stream.heldOffset += taken
        if stream.heldBytes == 0 {
            stream.held.removeAll()
            stream.heldOffset = 0
        }
        self.consume(taken, of: stream.id)
        self.markDirty()
        if stream.flow.delivered() == .end { self.requestsEnd(of: stream) }
    }

    /// Forgets what waits of a call that has ended.
    func dropHeld(of stream: RPCStream) {
        self.consume(stream.heldBytes, of: stream.id)
        stream.held.removeAll()
        stream.heldOffset = 0
    }

    /// The handler of a request stream has heard the last message.
    func requestsEnd(of stream: RPCStream) {
        switch stream.machine.endOfRequest(isBetweenMessages: stream.deframer.isBetweenMessages) {
        case .ended:
            self.loop.schedule(stream, at: stream.deadlineNanoseconds)
            self.loop.handler.requestsEnded(of: self.loop.call(of: stream))
        case .reject(let status): self.reject(stream, status)
        case .dispatch, .ignore: break
        }
    }

    /// Ends a call for what its client sent; a handler that knows it already is told.
    func reject(_ stream: RPCStream, _ status: RPCStatus, listsEncodings: Bool = false) {
        let wasWithHandler =
            stream.isWithHandler && stream.machine.awaitsResponse && stream.machine.streamsRequests
        let token = stream.token
        self.finish(stream, status, listsEncodings: listsEncodings)
        if wasWithHandler { self.loop.handler.cancelled(token) }
    }

    /// Bounds the time that one message of a request stream may take; between messages a stream may
    /// rest as long as it likes (A13).
    func watchBody(of stream: RPCStream, hasDelivered: Bool) {
        guard stream.machine.streamsRequests, stream.machine.awaitsResponse else { return }
        let isInside = !stream.deframer.isBetweenMessages && !stream.flow.isPaused
        guard isInside != stream.isBodyDue || (isInside && hasDelivered) else { return }
        stream.isBodyDue = isInside
        let bodyDue = isInside ? self.loop.nowNanoseconds + self.loop.limits.bodyNanoseconds : .max
        self.loop.schedule(stream, at: min(stream.deadlineNanoseconds, bodyDue))
    }

    /// Whether a stream that was told `.full` may send again: half of every bound is free, so that
    /// it is not woken for each message.
    func isWritable(for stream: RPCStream) -> Bool {
        let limits = self.loop.limits
        return stream.pendingOutputBytes <= limits.outputBytesPerStreamMax / 2
            && self.pendingResponseBytes <= limits.outputBytesPerConnectionMax / 2
            && self.loop.pendingResponseBytes <= limits.outputBytesMax / 2
    }

    /// Tells the handler of every open stream that the server ends (C12); a watch would never end
    /// and gets its status at once.
    func drainStreams() {
        self.forEachStream { stream in
            if stream.watchedService != nil {
                self.finish(stream, RPCStatus(.unavailable, "the server is shutting down"))
            } else if stream.isWithHandler, self.loop.isStreaming(stream) {
                self.loop.handler.drain(stream.token)
            }
        }
    }

    private func consume(_ count: Int, of id: Int32) {
        guard count > 0 else { return }
        nghttp2_session_consume(self.session, id, count)
    }
}
