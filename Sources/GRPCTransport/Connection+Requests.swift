import Bytes
import CNGHTTP2

extension Connection {
    /// Storage for messages that a request stream keeps, in bytes.
    private static let messageBytesKept = 64 << 10
    private static let encodingText = "this compression is not supported, identity is"

    /// One whole frame of the peer.
    // SAFETY: nghttp2 owns the frame and keeps it for this call only; nothing here keeps the
    // pointer, and the union is read as its type says.
    func frameReceived(_ frame: UnsafePointer<nghttp2_frame>) {
        self.machine.frameReceived()
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
                let isQueued = self.endRequest(of: stream, flags: frame.pointee.hd.flags)
                // A whole request is dispatched before more is read: it needs no share.
                if !isQueued { self.recharge(stream) }
            }
        case NGHTTP2_RST_STREAM.rawValue:
            self.machine.streamReset(nowNanoseconds: self.loop.nowNanoseconds)
        case NGHTTP2_PING.rawValue: self.pingReceived(frame)
        case NGHTTP2_SETTINGS.rawValue:
            self.settingsReceived(frame.pointee.settings)
            fallthrough
        case NGHTTP2_WINDOW_UPDATE.rawValue:
            // A window may be open that kept a stream from sending.
            self.loop.hasDrained = true
        default: break
        }
    }

    // SAFETY: nghttp2 gives as many entries as it says, for this call.
    private func settingsReceived(_ settings: nghttp2_settings) {
        for index in 0 ..< settings.niv {
            let id = settings.iv[index].settings_id
            if id == Int32(NGHTTP2_SETTINGS_HEADER_TABLE_SIZE.rawValue) {
                self.owesTableSize = true
            }
        }
    }

    /// Decides on a call from its headers, before any body is buffered.
    private func headersComplete(_ stream: RPCStream) {
        let loop = self.loop
        stream.method = self.head.method
        stream.encoding = self.head.encoding
        guard !self.head.hasConflictingHost else {
            // Malformed, which is a stream error (RFC 9113, section 8.3.1).
            return self.reset(stream, NGHTTP2_PROTOCOL_ERROR)
        }
        loop.metrics.started(method: stream.method)
        if self.head.trace.isPresent || loop.observation.sampledMillionths > 0 {
            self.beginTrace(of: stream)
        }
        guard self.head.bytes <= loop.limits.headerBytesMax else {
            return self.finish(
                stream,
                loop.handler.headersTooLarge(
                    bytes: self.head.bytes, maximum: loop.limits.headerBytesMax))
        }
        guard self.head.isPOST else { return self.rejectHTTP(stream, "405") }
        guard self.head.contentType == .grpc else { return self.rejectHTTP(stream, "415") }
        guard let method = stream.method else {
            return self.finish(stream, RPCStatus(.unimplemented, "unknown service or method"))
        }
        guard !self.head.hasInvalidTimeout else {
            return self.finish(
                stream, RPCStatus(.internalError, "grpc-timeout is not 1 to 8 digits and a unit"))
        }
        guard self.head.encoding != .unknown else {
            return self.finish(
                stream, RPCStatus(.unimplemented, Self.encodingText), listsEncodings: true)
        }
        self.accept(stream, method)
    }

    /// Gives a call whose headers are good to the handler.
    private func accept(_ stream: RPCStream, _ method: Int) {
        let loop = self.loop
        if let timeout = self.head.timeoutNanoseconds {
            let (due, overflow) = loop.nowNanoseconds.addingReportingOverflow(timeout)
            stream.deadlineNanoseconds = overflow ? .max : due
            guard !loop.hasPassed(stream.deadlineNanoseconds) else {
                return self.finish(stream, Self.deadlineStatus)
            }
        }
        let credentials = self.head.authorization.bytes
        switch loop.handler.admit(loop.call(of: stream), credentials: credentials) {
        case .accepted: break
        case .counted: stream.reportsEnd = true
        case .rejected(let status): return self.finish(stream, status)
        case .rejectedLater(let status): return loop.rejectLater(stream, status)
        }
        self.hasAcceptedCalls = true
        let isRequestStream = loop.methods.methods[method].streamsRequests
        stream.machine.accept(
            streamsRequests: isRequestStream,
            streamsResponses: loop.methods.methods[method].streamsResponses)
        // A request stream may rest before and between its messages: `watchBody` bounds the time
        // inside one.
        let bodyDue = isRequestStream ? .max : loop.nowNanoseconds + loop.limits.bodyNanoseconds
        loop.schedule(stream, at: min(stream.deadlineNanoseconds, bodyDue))
    }

    /// Cuts bytes into messages and delivers them until the handler pauses or the call ends.
    ///
    /// - Returns: How many bytes were taken: decoded, or kept within the message limit.
    func deliver(_ bytes: UnsafeRawBufferPointer, to stream: RPCStream) -> Int {
        var rest = bytes
        var hasDelivered = false
        defer { self.watchBody(of: stream, hasDelivered: hasDelivered) }
        while stream.machine.isLive, !stream.flow.isPaused {
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

    /// Ends a call whose bytes are not messages.
    private func reject(_ stream: RPCStream, _ event: MessageDeframer.Event) {
        switch event {
        case .tooLarge(let size):
            self.failRequests(
                of: stream,
                self.loop.handler.messageTooLarge(
                    bytes: size, maximum: self.loop.limits.messageBytesMax))
        case .compressed where stream.encoding == .identity:
            self.failRequests(
                of: stream,
                RPCStatus(.internalError, "a compressed message without grpc-encoding"))
        case .compressed:
            self.failRequests(
                of: stream, RPCStatus(.unimplemented, Self.encodingText), listsEncodings: true)
        case .invalidFlag(let flag):
            self.failRequests(
                of: stream,
                RPCStatus(.internalError, "a message flag of \(flag), 0 or 1 is allowed"))
        case .needsMore, .message: break
        }
    }

    private func message(of stream: RPCStream) {
        switch stream.machine.message() {
        case .keep: break
        case .deliver where self.loop.hasPassed(stream.deadlineNanoseconds):
            self.endAtDeadline(stream)
            stream.message.removeAll()
        case .deliver:
            self.loop.metrics.messageReceived()
            self.gate.budget.earnProgress()
            self.loop.handler.receive(stream.message.bytes, of: self.loop.call(of: stream))
            stream.message.removeAll()
            // What one large message took is not kept for the life of a stream.
            stream.message.shrink(toCapacity: Self.messageBytesKept)
        case .reject(let status): self.cancel(stream, status)
        case .ignore: stream.message.removeAll()
        }
    }

    /// Takes the end of a request, if the frame has one.
    ///
    /// - Returns: Whether the request is whole and waits for `begin`.
    @discardableResult
    private func endRequest(of stream: RPCStream, flags: UInt8) -> Bool {
        guard flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 else { return false }
        if stream.machine.streamsRequests {
            switch stream.flow.end() {
            case .deliver: self.requestsEnd(of: stream)
            case .hold: break
            case .discard: _ = stream.machine.endOfRequest(isBetweenMessages: true)
            }
            return false
        }
        switch stream.machine.endOfRequest(isBetweenMessages: stream.deframer.isBetweenMessages) {
        case .dispatch:
            self.loop.wholeRequests.append(stream)
            return true
        case .reject(let status): self.cancel(stream, status)
        case .ended, .ignore: break
        }
        return false
    }

    /// Begins a call whose request became whole, as far as there is time and headroom for it.
    func begin(_ stream: RPCStream) {
        guard stream.machine.isLive else { return }
        guard !self.loop.hasPassed(stream.deadlineNanoseconds) else {
            return self.endAtDeadline(stream)
        }
        self.gate.budget.earnProgress()
        self.loop.schedule(stream, at: stream.deadlineNanoseconds)
        if self.mayBeginCalls {
            self.dispatch(stream)
        } else {
            self.loop.deferDispatch(of: stream)
            self.recharge(stream)
        }
    }

    /// Whether responses, those of the calls under way included, leave headroom for another call.
    ///
    /// A connection that reads keeps one call at a time while others of its peer do not.
    var mayBeginCalls: Bool {
        let own = self.pendingResponseBytes + self.reservedResponseBytes
        return own < self.loop.limits.outputBytesPerConnectionMax
            && (own == 0 || self.peer.pendingResponseBytes < self.loop.limits.outputBytesPerPeerMax)
    }

    /// What a response needs beside what grows with its request, in bytes.
    private static let responseBytesMin = 256

    /// Gives the message of a unary call to the handler.
    ///
    /// Headroom for its response is reserved until the call ends: a write must not enter the log
    /// and then find none. Responses to writes grow with the writes, so the size of the request is
    /// the measure: an eighth of it, so that a connection may have as many bytes of requests under
    /// way as it may have unfinished.
    func dispatch(_ stream: RPCStream) {
        stream.reservedResponseBytes = stream.message.count / 8 + Self.responseBytesMin
        self.reservedResponseBytes += stream.reservedResponseBytes
        self.loop.metrics.messageReceived()
        self.loop.handler.receive(stream.message.bytes, of: self.loop.call(of: stream))
        stream.message.removeAll()
        stream.message.shrink(toCapacity: Self.messageBytesKept)
        self.recharge(stream)
    }

    /// A stream's time is over: its deadline, or the wait for its body.
    func timeExpired(_ stream: RPCStream) {
        guard self.loop.nowNanoseconds < stream.deadlineNanoseconds else {
            return self.endAtDeadline(stream)
        }
        let bodySeconds = self.loop.limits.bodyNanoseconds / 1_000_000_000
        let status = RPCStatus(.cancelled, "the request was not complete after \(bodySeconds) s")
        if !self.leaveEnd(of: stream, with: status) { self.endInTime(stream, status) }
    }

    // MARK: Floods

    /// Empty DATA frames cost the peer nothing and us a callback (A6).
    private func countEmptyData(_ stream: RPCStream, _ frame: UnsafePointer<nghttp2_frame>) {
        guard frame.pointee.hd.length == 0,
            frame.pointee.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) == 0
        else { return }
        stream.emptyDataFrames += 1
        guard stream.emptyDataFrames > self.loop.limits.emptyDataFramesMax else { return }
        self.reset(stream, NGHTTP2_ENHANCE_YOUR_CALM)
        self.machine.streamReset(nowNanoseconds: self.loop.nowNanoseconds)
    }

    private func pingReceived(_ frame: UnsafePointer<nghttp2_frame>) {
        if frame.pointee.hd.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0 {
            // The PING of a shutdown: the client has seen its announcement.
            return self.finishDrain()
        }
        self.machine.pingReceived(nowNanoseconds: self.loop.nowNanoseconds)
    }
}
