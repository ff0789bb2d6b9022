import CNGHTTP2

/// nghttp2's callbacks and options, built once per loop and shared by its sessions.
final class SessionSettings {
    let callbacks: OpaquePointer
    let options: OpaquePointer

    /// - Precondition: libnghttp2 has the reset and CONTINUATION limits of CVE-2023-44487 and
    ///   CVE-2024-28182; an older one does not link.
    init(limits: TransportLimits) {
        var callbacks: OpaquePointer?
        var options: OpaquePointer?
        precondition(nghttp2_session_callbacks_new(&callbacks) == 0, "out of memory")
        precondition(nghttp2_option_new(&options) == 0, "out of memory")
        self.callbacks = callbacks!
        self.options = options!
        nghttp2_option_set_no_auto_window_update(self.options, 1)
        nghttp2_option_set_no_closed_streams(self.options, 1)
        nghttp2_option_set_max_outbound_ack(self.options, 1_000)
        nghttp2_option_set_max_settings(self.options, 32)
        nghttp2_option_set_stream_reset_rate_limit(
            self.options, UInt64(limits.resetBurst), UInt64(limits.resetsPerSecond))
        nghttp2_option_set_max_continuations(self.options, limits.continuationsMax)
        self.setCallbacks()
    }

    deinit {
        nghttp2_session_callbacks_del(self.callbacks)
        nghttp2_option_del(self.options)
    }

    // The thunks unwrap, call the connection, return. SAFETY, for all of them: `user` is the
    // Connection that owns the session and outlives it; frames, names, values and chunks are valid
    // for the call.
    private func setCallbacks() {
        nghttp2_session_callbacks_set_on_begin_headers_callback(self.callbacks) { _, frame, user in
            Connection.with(user) { $0.beginHeaders(frame!) }
            return 0
        }
        nghttp2_session_callbacks_set_on_header_callback(self.callbacks) {
            _, frame, name, nameBytes, value, valueBytes, _, user in
            Connection.with(user) {
                $0.header(
                    stream: frame!.pointee.hd.stream_id,
                    name: UnsafeRawBufferPointer(start: name, count: nameBytes),
                    value: UnsafeRawBufferPointer(start: value, count: valueBytes))
            }
        }
        nghttp2_session_callbacks_set_on_frame_recv_callback(self.callbacks) { _, frame, user in
            Connection.with(user) { $0.frameReceived(frame!) }
            return 0
        }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(self.callbacks) {
            _, flags, id, bytes, count, user in
            Connection.with(user) {
                $0.data(
                    stream: id, UnsafeRawBufferPointer(start: bytes, count: count),
                    isOfLastFrame: flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0)
            }
            return 0
        }
        nghttp2_session_callbacks_set_on_stream_close_callback(self.callbacks) { _, id, _, user in
            Connection.with(user) { $0.streamClosed(id) }
            return 0
        }
        nghttp2_session_callbacks_set_on_frame_send_callback(self.callbacks) { _, frame, user in
            Connection.with(user) { $0.frameSent(frame!) }
            return 0
        }
        nghttp2_session_callbacks_set_send_data_callback(self.callbacks, Self.sendData)
    }

    /// Offers the payload of a DATA frame from a stream's output.
    static let readOutput: nghttp2_data_source_read_callback = {
        _, _, _, length, flags, source, user in
        // SAFETY: the source is the stream that the response was submitted with; it is reset only
        // after nghttp2 closed it.
        Unmanaged<RPCStream>.fromOpaque(source!.pointee.ptr!)._withUnsafeGuaranteedRef { stream in
            Connection.with(user) {
                $0.offer(bytesMax: length, from: stream, flags: flags!)
            }
        }
    }

    /// Writes a DATA frame whose payload was offered.
    private static let sendData: nghttp2_send_data_callback = {
        _, _, header, length, source, user in
        // SAFETY: as above; nghttp2 passes the frame's header, and asks for no padding.
        Unmanaged<RPCStream>.fromOpaque(source!.pointee.ptr!)._withUnsafeGuaranteedRef { stream in
            Connection.with(user) {
                $0.sendData(
                    header: UnsafeRawBufferPointer(start: header, count: FrameHeader.bytes),
                    count: length, from: stream)
            }
        }
    }
}
