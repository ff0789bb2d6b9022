#if TLS
    /// Why files make no server.
    package enum TLSError: Error, Equatable, Sendable, CustomStringConvertible {
        case noCertificate
        /// OpenSSL's reason.
        case badCertificate(String)
        case noKey
        /// It has a passphrase, which nobody could type.
        case encryptedKey
        case badKey(String)
        /// The key is that of another certificate.
        case mismatch
        case noAuthority
        case badAuthority(String)
        /// OpenSSL cannot be set up.
        case openSSL(String)

        package var description: String {
            switch self {
            case .noCertificate: "no PEM certificate in the certificate file"
            case .badCertificate(let reason): "the certificate is not usable: \(reason)"
            case .noKey: "no PEM private key in the key file"
            case .encryptedKey: "the private key has a passphrase; store it without one, mode 600"
            case .badKey(let reason): "the private key is not usable: \(reason)"
            case .mismatch: "the private key does not belong to the certificate"
            case .noAuthority: "no PEM certificate in the file of clients' authorities"
            case .badAuthority(let reason): "an authority of clients is not usable: \(reason)"
            case .openSSL(let reason): "OpenSSL: \(reason)"
            }
        }
    }
#endif
