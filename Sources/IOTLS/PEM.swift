#if TLS
    import COpenSSL

    /// The content of a PEM file.
    struct PEM {
        private let bytes: [UInt8]

        init(_ bytes: [UInt8]) {
            self.bytes = bytes
        }

        /// Certificates, which the caller frees.
        ///
        /// - Returns: Those before the first that cannot be read, and why it cannot; `nil`: all
        ///   can.
        func certificates() -> (found: [OpaquePointer], failure: String?) {
            self.withReader { reader in
                var found: [OpaquePointer] = []
                while let certificate = PEM_read_bio_X509(reader, nil, Self.noPassphrase, nil) {
                    found.append(certificate)
                }
                let error = OpenSSLError.take()
                return (found, error.isEndOfPEM ? nil : error.reason)
            }
        }

        enum Key {
            /// The caller frees it.
            case key(OpaquePointer)
            case none
            case encrypted
            case failure(String)
        }

        func privateKey() -> Key {
            self.withReader { reader in
                if let key = PEM_read_bio_PrivateKey(reader, nil, Self.noPassphrase, nil) {
                    return .key(key)
                }
                let error = OpenSSLError.take()
                if error.isEndOfPEM || error.isNoKey { return .none }
                return error.isPassphrase ? .encrypted : .failure(error.reason)
            }
        }

        /// OpenSSL's own would ask on the terminal.
        private static let noPassphrase:
            @convention(c) (
                UnsafeMutablePointer<CChar>?, Int32, Int32, UnsafeMutableRawPointer?
            ) -> Int32 = { _, _, _, _ in -1 }

        private func withReader<Result>(_ body: (OpaquePointer?) -> Result) -> Result {
            ERR_clear_error()
            return self.bytes.withUnsafeBytes {
                // SAFETY: the array owns the bytes for this call, and the reader, which does not
                // copy them, is freed before it ends.
                let reader = BIO_new_mem_buf($0.baseAddress, Int32(clamping: $0.count))
                defer { BIO_free(reader) }
                return body(reader)
            }
        }
    }

    /// What OpenSSL has left in the queue of errors of this thread.
    struct OpenSSLError {
        private let code: UInt

        /// Takes the last error, which says what a call could not do, and empties the queue.
        static func take() -> OpenSSLError {
            let code = ERR_peek_last_error()
            ERR_clear_error()
            return OpenSSLError(code: code)
        }

        /// Takes the first error, which says why, and empties the queue.
        static func takeCause() -> OpenSSLError {
            let code = ERR_peek_error()
            ERR_clear_error()
            return OpenSSLError(code: code)
        }

        /// Text for an operator; never client data.
        var reason: String {
            // SAFETY: a static text of the library, copied here.
            ERR_reason_error_string(self.code).map { String(cString: $0) } ?? "error \(self.code)"
        }

        var isEndOfPEM: Bool { openssl_is_end_of_pem(self.code) != 0 || self.code == 0 }
        var isNoKey: Bool { openssl_is_no_key(self.code) != 0 }
        var isPassphrase: Bool {
            [PEM_R_BAD_PASSWORD_READ, PEM_R_BAD_DECRYPT].contains(self.number)
        }
        var isMismatch: Bool {
            [X509_R_KEY_VALUES_MISMATCH, X509_R_KEY_TYPE_MISMATCH].contains(self.number)
        }

        /// Of a handshake that has failed.
        var end: TLSHandshakeEnd {
            switch self.number {
            case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_UNKNOWN_PROTOCOL, SSL_R_WRONG_VERSION_NUMBER,
                SSL_R_VERSION_TOO_LOW:
                .version
            case SSL_R_NO_SHARED_CIPHER, SSL_R_NO_SUITABLE_KEY_SHARE, SSL_R_NO_SHARED_GROUPS,
                SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS,
                SSL_R_NO_CIPHERS_SPECIFIED:
                .suite
            case SSL_R_NO_APPLICATION_PROTOCOL: .alpn
            case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, SSL_R_CERTIFICATE_VERIFY_FAILED,
                SSL_R_EXCESSIVE_MESSAGE_SIZE:
                .certificate
            case SSL_R_UNEXPECTED_EOF_WHILE_READING: .abandoned
            default: .other
            }
        }

        private var number: Int32 { openssl_error_reason(self.code) }
    }
#endif
