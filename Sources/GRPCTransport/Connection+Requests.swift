import Bytes
import CNGHTTP2

extension Connection {
    /// Storage for messages that a request stream keeps, in bytes.
    private static let messageBytesKept = 64 << 10
    private static let encodingText = "this compression is not supported, identity is"

    /// One whole frame of the peer.
    func frameReceived(_ frame: UnsafePointer<nghttp2_frame>) {
        self.hasPreface = true
        switch UInt32(frame.pointee.hd.type) {
        case NGHTTP2_HEADERS.rawValue:
            self.withStream(frame.pointee.hd.stream_id) { stream in
                // Trailers of a request (G27) only end it.
                if frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST {
                    self.headersComplete(stream)
                }
                self.endRequest(of: stream, flags: frame.pointee.hd.flags)
            }
        case NGHTTP2_DATA.rawValue:
            self.withStream(frame.pointee.hd.stream_id) { stream in
                self.countEmptyData(stream, frame)
                self.endRequest(of: stream, flags: frame.pointee.hd.flags)
            }
        case NGHTTP2_RST_STREAM.rawValue: self.countReset()
        case NGHTTP2_PING.rawValue: self.pingReceived(frame)
        case NGHTTP2_SETTINGS.rawValue, NGHTTP2_PRIORITY.rawValue, NGHTTP2_WINDOW_UPDATE.rawValue:
            self.countControlFrame()
        default: break
        }
    }

    /// Decides on a call from its headers, before any body is buffered.
    private func headersComplete(_ stream: RPCStream) {
        let loop = self.loop
        let head = stream.head.method
        loop.metrics.started(method: head)
        guard stream.head.bytes <= loop.limits.headerBytesMax else {
            return self.finish(
                stream,
                RPCStatus(
                    .resourceExhausted,
                    "request headers of \(stream.head.bytes) bytes, at most "
                        + "\(loop.limits.headerBytesMax)"
                ))
        }
        guard stream.head.isPOST else { return self.rejectHTTP(stream, "405") }
        guard stream.head.contentType == .grpc else { return self.rejectHTTP(stream, "415") }
        guard let method = stream.head.method else {
            return self.finish(stream, RPCStatus(.unimplemented, "unknown service or method"))
        }
        guard !stream.head.hasInvalidTimeout else {
            return self.finish(
                stream, RPCStatus(.internalError, "grpc-timeout is not 1 to 8 digits and a unit"))
        }
        guard stream.head.encoding != .unknown else {
            return self.finish(
                stream, RPCStatus(.unimplemented, Self.encodingText), listsEncodings: true)
        }
        stream.machine = RPCStreamStateMachine(
            streamsRequests: loop.methods.methods[method].streamsRequests)
        if let timeout = stream.head.timeoutNanoseconds {
            let (due, overflow) = loop.nowNanoseconds.addingReportingOverflow(timeout)
            stream.deadlineNanoseconds = overflow ? .max : due
        }
        // A request stream may rest before and between its messages: `watchBody` bounds the time
        // inside of one.
        let isStream = loop.methods.methods[method].streamsRequests
        let bodyDue = isStream ? .max : loop.nowNanoseconds + loop.limits.bodyNanoseconds
        loop.schedule(stream, at: min(stream.deadlineNanoseconds, bodyDue))
        guard !loop.isHealth(method: method) else { return }
        stream.isWithHandler = true
        if let status = loop.handler.admit(loop.call(of: stream)) { self.finish(stream, status) }
    }

    /// Cuts bytes into messages and gives them on until the handler pauses or the call ends.
    ///
    /// - Returns: How many bytes were taken: decoded, or kept within the message limit.
    func deliver(_ bytes: UnsafeRawBufferPointer, to stream: RPCStream) -> Int {
        var rest = bytes
        var hasDelivered = false
        defer { self.watchBody(of: stream, hasDelivered: hasDelivered) }
        while stream.machine.awaitsResponse, !stream.flow.isPaused {
            let event = stream.deframer.next(
                &rest, into: &stream.message, messageBytesMax: self.loop.limits.messageBytesMax)
            switch event {
            case .needsMore: return bytes.count
            case .message:
                self.message(of: stream)
                hasDelivered = true
                if rest.isEmpty { return bytes.count }
            case .tooLarge, .compressed, .invalidFlag: self.reject(stream, event)
            }
        }
        return bytes.count - rest.count
    }

    /// Ends a call whose bytes are no messages.
    private func reject(_ stream: RPCStream, _ event: MessageDeframer.Event) {
        switch event {
        case .tooLarge(let size):
            self.reject(
                stream,
                RPCStatus(
                    .resourceExhausted,
                    "a message of \(size) bytes, at most \(self.loop.limits.messageBytesMax) are "
                        + "allowed"
                ))
        case .compressed where stream.head.encoding == .identity:
            self.reject(
                stream, RPCStatus(.internalError, "a compressed message without grpc-encoding"))
        case .compressed:
            self.reject(stream, RPCStatus(.unimplemented, Self.encodingText), listsEncodings: true)
        case .invalidFlag(let flag):
            self.reject(
                stream, RPCStatus(.internalError, "a message flag of \(flag), 0 or 1 is allowed"))
        case .needsMore, .message: break
        }
    }

