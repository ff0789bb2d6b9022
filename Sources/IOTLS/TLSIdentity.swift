/// What a server proves itself with, and whom it believes: the contents of files, not yet parsed.
package struct TLSIdentity: Sendable {
    /// PEM: the server's certificate, then those that lead from it to a root.
    package var certificates: [UInt8]
    /// PEM, without a passphrase.
    package var key: [UInt8]
    /// PEM: the authorities of clients' certificates; `nil`: clients show none.
    package var clientAuthorities: [UInt8]?
    /// Most certificates between that of a client and its authority.
    package var verifyDepth: Int

    package init(
        certificates: [UInt8], key: [UInt8], clientAuthorities: [UInt8]?, verifyDepth: Int
    ) {
        self.certificates = certificates
        self.key = key
        self.clientAuthorities = clientAuthorities
        self.verifyDepth = verifyDepth
    }
}

/// The protocol inside.
package enum TLSProtocol: Sendable {
    /// gRPC; a client that does not ask for it by ALPN is refused (RFC 9113, section 3.3).
    case http2
    /// Probes and metrics; clients without ALPN are served as well.
    case http1
}
