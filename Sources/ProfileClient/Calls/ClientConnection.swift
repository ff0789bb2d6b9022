import CNGHTTP2
import Glibc

/// Why a client connection failed.
package enum ClientError: Error {
    /// A system call failed with this errno.
    case socket(operation: StaticString, errno: Int32)
    /// The host name does not resolve.
    case unknownHost
    /// The server closed the connection, or does not speak HTTP/2.
    case closed
    /// The connection cannot be encrypted, or the server is not the one that was asked for.
    case tls(String)
}

/// A client's HTTP/2 connection over a non-blocking socket, with any number of concurrent calls.
///
/// Deliberately independent of the server's transport, so that they cannot share a bug. Used by one
/// thread.
final class ClientConnection {
    private let socket: ClientSocket
    var descriptor: Int32 { self.socket.descriptor }
    private let scheme: [UInt8]
    private var session: OpaquePointer!
    private let authority: [UInt8]
    private var output: [UInt8] = []
    private var outputOffset = 0
    private let input: UnsafeMutableRawBufferPointer
    private static let inputBytes = 64 << 10
    /// Largest response that is kept, in bytes: a hundred profiles of the largest size are about
    /// 20 MiB. A stream that sends more without completing a message is reset.
    private static let responseBytesMax = 64 << 20
    /// Calls that were started and have not ended.
    private(set) var openCalls = 0
    /// Called when a call has ended; may start the next one.
    var onEnd: ((ClientConnection, ClientCall) -> Void)?

    init(_ address: ServerAddress, timeoutMilliseconds: Int32 = 5_000) throws(ClientError) {
        self.authority = Array(address.description.utf8)
        self.scheme = Array((address.tls == nil ? "http" : "https").utf8)
        self.socket = try ClientSocket(address, timeoutMilliseconds: timeoutMilliseconds)
        self.input = .allocate(byteCount: Self.inputBytes, alignment: 16)
        self.openSession()
    }

    deinit {
        nghttp2_session_del(self.session)
        self.input.deallocate()
    }

