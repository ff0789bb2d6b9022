import Bytes
import CNGHTTP2

extension Connection {
    /// Queues the only message of a call and the OK trailers behind it, or ends the call with the
    /// status that `body` returns.
    ///
    /// Budget: no allocation in the steady state, no copy of the message.
    func respond(on stream: RPCStream, writing body: (inout ByteBuffer) -> RPCStatus?) {
        let start = stream.output.count
        Self.beginMessage(&stream.output)
        let rejection = body(&stream.output)
        let framedBytes = stream.output.count - start
        guard rejection == nil, self.hasHeadroom(forBytes: framedBytes) else {
            stream.output.truncate(to: start)
            return self.finish(
                stream,
                rejection
                    ?? RPCStatus(
                        .resourceExhausted,
                        "too many unread responses wait on this connection"))
        }
        let action = stream.machine.send()
        _ = stream.machine.finish()
        stream.endsWithOK = true
        self.endMessage(from: start, on: stream, action)
        self.ended(stream, code: .ok)
    }

    /// Queues one message of a response stream.
    ///
    /// Budget: one copy, no allocation in the steady state.
    func send(_ message: UnsafeRawBufferPointer, on stream: RPCStream) -> SendOutcome {
        let framedBytes = message.count + Self.prefixBytes
        // The limits guard against readers that do not read: a single message always fits an empty
        // stream on an empty connection.
        guard self.hasHeadroom(forBytes: framedBytes),
            stream.pendingOutputBytes == 0
                || stream.pendingOutputBytes + framedBytes
                    <= self.loop.limits.outputBytesPerStreamMax
        else {
            self.loop.awaitWritable(stream)
            return .full
        }
        return self.queue(on: stream) { $0.append(message) }
    }

    /// Queues one message of a response stream that `body` appends.
    func send(on stream: RPCStream, writing body: (inout ByteBuffer) -> Void) -> SendOutcome {
        guard self.hasHeadroom(forBytes: 1),
            stream.pendingOutputBytes < self.loop.limits.outputBytesPerStreamMax
        else {
            self.loop.awaitWritable(stream)
            return .full
        }
        return self.queue(on: stream, body)
    }

    @inline(__always)
    private func queue(on stream: RPCStream, _ body: (inout ByteBuffer) -> Void) -> SendOutcome {
        let action = stream.machine.send()
        guard action != .ignore else { return .gone }
        let start = stream.output.count
        Self.beginMessage(&stream.output)
        body(&stream.output)
        self.endMessage(from: start, on: stream, action)
        self.markDirty()
        return .sent
    }

    /// Bytes of the prefix of a message: not compressed, and a big-endian length.
    private static let prefixBytes = 1 + 4

    /// Appends the prefix of a message whose length is not known yet.
    @inline(__always)
    private static func beginMessage(_ output: inout ByteBuffer) {
        output.append(UInt8(0))
        output.append(UInt32(0))
    }

    /// Completes the prefix of the message at `start` and gives the message to nghttp2.
    @inline(__always)
    private func endMessage(
        from start: Int, on stream: RPCStream, _ action: RPCStreamStateMachine.OnSend
    ) {
        let framedBytes = stream.output.count - start
        stream.output.patch(UInt32(framedBytes - Self.prefixBytes).bigEndian, at: start + 1)
        self.pendingResponseBytes += framedBytes
        self.loop.pendingResponseBytes += framedBytes
        self.loop.metrics.messageSent()
        if action == .startAndSend { self.submitResponse(stream) } else { self.resume(stream) }
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
    /// - Parameter listsEncodings: It is refused for its compression, and the client is told which
    ///   there are (G33).
    func finish(_ stream: RPCStream, _ status: RPCStatus, listsEncodings: Bool = false) {
        switch stream.machine.finish() {
        case .trailersOnly:
            var headers = HeaderList()
            headers.add(":status", "200")
            headers.add("content-type", "application/grpc")
            if listsEncodings { headers.add("grpc-accept-encoding", "identity") }
            headers.add(status)
            self.submitTrailersOnly(stream, headers)
        case .trailersAfterMessages:
            stream.trailers = status
            self.resume(stream)
        case .ignore: return
        }
        self.ended(stream, code: status.code)
    }

    /// Refuses what is not gRPC, with an HTTP status and no gRPC status (G4-G7).
    func rejectHTTP(_ stream: RPCStream, _ status: String) {
        guard stream.machine.finish() == .trailersOnly else { return }
        var headers = HeaderList()
        headers.add(":status", status)
        self.submitTrailersOnly(stream, headers)
        self.ended(stream, code: .unknown)
    }

    private func ended(_ stream: RPCStream, code: RPCStatusCode) {
        stream.isWithHandler = false
        self.dropHeld(of: stream)
        self.loop.wheel.cancel(stream.timer)
        self.loop.count(stream, code: code)
        self.markDirty()
    }

    private func submitTrailersOnly(_ stream: RPCStream, _ headers: HeaderList) {
        headers.withFields { _ = nghttp2_submit_response(self.session, stream.id, $0, $1, nil) }
    }

    private func submitResponse(_ stream: RPCStream) {
        var provider = nghttp2_data_provider(
            source: nghttp2_data_source(ptr: Unmanaged.passUnretained(stream).toOpaque()),
            read_callback: SessionSettings.readOutput)
        let fields = StaticHeaders.shared.response
        nghttp2_submit_response(
            self.session, stream.id, fields.baseAddress, fields.count, &provider)
    }

    private func resume(_ stream: RPCStream) {
        guard stream.isDeferred else { return }
        stream.isDeferred = false
        nghttp2_session_resume_data(self.session, stream.id)
    }

    /// Moves answers of a stream into a DATA frame; trailers follow the last.
    func fill(
        _ target: UnsafeMutableRawBufferPointer, from stream: RPCStream,
        flags: UnsafeMutablePointer<UInt32>
    ) -> Int {
        let count = min(target.count, stream.pendingOutputBytes)
        if count > 0 {
            target.copyMemory(
                from: UnsafeRawBufferPointer(
                    rebasing: stream.output.bytes[
                        stream.outputOffset ..< stream.outputOffset + count]))
            stream.outputOffset += count
            self.pendingResponseBytes -= count
            self.loop.pendingResponseBytes -= count
            self.loop.hasDrained = true
        }
        guard stream.pendingOutputBytes == 0 else { return count }
        stream.output.removeAll()
        stream.outputOffset = 0
        if stream.endsWithOK {
            flags.pointee |=
                NGHTTP2_DATA_FLAG_EOF.rawValue | NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
            let fields = StaticHeaders.shared.trailersOK
            nghttp2_submit_trailer(self.session, stream.id, fields.baseAddress, fields.count)
        } else if let status = stream.trailers {
            flags.pointee |=
                NGHTTP2_DATA_FLAG_EOF.rawValue | NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
            var headers = HeaderList()
            headers.add(status)
            headers.withFields { _ = nghttp2_submit_trailer(self.session, stream.id, $0, $1) }
        } else if count == 0 {
            stream.isDeferred = true
            return Int(NGHTTP2_ERR_DEFERRED.rawValue)
        }
        return count
    }
}

/// What became of a message for a stream.
package enum SendOutcome: Equatable, Sendable {
    case sent
    /// The peer does not read as fast as this: nothing was taken. `RPCHandler.hasHeadroom` tells
    /// when to try again.
    case full
    /// The call has ended.
    case gone
}
