#if TLS
    import COpenSSL
    import IOCore

    /// A connected socket that encrypts what it sends and decrypts what it receives.
    ///
    /// ```
    /// fresh --first readiness--> handshake --finished--> open --close_notify, fault--> ended
    ///   |                            +--fault--> ended
    ///   +--shutdownWrite--> discarding <--+
    /// ```
    /// Until the handshake is done nothing can be read or written: `interest` says what brings it
    /// on, and the timer of its user's first bytes bounds it. OpenSSL calls back into `receive` and
    /// `send`, which use the socket below; it keeps at most one record of each direction.
    final class TLSSocket: StreamSocket {
        private enum Phase: Equatable {
            case fresh
            case handshake(wantsWrite: Bool)
            case open
            /// Nothing can be encrypted any more.
            case ended
            /// Our side has ended before the handshake has: input is dropped as it is.
            case discarding
        }

        /// Most bytes of a client's side of a handshake: its certificates have 32 KiB, its hello
        /// 16, and there may be two.
        private static let handshakeBytesMax = 80 << 10
        /// Handshake records that an open connection may bring: updates of keys, which honest
        /// clients make after millions of records, and tries to renegotiate.
        private static let laterHandshakeRecordsMax = 16
        /// Most bytes of names that a certificate is asked for.
        private static let nameBytesMax = 8 << 10

        private let socket: any StreamSocket
        private let contexts: TLSContexts
        /// `nil` before `begin` and after the end.
        private var session: OpaquePointer?
        private var phase = Phase.fresh
        private var hello = ClientHelloCheck()
        private var handshakeBytes = 0
        private var laterHandshakeRecords = 0
        /// A read of this call found the kernel's buffer empty: another would only cost a call.
        private var isDrained = false
        /// The last read left decrypted bytes behind, or has met the end behind those it returned.
        private var hasMore = false
        /// Why `receive` ended a handshake.
        private var rejection: TLSHandshakeEnd?

        init(_ socket: any StreamSocket, _ contexts: TLSContexts) {
            self.socket = socket
            self.contexts = contexts
        }

        deinit {
            if let session = self.session { SSL_free(session) }
        }

        var descriptor: Int32 { self.socket.descriptor }
        var peer: String { self.socket.peer }
        var hasBufferedInput: Bool { self.hasMore }

        func interest(for wanted: IOInterest) -> IOInterest {
            switch self.phase {
            case .fresh, .handshake(wantsWrite: false): .read
            case .handshake(wantsWrite: true): [.read, .write]
            case .open, .ended, .discarding: wanted
            }
        }

        // MARK: Bytes

        func read(into target: UnsafeMutableRawBufferPointer) -> IOOutcome {
            if self.phase == .discarding { return self.socket.read(into: target) }
            self.isDrained = false
            self.hasMore = false
            if let outcome = self.advanceHandshake() { return outcome }
            guard let session = self.session, let base = target.baseAddress else { return .closed }
            var count = 0
            while count < target.count {
                // SAFETY: the rest of the caller's buffer, with its count.
                let taken = SSL_read(
                    session, base + count, Int32(clamping: target.count - count))
                guard taken <= 0 else {
                    count += Int(taken)
                    continue
                }
                let outcome = self.outcome(of: taken)
                self.hasMore = count > 0 && outcome == .closed
                return count > 0 ? .bytes(count) : outcome
            }
            self.hasMore = SSL_has_pending(session) == 1
            return .bytes(count)
        }

        func write(_ source: UnsafeRawBufferPointer) -> IOOutcome {
            if case .handshake(wantsWrite: true) = self.phase {
                if let outcome = self.advanceHandshake() { return outcome }
            }
            switch self.phase {
            case .fresh, .handshake: return .wouldBlock
            case .ended, .discarding: return .closed
            case .open: break
            }
            guard let session = self.session, let base = source.baseAddress else { return .closed }
            var count = 0
            while count < source.count {
                // SAFETY: the rest of the caller's bytes, with their count. What could not be sent
                // begins with the same bytes when it is tried again.
                let taken = SSL_write(session, base + count, Int32(clamping: source.count - count))
                guard taken <= 0 else {
                    count += Int(taken)
                    continue
                }
                let outcome = self.outcome(of: taken)
                return count > 0 && outcome == .wouldBlock ? .bytes(count) : outcome
            }
            return .bytes(count)
        }

        /// What a call of an open session that transferred nothing means.
        private func outcome(of result: Int32) -> IOOutcome {
            switch SSL_get_error(self.session, result) {
            case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .wouldBlock
            case SSL_ERROR_ZERO_RETURN: return .closed
            default: break
            }
            ERR_clear_error()
            self.end()
            return .closed
        }

        func shutdownWrite() {
            switch self.phase {
            case .open: self.sayGoodbye()
            case .fresh: self.phase = .discarding
            case .handshake:
                self.fail(.abandoned, nil)
                self.phase = .discarding
            case .ended, .discarding: break
            }
            self.socket.shutdownWrite()
        }

        func close() {
            switch self.phase {
            case .open:
                self.sayGoodbye()
                self.end()
            case .handshake: self.fail(.abandoned, nil)
            case .fresh, .ended, .discarding: break
            }
            self.socket.close()
        }

        /// Sends close_notify, once, as far as the kernel takes it.
        private func sayGoodbye() {
            guard let session = self.session, SSL_get_shutdown(session) & SSL_SENT_SHUTDOWN == 0
            else { return }
            SSL_shutdown(session)
            ERR_clear_error()
        }

        // MARK: Handshake

        /// Begins or continues the handshake.
        ///
        /// - Returns: What the caller's read or write is told; `nil`: the session is open.
        private func advanceHandshake() -> IOOutcome? {
            switch self.phase {
            case .open: return nil
            case .ended, .discarding: return .closed
            case .fresh:
                guard self.begin() else { return .closed }
            case .handshake: break
            }
            let result = SSL_do_handshake(self.session)
            if result == 1 {
                self.phase = .open
                self.contexts.metrics.handshakeEnded(.done)
                return nil
            }
            switch SSL_get_error(self.session, result) {
            case SSL_ERROR_WANT_READ:
                self.phase = .handshake(wantsWrite: false)
                return .wouldBlock
            case SSL_ERROR_WANT_WRITE:
                self.phase = .handshake(wantsWrite: true)
                return .wouldBlock
            default:
                let error = OpenSSLError.takeCause()
                let verified = SSL_get_verify_result(self.session)
                if let rejection = self.rejection {
                    self.fail(rejection, rejection.rawValue)
                } else if error.end == .certificate, verified != X509_V_OK {
                    // SAFETY: a static text of the library, copied here.
                    let reason = String(cString: X509_verify_cert_error_string(verified))
                    self.fail(.certificate, reason)
                } else {
                    self.fail(error.end, error.reason)
                }
                return .closed
            }
        }

        /// Makes the session, at the first sign of the client: a connection without one costs
        /// nothing but its socket.
        private func begin() -> Bool {
            guard let session = SSL_new(self.contexts.current.pointer),
                let bio = BIO_new(Self.method)
            else {
                self.phase = .ended
                return false
            }
            // SAFETY: both get an unretained pointer to this object, which frees them in `end` or
            // `deinit`, before it ends; they call back only within its own calls.
            let owner = Unmanaged.passUnretained(self).toOpaque()
            BIO_set_data(bio, owner)
            BIO_set_init(bio, 1)
            openssl_set_owner(session, owner)
            // The session takes the BIO over, for both directions.
            SSL_set_bio(session, bio, bio)
            SSL_set_accept_state(session)
            self.session = session
            self.phase = .handshake(wantsWrite: false)
            self.contexts.metrics.handshakeBegan()
            return true
        }

        /// - Parameter reason: For the operator; `nil`: it is not worth a line.
        private func fail(_ end: TLSHandshakeEnd, _ reason: String?) {
            self.contexts.metrics.handshakeEnded(end)
            if let reason { self.contexts.report(peer: self.peer, reason) }
            self.phase = .ended
            self.freeSession()
        }

        /// An open session is over.
        private func end() {
            guard self.phase == .open else { return }
            self.contexts.metrics.connectionEnded()
            self.phase = .ended
            self.freeSession()
        }

        private func freeSession() {
            if let session = self.session { SSL_free(session) }
            self.session = nil
        }

        var peerNames: [String] {
            guard self.phase == .open, let certificate = SSL_get0_peer_certificate(self.session)
            else { return [] }
            return withUnsafeTemporaryAllocation(byteCount: Self.nameBytesMax, alignment: 1) {
                // SAFETY: the memory is this call's; the shim writes within its count and returns
                // how much of it has text.
                let text = $0.bindMemory(to: CChar.self)
                let count = openssl_names(certificate, text.baseAddress, text.count)
                let names = String(decoding: $0[..<count], as: UTF8.self)
                return names.split(separator: "\n").map(String.init)
            }
        }

        // MARK: Calls from OpenSSL

        /// Makes the contexts' sessions count handshake records that come after the handshake.
        static func countHandshakeRecords(_ context: OpaquePointer) {
            SSL_CTX_set_msg_callback(context) { isSent, _, kind, bytes, count, session, _ in
                // The type of a record is in its header, or, encrypted, at its end (RFC 8446,
                // section 5.2).
                guard isSent == 0, kind == SSL3_RT_HEADER || kind == SSL3_RT_INNER_CONTENT_TYPE,
                    count > 0, let bytes, bytes.load(as: UInt8.self) == SSL3_RT_HANDSHAKE
                else { return }
                // SAFETY: see `begin`.
                let owner = Unmanaged<TLSSocket>.fromOpaque(openssl_owner(session))
                owner._withUnsafeGuaranteedRef {
                    if $0.phase == .open { $0.laterHandshakeRecords += 1 }
                }
            }
        }

        /// How OpenSSL reads and writes: through the socket below.
        // SAFETY: made once, never changed and never freed; OpenSSL only reads it.
        private nonisolated(unsafe) static let method: OpaquePointer? = {
            let method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket")
            BIO_meth_set_read(method) { bio, target, count in
                guard let target else { return -1 }
                return TLSSocket.with(bio) {
                    // SAFETY: OpenSSL gives its buffer with its count, for this call.
                    $0.receive(UnsafeMutableRawBufferPointer(start: target, count: Int(count)), bio)
                }
            }
            BIO_meth_set_write(method) { bio, source, count in
                guard let source else { return -1 }
                return TLSSocket.with(bio) {
                    // SAFETY: as above.
                    $0.send(UnsafeRawBufferPointer(start: source, count: Int(count)), bio)
                }
            }
            BIO_meth_set_ctrl(method) { _, command, _, _ in command == BIO_CTRL_FLUSH ? 1 : 0 }
            return method
        }()

        private static func with(_ bio: OpaquePointer?, _ body: (TLSSocket) -> Int32) -> Int32 {
            // SAFETY: see `begin`.
            Unmanaged<TLSSocket>.fromOpaque(BIO_get_data(bio))._withUnsafeGuaranteedRef(body)
        }

        private func receive(
            _ target: UnsafeMutableRawBufferPointer, _ bio: OpaquePointer?
        ) -> Int32 {
            openssl_no_retry(bio)
            // A call of OpenSSL goes on from one KeyUpdate to the next: only here it can be ended.
            guard self.laterHandshakeRecords <= Self.laterHandshakeRecordsMax else { return -1 }
            guard !self.isDrained else {
                openssl_retry_read(bio)
                return -1
            }
            switch self.socket.read(into: target) {
            case .bytes(let count):
                self.isDrained = count < target.count
                guard self.phase == .open || self.accepts(target, count) else { return -1 }
                return Int32(count)
            case .wouldBlock:
                self.isDrained = true
                openssl_retry_read(bio)
                return -1
            case .closed: return 0
            }
        }

        /// Whether the bytes may be part of a handshake.
        private func accepts(_ bytes: UnsafeMutableRawBufferPointer, _ count: Int) -> Bool {
            self.handshakeBytes += count
            self.hello.examine(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
            switch self.hello.verdict {
            case .isNotTLS: self.rejection = .notTLS
            case .isTooLarge: self.rejection = .tooLarge
            case .needsMore, .isClientHello:
                if self.handshakeBytes > Self.handshakeBytesMax { self.rejection = .tooLarge }
            }
            return self.rejection == nil
        }

        private func send(_ source: UnsafeRawBufferPointer, _ bio: OpaquePointer?) -> Int32 {
            openssl_no_retry(bio)
            switch self.socket.write(source) {
            case .bytes(let count): return Int32(count)
            case .wouldBlock:
                openssl_retry_write(bio)
                return -1
            case .closed: return -1
            }
        }
    }
#endif
