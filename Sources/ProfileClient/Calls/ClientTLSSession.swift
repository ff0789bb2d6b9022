#if TLS
    import COpenSSL
    import Glibc

    /// The client's side of an encrypted connection. Used by one thread.
    ///
    /// The server's certificate must come from an authority that is believed and have the name that
    /// was asked for; there is no way around that.
    final class ClientTLSSession {
        private let context: OpaquePointer
        private let session: OpaquePointer
        private var hasFailed = false

        /// Makes the handshake.
        ///
        /// - Parameters:
        ///   - host: A name or an IP address.
        ///   - descriptor: A connected, non-blocking socket, which stays the caller's.
        ///   - deadline: When the handshake must be done, by `ClientClock`.
        init(
            _ tls: ClientTLS, host: String, descriptor: Int32, untilMilliseconds deadline: Int64
        ) throws(ClientError) {
            ERR_clear_error()
            guard let context = SSL_CTX_new(TLS_client_method()) else { throw Self.failure() }
            self.context = context
            do throws(ClientError) {
                try Self.prepare(context, tls)
                guard let session = SSL_new(context) else { throw Self.failure() }
                self.session = session
            } catch {
                SSL_CTX_free(context)
                throw error
            }
            try self.expect(tls.serverName ?? host)
            let protocols: [UInt8] = [2] + Array("h2".utf8)
            guard SSL_set_alpn_protos(self.session, protocols, UInt32(protocols.count)) == 0,
                SSL_set_fd(self.session, descriptor) == 1
            else { throw Self.failure() }
            try self.shakeHands(descriptor, untilMilliseconds: deadline)
        }

        deinit {
            SSL_free(self.session)
            SSL_CTX_free(self.context)
        }

        private static func prepare(_ context: OpaquePointer, _ tls: ClientTLS) throws(ClientError)
        {
            openssl_set_modes(context)
            openssl_read_ahead(context)
            SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
            // OpenSSL's own would ask on the terminal.
            SSL_CTX_set_default_passwd_cb(context) { _, _, _, _ in -1 }
            guard openssl_set_version_min(context) == 1 else { throw self.failure() }
            if let path = tls.authority {
                guard SSL_CTX_load_verify_file(context, path) == 1 else {
                    throw self.failure("--ca \(path)")
                }
            } else {
                guard SSL_CTX_set_default_verify_paths(context) == 1 else { throw self.failure() }
            }
            guard let certificate = tls.certificate, let key = tls.key else { return }
            guard SSL_CTX_use_certificate_chain_file(context, certificate) == 1 else {
                throw self.failure("--cert \(certificate)")
            }
            var status = stat()
            if stat(key, &status) == 0, status.st_mode & 0o007 != 0 {
                throw .tls("--cert-key \(key): everybody can read this key; chmod 600 it")
            }
            guard SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1 else {
                throw self.failure("--cert-key \(key)")
            }
        }

        /// Demands a certificate with this name, which is told to the server as well.
        private func expect(_ name: String) throws(ClientError) {
            let parameters = SSL_get0_param(self.session)
            if X509_VERIFY_PARAM_set1_ip_asc(parameters, name) == 1 { return }
            ERR_clear_error()
            guard SSL_set1_host(self.session, name) == 1,
                openssl_set_server_name(self.session, name) == 1
            else { throw Self.failure(name) }
        }

        private func shakeHands(
            _ descriptor: Int32, untilMilliseconds deadline: Int64
        ) throws(ClientError) {
            while true {
                let result = SSL_connect(self.session)
                if result == 1 { break }
                let events: Int32
                switch SSL_get_error(self.session, result) {
                case SSL_ERROR_WANT_READ: events = POLLIN
                case SSL_ERROR_WANT_WRITE: events = POLLOUT
                default: throw self.ended()
                }
                let rest = deadline - ClientClock.milliseconds()
                var polled = pollfd(fd: descriptor, events: Int16(events), revents: 0)
                guard rest > 0, poll(&polled, 1, Int32(clamping: rest)) > 0 else {
                    throw .tls("the handshake took too long")
                }
            }
            var name: UnsafePointer<UInt8>?
            var count: UInt32 = 0
            SSL_get0_alpn_selected(self.session, &name, &count)
            // SAFETY: the session owns the name; both are compared before it is used again.
            guard UnsafeBufferPointer(start: name, count: Int(count)).elementsEqual("h2".utf8)
            else { throw .tls("the server does not offer HTTP/2") }
        }

        func receive(_ target: UnsafeMutableRawBufferPointer) throws(ClientError) -> Int {
            // SAFETY: pointer and count are of one buffer, borrowed for the call.
            let count = SSL_read(self.session, target.baseAddress, Int32(clamping: target.count))
            return count > 0 ? Int(count) : try self.nothing(count)
        }

        func send(_ source: UnsafeRawBufferPointer) throws(ClientError) -> Int {
            // SAFETY: as above.
            let count = SSL_write(self.session, source.baseAddress, Int32(clamping: source.count))
            return count > 0 ? Int(count) : try self.nothing(count)
        }

        private func nothing(_ result: Int32) throws(ClientError) -> Int {
            switch SSL_get_error(self.session, result) {
            case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return 0
            case SSL_ERROR_ZERO_RETURN: throw .closed
            default: throw self.ended()
            }
        }

        /// Tells the server that nothing more comes, as far as the kernel takes it.
        func sayGoodbye() {
            guard !self.hasFailed else { return }
            SSL_shutdown(self.session)
            ERR_clear_error()
        }

        /// What ended the session.
        private func ended() -> ClientError {
            self.hasFailed = true
            let verified = SSL_get_verify_result(self.session)
            guard verified == X509_V_OK else {
                ERR_clear_error()
                // SAFETY: a static text of the library, copied here.
                return .tls(
                    "the server's certificate: "
                        + String(cString: X509_verify_cert_error_string(verified)))
            }
            let code = ERR_peek_last_error()
            guard code != 0, openssl_error_reason(code) != SSL_R_UNEXPECTED_EOF_WHILE_READING else {
                ERR_clear_error()
                return .closed
            }
            return Self.failure()
        }

        /// The last error of the library, with what it is about.
        private static func failure(_ subject: String? = nil) -> ClientError {
            let code = ERR_peek_last_error()
            ERR_clear_error()
            // SAFETY: as above.
            let reason = ERR_reason_error_string(code).map { String(cString: $0) }
            return .tls((subject.map { "\($0): " } ?? "") + (reason ?? "error \(code)"))
        }
    }
#endif
