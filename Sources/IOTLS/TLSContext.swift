#if TLS
    import COpenSSL

    /// A server's certificate, key and rules, ready for connections: one `SSL_CTX`.
    ///
    /// It never changes: new files make a new one, and connections keep the one they began with.
    // SAFETY: the context belongs to this object and is freed with it; after `init` it is only
    // used to make sessions, which OpenSSL allows on several threads.
    package final class TLSContext: @unchecked Sendable {
        /// Suites of TLS 1.2: forward-secret and authenticated ones only, which leaves out all of
        /// RFC 9113, Appendix A. Those of TLS 1.3 are all allowed by it.
        static let suites =
            "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
            + "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
            + "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
        static let suites13 =
            "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
        /// The others cost a server more than they add.
        static let groups = "X25519:P-256:P-384"
        /// OpenSSL's level of 112 bits: RSA keys from 2,048 bits on, no SHA-1.
        private static let securityLevel: Int32 = 2
        /// Most bytes of a client's certificates: four of 8 KiB.
        private static let clientCertificateBytesMax = 32 << 10
        /// Names of this context's sessions; no session is ever resumed.
        private static let sessionIDContext: [UInt8] = Array("profiles".utf8)

        let pointer: OpaquePointer
        /// Until when the server's certificate is valid, in seconds since 1970.
        package private(set) var validUntilSeconds: Int64 = -1

        /// - Throws: `TLSError` about the first file that is not usable.
        package init(_ identity: TLSIdentity, for use: TLSProtocol) throws(TLSError) {
            // The settings of the machine's openssl.cnf do not count: what is allowed is here.
            OPENSSL_init_ssl(UInt64(OPENSSL_INIT_NO_LOAD_CONFIG), nil)
            ERR_clear_error()
            guard let pointer = SSL_CTX_new(TLS_server_method()) else {
                throw .openSSL(OpenSSLError.take().reason)
            }
            self.pointer = pointer
            try self.setRules(use)
            try self.setCertificates(identity.certificates)
            try self.setKey(identity.key)
            if let authorities = identity.clientAuthorities {
                try self.demandCertificates(of: authorities, depth: identity.verifyDepth)
            }
        }

        deinit {
            SSL_CTX_free(self.pointer)
        }

        private func setRules(_ use: TLSProtocol) throws(TLSError) {
            SSL_CTX_set_options(self.pointer, openssl_options)
            openssl_set_modes(self.pointer)
            openssl_no_session_cache(self.pointer)
            openssl_read_ahead(self.pointer)
            openssl_set_certificate_bytes_max(self.pointer, Self.clientCertificateBytesMax)
            SSL_CTX_set_security_level(self.pointer, Self.securityLevel)
            // Tickets would bring a client back without another look at its certificate.
            guard SSL_CTX_set_num_tickets(self.pointer, 0) == 1,
                openssl_set_version_min(self.pointer) == 1,
                SSL_CTX_set_cipher_list(self.pointer, Self.suites) == 1,
                SSL_CTX_set_ciphersuites(self.pointer, Self.suites13) == 1,
                openssl_set_groups(self.pointer, Self.groups) == 1,
                SSL_CTX_set_session_id_context(
                    self.pointer, Self.sessionIDContext, UInt32(Self.sessionIDContext.count)) == 1
            else { throw .openSSL(OpenSSLError.take().reason) }
            // SAFETY: a literal lives as long as the process: its length, then the name.
            switch use {
            case .http2:
                let name: StaticString = "\u{2}h2"
                openssl_set_protocol(self.pointer, name.utf8Start, 1)
            case .http1:
                let name: StaticString = "\u{8}http/1.1"
                openssl_set_protocol(self.pointer, name.utf8Start, 0)
            }
            TLSSocket.countHandshakeRecords(self.pointer)
        }

        private func setCertificates(_ pem: [UInt8]) throws(TLSError) {
            let certificates = PEM(pem).certificates()
            defer { for certificate in certificates.found { X509_free(certificate) } }
            if let reason = certificates.failure { throw .badCertificate(reason) }
            guard let leaf = certificates.found.first else { throw .noCertificate }
            guard SSL_CTX_use_certificate(self.pointer, leaf) == 1 else {
                throw .badCertificate(OpenSSLError.take().reason)
            }
            self.validUntilSeconds = openssl_end_of(leaf)
            for certificate in certificates.found.dropFirst() {
                guard openssl_add_chain(self.pointer, certificate) == 1 else {
                    throw .badCertificate(OpenSSLError.take().reason)
                }
            }
        }

        private func setKey(_ pem: [UInt8]) throws(TLSError) {
            let key: OpaquePointer
            switch PEM(pem).privateKey() {
            case .key(let found): key = found
            case .none: throw .noKey
            case .encrypted: throw .encryptedKey
            case .failure(let reason): throw .badKey(reason)
            }
            defer { EVP_PKEY_free(key) }
            guard SSL_CTX_use_PrivateKey(self.pointer, key) == 1,
                SSL_CTX_check_private_key(self.pointer) == 1
            else {
                let error = OpenSSLError.take()
                throw error.isMismatch ? .mismatch : .badKey(error.reason)
            }
        }

        private func demandCertificates(of pem: [UInt8], depth: Int) throws(TLSError) {
            let authorities = PEM(pem).certificates()
            defer { for authority in authorities.found { X509_free(authority) } }
            if let reason = authorities.failure { throw .badAuthority(reason) }
            guard !authorities.found.isEmpty else { throw .noAuthority }
            for authority in authorities.found {
                guard
                    X509_STORE_add_cert(SSL_CTX_get_cert_store(self.pointer), authority) == 1,
                    SSL_CTX_add_client_CA(self.pointer, authority) == 1
                else { throw .badAuthority(OpenSSLError.take().reason) }
            }
            SSL_CTX_set_verify(
                self.pointer, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
            SSL_CTX_set_verify_depth(self.pointer, Int32(depth))
        }
    }
#endif
