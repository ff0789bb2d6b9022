import Glibc

/// How a client encrypts: whom it believes, and what it shows.
package struct ClientTLS: Equatable, Sendable {
    #if TLS
        /// Whether this program can encrypt.
        package static let isBuilt = true
    #else
        /// Whether this program can encrypt.
        package static let isBuilt = false
    #endif
    /// Why it cannot, if it cannot.
    static let notBuilt =
        "this program was built without TLS; `make build-tls` builds it with, or use a tunnel"

    /// PEM file of authorities; `nil`: those of the system.
    var authority: String?
    /// PEM files of the client's certificate and its key; `nil`: it shows none.
    var certificate: String?
    var key: String?
    /// The name that the server's certificate must have; `nil`: the host of the address.
    var serverName: String?

    /// Why flags are not accepted.
    package struct Invalid: Error, Equatable {
        package let reason: String
    }

    /// The flags of `profilectl` and `profile-bench`.
    package struct Flags {
        package var isOn: Bool
        package var authority: String?
        package var certificate: String?
        package var key: String?
        package var serverName: String?

        package init(
            isOn: Bool = false, authority: String? = nil, certificate: String? = nil,
            key: String? = nil, serverName: String? = nil
        ) {
            self.isOn = isOn
            self.authority = authority
            self.certificate = certificate
            self.key = key
            self.serverName = serverName
        }

        /// The address with what the flags say.
        ///
        /// - Parameter environment: Its `PROFILES_CA` replaces an absent `--ca` of a connection
        ///   that is encrypted, and encrypts none by itself.
        package func applied(
            to address: ServerAddress, environment: [String: String]
        ) throws(Invalid) -> ServerAddress {
            let values: [(flag: String, value: String?)] = [
                ("--ca", self.authority), ("--cert", self.certificate), ("--cert-key", self.key),
                ("--server-name", self.serverName),
            ]
            let given = (self.isOn ? ["--tls"] : []) + values.filter { $0.value != nil }.map(\.flag)
            guard let first = given.first ?? (address.tls == nil ? nil : "https") else {
                return address
            }
            guard ClientTLS.isBuilt else {
                throw Invalid(reason: "\(first): \(ClientTLS.notBuilt)")
            }
            // A script whose variable is not set shall not get another meaning.
            for (flag, value) in values where value == "" {
                throw Invalid(reason: "\(flag): the value is empty")
            }
            guard (self.certificate == nil) == (self.key == nil) else {
                throw Invalid(reason: "--cert and --cert-key need each other")
            }
            var encrypted = address
            let variable = environment["PROFILES_CA"].flatMap { $0.isEmpty ? nil : $0 }
            encrypted.tls = ClientTLS(
                authority: self.authority ?? variable, certificate: self.certificate,
                key: self.key, serverName: self.serverName)
            return encrypted
        }
    }
}
