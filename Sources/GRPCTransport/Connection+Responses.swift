import Bytes
import CNGHTTP2

extension Connection {
    /// Queues one message; with `isLast` the OK trailers follow it.
    ///
    /// Budget: one copy, no allocation in the steady state.
    func send(_ message: UnsafeRawBufferPointer, on stream: RPCStream, isLast: Bool) -> SendOutcome
    {
        let framedBytes = message.count + 5
        let loop = self.loop
        // The limit guards against readers that do not read; a single answer always fits an empty
        // connection.
        if self.pendingResponseBytes > 0,
            self.pendingResponseBytes + framedBytes > loop.limits.outputBytesPerConnectionMax
                || loop.pendingResponseBytes + framedBytes > loop.limits.outputBytesMax
        {
            if isLast {
                self.finish(
                    stream,
                    RPCStatus(.resourceExhausted, "too many unread answers wait on this connection")
                )
            } else {
                loop.awaitWritable(stream)
            }
            return .full
        }
        // The bound of one stream: its handler waits for room and so does what feeds it.
        if !isLast, stream.pendingOutputBytes > 0,
            stream.pendingOutputBytes + framedBytes > loop.limits.outputBytesPerStreamMax
        {
            loop.awaitWritable(stream)
            return .full
        }
        let action = stream.machine.send()
        guard action != .ignore else { return .gone }
        stream.output.append(UInt8(0))
        stream.output.append(UInt32(message.count).bigEndian)
        stream.output.append(message)
        self.pendingResponseBytes += framedBytes
        loop.pendingResponseBytes += framedBytes
        loop.metrics.messageSent()
        if isLast {
            _ = stream.machine.finish()
            stream.endsWithOK = true
            stream.isWithHandler = false
            self.dropHeld(of: stream)
            loop.wheel.cancel(stream.timer)
            loop.count(stream, code: .ok)
        }
        if action == .startAndSend { self.submitResponse(stream) } else { self.resume(stream) }
        self.markDirty()
        return .sent
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
