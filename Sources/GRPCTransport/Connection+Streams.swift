import Bytes
import CNGHTTP2

// Calls with several requests: what the handler does not take is held here, and the peer's window
// stays shut by as much (C16).

extension Connection {
    /// Bytes of a request's body, in any cut.
    ///
    /// Both windows, the stream's and the connection's, open only by what was taken; the stream's
    /// not even by that while its message waits for its share of the budget. The connection's
    /// window is larger than all that its streams can hold, so it never keeps one of them from
    /// finishing.
    ///
    /// - Parameter isOfLastFrame: Nothing follows on the stream, whose window may stay as it is.
    func data(stream id: Int32, _ bytes: UnsafeRawBufferPointer, isOfLastFrame: Bool) {
        var taken = bytes.count
        var isWithheld = false
        self.withStream(id) { stream in
            stream.requestBytes += bytes.count
            taken = self.take(bytes, of: stream)
            isWithheld = stream.charge.isWaiting && stream.machine.isLive
            if isWithheld { stream.charge.withhold(taken) }
        }
        guard isWithheld || isOfLastFrame else { return self.consume(taken, of: id) }
        if taken > 0 { nghttp2_session_consume_connection(self.session, taken) }
    }

    /// Delivers what may go up and holds the rest.
    ///
    /// - Returns: How many bytes the windows may open by.
    private func take(_ bytes: UnsafeRawBufferPointer, of stream: RPCStream) -> Int {
        guard stream.machine.isLive else { return bytes.count }
        let arrival = stream.flow.bytes()
        guard arrival != .discard else { return bytes.count }
        self.gate.budget.earn(bytes: bytes.count)
        guard arrival == .deliver else {
            stream.held.append(bytes)
            return 0
        }
        let taken = self.deliver(bytes, to: stream)
        guard taken < bytes.count, stream.machine.isLive, stream.flow.bytes() != .discard else {
            return bytes.count
        }
        stream.held.append(UnsafeRawBufferPointer(rebasing: bytes[taken...]))
        return taken
    }

    /// Delivers what was held of a resumed stream.
    func deliverHeld(of stream: RPCStream) {
        guard !stream.flow.isPaused, stream.machine.isLive else { return }
        let waiting = stream.held.count
        let taken = self.deliver(stream.held.bytes, to: stream)
        // A call that ended meanwhile has dropped and consumed all of it: see `dropHeld`.
        guard stream.held.count == waiting, stream.machine.isLive else { return }
        stream.held.consume(taken)
        self.consume(taken, of: stream.id)
        self.recharge(stream)
        self.markDirty()
        if stream.flow.delivered() == .end { self.requestsEnd(of: stream) }
    }

    /// Drops what is held of a call that has ended.
    func dropHeld(of stream: RPCStream) {
        self.consume(stream.held.count, of: stream.id)
        // A call that has ended may wait long for its response to be read.
        stream.held.reset(keepingCapacity: RPCStream.bytesKept)
        stream.message.removeAll()
        stream.message.shrink(toCapacity: RPCStream.bytesKept)
        self.recharge(stream)
    }

    /// The last message of a request stream was delivered.
    func requestsEnd(of stream: RPCStream) {
        switch stream.machine.endOfRequest(isBetweenMessages: stream.deframer.isBetweenMessages) {
        case .ended:
            self.loop.schedule(stream, at: stream.deadlineNanoseconds)
            self.loop.handler.requestsEnded(of: self.loop.call(of: stream))
        case .reject(let status): self.failRequests(of: stream, status)
        case .dispatch, .ignore: break
        }
    }

    /// Ends a call for what is wrong with its requests.
    ///
    /// One that streams them ends behind the responses to those that came before: their writes may
    /// be in the log, and have responses. Nothing of its requests is kept meanwhile.
    func failRequests(of stream: RPCStream, _ status: RPCStatus, listsEncodings: Bool = false) {
        if !self.leaveEnd(of: stream, with: status) {
            self.cancel(stream, status, listsEncodings: listsEncodings)
        }
    }

    /// As above, if the handler has requests of the call to respond to.
    ///
    /// - Returns: Whether the handler ends the call.
    func leaveEnd(of stream: RPCStream, with status: RPCStatus) -> Bool {
        guard stream.machine.isLive, stream.machine.streamsRequests,
            self.loop.handler.requestsFailed(of: self.loop.call(of: stream), with: status)
        else { return false }
        // It may have responded to all of them.
        guard stream.machine.isLive else { return true }
        stream.flow.fail()
        stream.deframer = MessageDeframer()
        self.dropHeld(of: stream)
        self.loop.schedule(stream, at: stream.deadlineNanoseconds)
        self.markDirty()
        return true
    }

    /// Bounds the time that one message of a request stream may take; between messages a stream may
    /// rest as long as it likes (A13).
    func watchBody(of stream: RPCStream, hasDelivered: Bool) {
        let action = stream.machine.bodyTaken(
            isInsideMessage: !stream.deframer.isBetweenMessages && !stream.flow.isPaused,
            hasDelivered: hasDelivered)
        switch action {
        case .startTimer:
            let bodyDue = self.loop.nowNanoseconds + self.loop.limits.bodyNanoseconds
            self.loop.schedule(stream, at: min(stream.deadlineNanoseconds, bodyDue))
        case .stopTimer: self.loop.schedule(stream, at: stream.deadlineNanoseconds)
        case .ignore: break
        }
    }

    /// Whether a stream that was told `.full` may send again: half of every limit is free, so that
    /// it is not notified for each message.
    func isWritable(for stream: RPCStream) -> Bool {
        let limits = self.loop.limits
        return stream.output.count < self.remoteWindow(of: stream)
            && stream.output.count <= limits.outputBytesPerStreamMax / 2
            && self.pendingResponseBytes <= limits.outputBytesPerConnectionMax / 2
            && self.loop.pendingResponseBytes <= limits.outputBytesMax / 2
    }

    private func consume(_ count: Int, of id: Int32) {
        guard count > 0 else { return }
        nghttp2_session_consume(self.session, id, count)
    }
}