    private func openSession() {
        var callbacks: OpaquePointer?
        nghttp2_session_callbacks_new(&callbacks)
        nghttp2_session_callbacks_set_on_header_callback(callbacks) {
            session, frame, name, nameBytes, value, valueBytes, _, _ in
            guard let call = ClientConnection.call(session, frame!.pointee.hd.stream_id) else {
                return 0
            }
            call.receiveField(
                UnsafeRawBufferPointer(start: name, count: nameBytes),
                UnsafeRawBufferPointer(start: value, count: valueBytes))
            return 0
        }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) {
            session, _, id, bytes, count, _ in
            guard let call = ClientConnection.call(session, id) else { return 0 }
            // SAFETY: nghttp2 gives the bytes with their count, for this call only.
            call.onData?(UnsafeRawBufferPointer(start: bytes, count: count))
            guard call.keepsResponse else { return 0 }
            guard call.response.count + count <= ClientConnection.responseBytesMax else {
                call.isOversized = true
                // The only failure is a lack of memory, which the next call to nghttp2 reports.
                nghttp2_submit_rst_stream(
                    session, 0, id, UInt32(NGHTTP2_CANCEL.rawValue))
                return 0
            }
            call.response += UnsafeBufferPointer(start: bytes, count: count)
            return 0
        }
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) {
            session, id, code, user in
            guard let call = ClientConnection.call(session, id) else { return 0 }
            call.hasEnded = true
            call.isUnprocessed = code == NGHTTP2_REFUSED_STREAM.rawValue
            // SAFETY: `user` is the connection that made the session and deletes it before it ends.
            let connection = Unmanaged<ClientConnection>.fromOpaque(user!).takeUnretainedValue()
            connection.openCalls -= 1
            connection.onEnd?(connection, call)
            return 0
        }
        var session: OpaquePointer?
        // SAFETY: the session is deleted in deinit, so it never outlives self.
        nghttp2_session_client_new(&session, callbacks, Unmanaged.passUnretained(self).toOpaque())
        nghttp2_session_callbacks_del(callbacks)
        self.session = session
        var settings = [
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue), value: 1 << 20)
        ]
        nghttp2_submit_settings(self.session, 0, &settings, 1)
        nghttp2_session_set_local_window_size(self.session, 0, 0, 16 << 20)
    }

    private static func call(_ session: OpaquePointer?, _ id: Int32) -> ClientCall? {
        // SAFETY: set at submit to a call that its owner keeps alive.
        nghttp2_session_get_stream_user_data(session, id).map {
            Unmanaged<ClientCall>.fromOpaque($0).takeUnretainedValue()
        }
    }

    /// Whether another call may be started: not after the server's GOAWAY, with which it asks for a
    /// new connection.
    var acceptsCalls: Bool { nghttp2_session_check_request_allowed(self.session) != 0 }

    /// Whether nothing more can arrive, as after an error of the protocol: calls that have not
    /// ended never will.
    var isFinished: Bool {
        self.outputOffset == self.output.count && nghttp2_session_want_read(self.session) == 0
            && nghttp2_session_want_write(self.session) == 0
    }

    /// Starts a call; its `body` is a framed request.
    ///
    /// - Throws: `.closed` if the connection accepts no more calls.
    func start(_ call: ClientCall) throws(ClientError) {
        call.bodyOffset = 0
        call.status = -1
        call.hasEnded = false
        call.isUnprocessed = false
        let fields: [(StaticString, [UInt8])] =
            [
                (":method", Array("POST".utf8)), (":scheme", self.scheme),
                (":path", call.path),
                (":authority", self.authority), ("te", Array("trailers".utf8)),
                ("content-type", Array("application/grpc".utf8)),
            ] + call.metadata
        // SAFETY: the owner of `call` keeps it until its stream has closed, after which nghttp2
        // reads no more.
        let pointer = Unmanaged.passUnretained(call).toOpaque()
        var provider = nghttp2_data_provider(
            source: nghttp2_data_source(ptr: pointer),
            read_callback: { _, _, target, capacity, flags, source, _ in
                // SAFETY: see above; `count` bytes are within both the body and nghttp2's buffer.
                let call = Unmanaged<ClientCall>.fromOpaque(source!.pointee.ptr!)
                    .takeUnretainedValue()
                let count = min(capacity, call.body.count - call.bodyOffset)
                call.body.withUnsafeBytes {
                    target!.update(
                        from: $0.baseAddress!.assumingMemoryBound(to: UInt8.self) + call.bodyOffset,
                        count: count)
                }
                call.bodyOffset += count
                if call.isBodyOpen {
                    return count > 0 ? count : Int(NGHTTP2_ERR_DEFERRED.rawValue)
                }
                if call.bodyOffset == call.body.count {
                    flags!.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
                }
                return count
            })
        var joined: [UInt8] = []
        for field in fields { joined += field.1 }
        let stream = joined.withUnsafeMutableBufferPointer { bytes in
            var offset = 0
            // SAFETY: nghttp2 copies the values during the submit; the names are literals.
            let list = fields.map { name, value in
                defer { offset += value.count }
                return nghttp2_nv(
                    name: UnsafeMutablePointer(mutating: name.utf8Start),
                    value: bytes.baseAddress! + offset,
                    namelen: name.utf8CodeUnitCount, valuelen: value.count,
                    flags: UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue))
            }
            return nghttp2_submit_request(self.session, nil, list, list.count, &provider, pointer)
        }
        guard stream > 0 else { throw .closed }
        call.stream = stream
        self.openCalls += 1
    }

    /// Sends more of the request of a started call whose body is open.
    ///
    /// - Parameter isLast: Whether the client's side of the stream ends with it.
    func extend(_ call: ClientCall, with bytes: [UInt8], isLast: Bool) {
        guard !call.hasEnded, call.isBodyOpen else { return }
        call.body.removeSubrange(..<call.bodyOffset)
        call.bodyOffset = 0
        call.body += bytes
        call.isBodyOpen = !isLast
        // Fails if the stream waits for nothing, and then takes the bytes by itself.
        nghttp2_session_resume_data(self.session, call.stream)
    }

    /// Reads all available input and writes as much as possible.
    ///
    /// - Returns: Whether output is still pending.
    func turn() throws(ClientError) -> Bool {
        while true {
            let count = try self.socket.receive(self.input)
            if count == 0 { break }
            // SAFETY: nghttp2 reads the bytes during the call only.
            let taken = nghttp2_session_mem_recv(
                self.session, self.input.baseAddress!.assumingMemoryBound(to: UInt8.self), count)
            guard taken == count else { throw .closed }
            if count < Self.inputBytes, !self.socket.isEncrypted { break }
        }
        return try self.flush()
    }

    private func flush() throws(ClientError) -> Bool {
        while true {
            var bytes: UnsafePointer<UInt8>?
            while self.output.count - self.outputOffset < 64 << 10 {
                let count = nghttp2_session_mem_send(self.session, &bytes)
                guard count > 0, let bytes else { break }
                self.output += UnsafeBufferPointer(start: bytes, count: count)
            }
            let waiting = self.output.count - self.outputOffset
            guard waiting > 0 else { return false }
            let sent = try self.output.withUnsafeBytes { bytes in
                let rest = UnsafeRawBufferPointer(rebasing: bytes[self.outputOffset...])
                return Result { () throws(ClientError) in try self.socket.send(rest) }
            }.get()
            if sent == 0 { return true }
            self.outputOffset += sent
            if self.outputOffset == self.output.count {
                self.output.removeAll(keepingCapacity: true)
                self.outputOffset = 0
            }
        }
    }
}
