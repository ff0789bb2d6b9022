import CNGHTTP2
import IOCore
import IOSimulation
import ProfileClient

/// A gRPC client on one simulated connection: real HTTP/2, apart from the server's transport so
/// that the two cannot share a mistake. It does nothing but in `turn`.
package final class WireClient {
    private let connection: ClientConnection
    private var session: OpaquePointer?
    private var calls: [Int32: WireCall] = [:]
    /// Wall-clock time that `ago` in requests counts from, in microseconds since 1970.
    private let now: () -> Int64
    /// Fields that every call sends beside its own, such as a key.
    package var metadata: [(String, String)] = []
    /// Whether `turn` reads: a client that does not holds the server back.
    package var isReading = true
    /// The connection was closed or cut, or spoke something else than HTTP/2.
    package private(set) var isClosed = false

    /// - Parameter now: Wall-clock time in microseconds since 1970.
    package init(_ socket: SimulatedSocket, now: @escaping () -> Int64) {
        self.connection = ClientConnection(socket)
        self.now = now
        self.openSession()
    }

    deinit {
        nghttp2_session_del(self.session)
    }

    private func openSession() {
        var callbacks: OpaquePointer?
        nghttp2_session_callbacks_new(&callbacks)
        nghttp2_session_callbacks_set_on_header_callback(callbacks) {
            _, frame, name, nameBytes, value, valueBytes, _, user in
            // SAFETY: nghttp2 gives both strings with their lengths, for this call only.
            WireClient.from(user).header(
                frame!.pointee.hd.stream_id,
                String(decoding: UnsafeBufferPointer(start: name, count: nameBytes), as: UTF8.self),
                String(
                    decoding: UnsafeBufferPointer(start: value, count: valueBytes), as: UTF8.self))
            return 0
        }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) {
            _, _, stream, bytes, count, user in
            // SAFETY: nghttp2 gives the bytes with their count, for this call only.
            WireClient.from(user).calls[stream]?.receive(
                UnsafeBufferPointer(start: bytes, count: count))
            return 0
        }
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, stream, _, user in
            WireClient.from(user).calls.removeValue(forKey: stream)?.hasEnded = true
            return 0
        }
        // SAFETY: the session is deleted in deinit, before self ends.
        nghttp2_session_client_new(
            &self.session, callbacks, Unmanaged.passUnretained(self).toOpaque())
        nghttp2_session_callbacks_del(callbacks)
        nghttp2_submit_settings(self.session, 0, nil, 0)
    }

    private static func from(_ user: UnsafeMutableRawPointer?) -> WireClient {
        // SAFETY: the session's user data is the client that owns it.
        Unmanaged<WireClient>.fromOpaque(user!).takeUnretainedValue()
    }

    private func header(_ stream: Int32, _ name: String, _ value: String) {
        guard let call = self.calls[stream] else { return }
        switch name {
        case "grpc-status": call.status = Int32(value) ?? 2
        case "grpc-message": call.message = value
        case "grpc-status-details-bin": call.details = value
        default: break
        }
    }

    // MARK: Calls

    /// Starts a unary call, or a call with one request whose responses stream.
    package func call(_ method: RPCMethod, _ request: JSONValue, path: String? = nil) throws
        -> WireCall
    {
        let call = try self.open(method, path: path)
        try self.send(request, on: call)
        self.finishRequests(of: call)
        return call
    }

    /// Starts a call whose requests follow.
    package func open(
        _ method: RPCMethod, path: String? = nil, metadata: [(String, String)] = []
    ) throws -> WireCall {
        let call = WireCall(method, path: path ?? method.path)
        let fields =
            [
                (":method", "POST"), (":scheme", "http"), (":path", call.path),
                (":authority", "simulated"), ("te", "trailers"),
                ("content-type", "application/grpc"),
            ] + self.metadata + metadata
        var provider = nghttp2_data_provider(
            source: nghttp2_data_source(ptr: Unmanaged.passUnretained(call).toOpaque()),
            read_callback: { _, _, target, capacity, flags, source, _ in
                // SAFETY: the client keeps the call until its stream is closed.
                let call = Unmanaged<WireCall>.fromOpaque(source!.pointee.ptr!)
                    .takeUnretainedValue()
                return call.provide(target!, capacity, &flags!.pointee)
            })
        call.stream = Self.withHeaders(fields) {
            nghttp2_submit_request(self.session, nil, $0.baseAddress, $0.count, &provider, nil)
        }
        self.calls[call.stream] = call
        return call
    }

    /// Sends one more request.
    package func send(_ request: JSONValue, on call: WireCall) throws {
        self.send(
            bytes: try MessageEncoder(now: self.now()).encode(request, as: call.method.request),
            on: call)
    }

    /// Sends one more request that is serialised already.
    package func send(bytes: [UInt8], on call: WireCall) {
        let count = UInt32(bytes.count)
        call.outgoing.append(0)
        for shift in [24, 16, 8, 0] as [UInt32] {
            call.outgoing.append(UInt8(truncatingIfNeeded: count >> shift))
        }
        call.outgoing += bytes
        self.resume(call)
    }

    /// Ends the requests.
    package func finishRequests(of call: WireCall) {
        call.isRequestComplete = true
        self.resume(call)
    }

    /// Announces how many bytes of responses each stream may have under way, also the open ones; 0
    /// holds every response back.
    package func setWindow(_ bytes: UInt32) {
        var entry = nghttp2_settings_entry(
            settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue), value: bytes)
        nghttp2_submit_settings(self.session, 0, &entry, 1)
    }

    /// Resets a call's stream.
    package func cancel(_ call: WireCall) {
        nghttp2_submit_rst_stream(
            self.session, 0, call.stream, UInt32(NGHTTP2_CANCEL.rawValue))
    }

    private func resume(_ call: WireCall) {
        guard call.isDeferred else { return }
        call.isDeferred = false
        nghttp2_session_resume_data(self.session, call.stream)
    }

    private static func withHeaders<Result>(
        _ fields: [(String, String)], _ body: (UnsafeBufferPointer<nghttp2_nv>) -> Result
    ) -> Result {
        var text = fields.flatMap { Array($0.utf8) + Array($1.utf8) }
        return text.withUnsafeMutableBufferPointer { bytes in
            var offset = 0
            // SAFETY: nghttp2 copies names and values during the submit.
            let list = fields.map { name, value in
                defer { offset += name.utf8.count + value.utf8.count }
                return nghttp2_nv(
                    name: bytes.baseAddress! + offset,
                    value: bytes.baseAddress! + offset + name.utf8.count,
                    namelen: name.utf8.count, valuelen: value.utf8.count, flags: 0)
            }
            return list.withUnsafeBufferPointer(body)
        }
    }

    // MARK: The connection

    /// Reads what is there, if it reads, and writes what can be written.
    ///
    /// - Returns: Whether any byte was moved.
    package func turn() -> Bool {
        guard !self.isClosed else { return false }
        var hasMoved = false
        while self.isReading, self.readOnce() { hasMoved = true }
        while self.writeOnce() { hasMoved = true }
        return hasMoved
    }

    private func readOnce() -> Bool {
        let hasRead = self.connection.readOnce { bytes in
            // SAFETY: the connection owns the bytes for this call; nghttp2 copies what it keeps.
            let taken = nghttp2_session_mem_recv(
                self.session, bytes.baseAddress!.assumingMemoryBound(to: UInt8.self), bytes.count)
            if taken != bytes.count { self.connection.close() }
        }
        if self.connection.isClosed { self.end() }
        return hasRead
    }

    private func writeOnce() -> Bool {
        guard !self.isClosed else { return false }
        if self.connection.isFlushed {
            var bytes: UnsafePointer<UInt8>?
            let count = nghttp2_session_mem_send(self.session, &bytes)
            guard count > 0, let bytes else { return false }
            // SAFETY: valid for `count` bytes until the next call of the session.
            self.connection.enqueue(UnsafeBufferPointer(start: bytes, count: count))
        }
        let hasWritten = self.connection.writeOnce()
        // What the server sent before it closed can still be read, by a client that reads.
        if !hasWritten, !self.isReading, self.connection.isPeerGone { self.end() }
        return hasWritten
    }

    private func end() {
        self.isClosed = true
        for call in self.calls.values { call.hasEnded = true }
        self.connection.close()
    }

    /// Closes the connection.
    package func close() {
        if !self.isClosed { self.end() }
    }

    /// Cuts the connection: bytes under way are lost.
    package func cut() {
        self.connection.cut()
    }
}

extension WireCall {
    /// Hands the next bytes of the request to the session.
    fileprivate func provide(
        _ target: UnsafeMutablePointer<UInt8>, _ capacity: Int, _ flags: inout UInt32
    ) -> Int {
        let count = min(capacity, self.bytesUnsent)
        if count == 0, !self.isRequestComplete {
            self.isDeferred = true
            return Int(NGHTTP2_ERR_DEFERRED.rawValue)
        }
        self.outgoing.withUnsafeBufferPointer {
            // SAFETY: `count` bytes are there and fit into the target.
            if count > 0 {
                target.update(from: $0.baseAddress! + self.outgoingOffset, count: count)
            }
        }
        self.outgoingOffset += count
        if self.bytesUnsent == 0, self.isRequestComplete {
            flags |= UInt32(NGHTTP2_DATA_FLAG_EOF.rawValue)
        }
        return count
    }
}