    private func message(of stream: RPCStream) {
        switch stream.machine.message() {
        case .keep: break
        case .deliver:
            self.loop.metrics.messageReceived()
            self.loop.handler.receive(stream.message.bytes, of: self.loop.call(of: stream))
            stream.message.removeAll()
            // What one large message took is not kept for the life of a stream.
            stream.message.shrink(toCapacity: Self.messageBytesKept)
        case .reject(let status): self.reject(stream, status)
        case .ignore: stream.message.removeAll()
        }
    }

    private func endRequest(of stream: RPCStream, flags: UInt8) {
        guard flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 else { return }
        if stream.machine.streamsRequests {
            if stream.flow.end() == .deliver { self.requestsEnd(of: stream) }
            return
        }
        switch stream.machine.endOfRequest(isBetweenMessages: stream.deframer.isBetweenMessages) {
        case .dispatch:
            self.loop.metrics.messageReceived()
            self.loop.schedule(stream, at: stream.deadlineNanoseconds)
            if let method = stream.head.method, self.loop.isHealth(method: method) {
                self.respondToHealth(stream, method: method)
            } else {
                self.loop.handler.receive(stream.message.bytes, of: self.loop.call(of: stream))
            }
        case .reject(let status): self.finish(stream, status)
        case .ended, .ignore: break
        }
    }

    /// A stream's time is over: its deadline, or the wait for its body.
    func timeExpired(_ stream: RPCStream) {
        let isDeadline = self.loop.nowNanoseconds >= stream.deadlineNanoseconds
        let wasWithHandler = stream.isWithHandler && stream.machine.awaitsResponse
        self.finish(
            stream,
            isDeadline
                ? RPCStatus(.deadlineExceeded, "the deadline has passed")
                : RPCStatus(
                    .cancelled,
                    "the request was not complete after "
                        + "\(self.loop.limits.bodyNanoseconds / 1_000_000_000) s"
                ))
        if wasWithHandler { self.loop.handler.cancelled(stream.token) }
        // Trailers would wait behind answers that the client does not read, perhaps for ever (G16).
        if stream.pendingOutputBytes > 0 {
            nghttp2_submit_rst_stream(
                self.session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, NGHTTP2_CANCEL.rawValue)
        }
        // A late answer must not find this call: its token dies here, the stream closes when
        // nghttp2 says so.
        stream.generation &+= 1
    }

    // MARK: Floods

    /// An RST_STREAM received, or provoked by an error of the peer (A1, A2).
    func countReset() {
        guard !self.resets.take(nowNanoseconds: self.loop.nowNanoseconds), self.closing == nil
        else { return }
        self.closing = .rapidReset
    }

    private func countControlFrame() {
        guard !self.controlFrames.take(nowNanoseconds: self.loop.nowNanoseconds),
            self.closing == nil
        else { return }
        self.closing = .controlFlood
    }

    /// Empty DATA frames cost the peer nothing and us a callback (A6).
    private func countEmptyData(_ stream: RPCStream, _ frame: UnsafePointer<nghttp2_frame>) {
        guard frame.pointee.hd.length == 0,
            frame.pointee.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) == 0
        else { return }
        stream.emptyDataFrames += 1
        guard stream.emptyDataFrames > self.loop.limits.emptyDataFramesMax else { return }
        nghttp2_submit_rst_stream(
            self.session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id,
            NGHTTP2_ENHANCE_YOUR_CALM.rawValue)
        self.countReset()
    }

    private func pingReceived(_ frame: UnsafePointer<nghttp2_frame>) {
        if frame.pointee.hd.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0 {
            return self.pingAcknowledged()
        }
        self.countControlFrame()
        let now = self.loop.nowNanoseconds
        let isEarly =
            self.lastPingNanoseconds != 0
            && now - self.lastPingNanoseconds < self.loop.limits.pingIntervalNanoseconds
        self.lastPingNanoseconds = now
        self.pingStrikes += isEarly ? 1 : 0
        if self.pingStrikes > self.loop.limits.pingStrikesMax, self.closing == nil {
            self.closing = .pings
        }
    }

    /// A frame of ours has left.
    func frameSent(_ frame: UnsafePointer<nghttp2_frame>) {
        switch UInt32(frame.pointee.hd.type) {
        case NGHTTP2_RST_STREAM.rawValue:
            // NO_ERROR and CANCEL are ours: an answer before the end of its request, a deadline.
            let code = frame.pointee.rst_stream.error_code
            if code != NGHTTP2_NO_ERROR.rawValue, code != NGHTTP2_CANCEL.rawValue {
                self.countReset()
            }
        case NGHTTP2_HEADERS.rawValue, NGHTTP2_DATA.rawValue:
            // A client that gets answers may well send pings and window updates beside each.
            self.pingStrikes = 0
            self.controlFrames.refill()
            self.closeUnendedRequest(frame)
        default: break
        }
    }

    /// The answer is complete and the client still sends: it is told to stop (G43).
    private func closeUnendedRequest(_ frame: UnsafePointer<nghttp2_frame>) {
        guard frame.pointee.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 else { return }
        self.withStream(frame.pointee.hd.stream_id) { stream in
            guard stream.machine.isRequestOpen else { return }
            nghttp2_submit_rst_stream(
                self.session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id,
                NGHTTP2_NO_ERROR.rawValue)
        }
    }
}
