import Bytes
import CNGHTTP2

// From the output of the streams to that of the connection, in the order that nghttp2 decides.
// A response's bytes are copied once here, and once more by the socket.

extension Connection {
    /// Takes frames from nghttp2 into `output` while it is below the tick's share.
    func collectOutput() {
        if nghttp2_session_get_outbound_queue_size(self.session)
            > self.loop.limits.outboundFramesMax
        {
            return self.machine.fail(.notReading)
        }
        while self.output.count < self.loop.limits.sendBytes {
            var bytes: UnsafePointer<UInt8>?
            let count = nghttp2_session_mem_send(self.session, &bytes)
            guard count > 0 else {
                if count < 0 { self.machine.fail(.protocolError) }
                break
            }
            // SAFETY: nghttp2's bytes are valid until its next call.
            self.output.append(UnsafeRawBufferPointer(start: bytes, count: count))
        }
        if nghttp2_session_want_read(self.session) == 0,
            nghttp2_session_want_write(self.session) == 0
        {
            self.machine.sessionEnded(nowNanoseconds: self.loop.nowNanoseconds)
        }
    }

    /// Forgets `count` bytes that the socket took.
    func didWrite(_ count: Int) {
        self.machine.outputTaken()
        self.output.consume(count)
    }

    /// nghttp2 asks for the payload of a DATA frame: how long it is and what follows it.
    ///
    /// - Returns: The bytes that `sendData` will append, or NGHTTP2_ERR_DEFERRED.
    func offer(bytesMax: Int, from stream: RPCStream, flags: UnsafeMutablePointer<UInt32>) -> Int {
        let count = min(bytesMax, stream.output.count)
        if count > 0 { flags.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue }
        guard count == stream.output.count else { return count }
        switch stream.machine.outputTaken(tookBytes: count > 0) {
        case .proceed: return count
        case .suspend: return Int(NGHTTP2_ERR_DEFERRED.rawValue)
        case .end(.ok)
        where count > 0 && stream.trace?.isReturned != true && !self.owesTableSize:
            // For nghttp2 this frame ends the stream; for the peer the trailers that `sendData`
            // writes behind it.
            flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
            stream.appendsTrailers = true
            return count
        case .end(let trailers):
            flags.pointee |=
                NGHTTP2_DATA_FLAG_EOF.rawValue | NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
            self.submit(trailers, of: stream)
            return count
        }
    }

    private func submit(_ trailers: RPCStreamStateMachine.Trailers, of stream: RPCStream) {
        var headers = HeaderList()
        switch trailers {
        case .ok: headers.add(RPCStatus(.ok, ""))
        case .status(let status): headers.add(status)
        }
        headers.add(stream.trace)
        headers.withFields { _ = nghttp2_submit_trailer(self.session, stream.id, $0, $1) }
    }

    /// Appends a DATA frame: nghttp2's header and the payload that was offered; behind the last one
    /// of a call that is OK the trailers.
    ///
    /// - Returns: What nghttp2 shall do: 0, go on; NGHTTP2_ERR_PAUSE, give no more for now, as the
    ///   tick's share is full.
    func sendData(
        header: UnsafeRawBufferPointer, count: Int, from stream: RPCStream
    ) -> Int32 {
        self.output.prepareAppend()
        let frame = self.output.buffer.appendUninitialized(header.count + count)
        frame.copyMemory(from: header)
        UnsafeMutableRawBufferPointer(rebasing: frame[header.count...])
            .copyMemory(from: UnsafeRawBufferPointer(rebasing: stream.output.bytes[..<count]))
        stream.output.consume(count)
        if stream.appendsTrailers {
            frame[FrameHeader.flagsOffset] &= ~UInt8(NGHTTP2_FLAG_END_STREAM.rawValue)
            TrailersOK.append(to: &self.output.buffer, stream: stream.id)
        }
        self.gate.budget.spend(WorkBudget.framePoints - count)
        stream.progressNanoseconds = self.loop.nowNanoseconds
        self.progressNanoseconds = self.loop.nowNanoseconds
        self.responsesShrank(by: count)
        return self.output.count < self.loop.limits.sendBytes
            ? 0 : Int32(NGHTTP2_ERR_PAUSE.rawValue)
    }

    /// A frame of ours has left nghttp2.
    func frameSent(_ frame: UnsafePointer<nghttp2_frame>) {
        switch UInt32(frame.pointee.hd.type) {
        case NGHTTP2_RST_STREAM.rawValue:
            // NO_ERROR and CANCEL are ours: a response before the end of its request, a deadline.
            // So is ENHANCE_YOUR_CALM: empty DATA frames are counted where it is decided, failed
            // logins are not, as the connection has calls of others.
            switch nghttp2_error_code(frame.pointee.rst_stream.error_code) {
            case NGHTTP2_NO_ERROR, NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM: break
            case NGHTTP2_REFUSED_STREAM where !self.loop.mayOpenStream: break
            default: self.machine.streamReset(nowNanoseconds: self.loop.nowNanoseconds)
            }
        case NGHTTP2_HEADERS.rawValue:
            self.owesTableSize = false
            fallthrough
        case NGHTTP2_DATA.rawValue:
            self.machine.responseSent()
            self.closeUnendedRequest(frame)
        default: break
        }
    }

    /// The response is complete and the client still sends: it is told to stop (G43).
    private func closeUnendedRequest(_ frame: UnsafePointer<nghttp2_frame>) {
        guard frame.pointee.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 else { return }
        self.withStream(frame.pointee.hd.stream_id) { stream in
            guard stream.machine.isRequestOpen else { return }
            self.reset(stream, NGHTTP2_NO_ERROR)
        }
    }

    /// Ends a stream at once.
    func reset(_ stream: RPCStream, _ code: nghttp2_error_code) {
        nghttp2_submit_rst_stream(
            self.session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, code.rawValue)
    }
}
