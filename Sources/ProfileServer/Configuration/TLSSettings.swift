/// What the settings `tls-...` and `admin-tls` say.
package struct TLSSettings: Equatable, Sendable {
    /// How the listener of probes and metrics is served.
    package enum Admin: String, CaseIterable, Sendable {
        case off
        case on
        /// To clients with a certificate only.
        case mutual
    }

    /// PEM files; `nil`: none.
    package var certificateFile: String?
    package var keyFile: String?
    /// The authorities of clients' certificates; `nil`: clients show none.
    package var clientAuthorityFile: String?
    /// Most certificates between that of a client and its authority.
    package var verifyDepth = 2
    /// The table of certificates that stand for keys; `nil`: none do.
    package var clientKeyFile: String?
    package var admin = Admin.off

    /// Nobody has longer chains; OpenSSL would follow a hundred.
    package static let verifyDepthRange = 0 ... 10

    /// Whether gRPC is encrypted.
    package var isOn: Bool { self.certificateFile != nil }

    /// A setting that contradicts the others.
    struct Fault: Equatable {
        let setting: String
        let found: String
        let allowed: String
    }

    /// The first contradiction; `nil`: there is none.
    ///
    /// - Parameters:
    ///   - hasTLS: Whether this program can encrypt.
    ///   - hasKeys: Whether calls need keys.
    func fault(hasTLS: Bool, hasKeys: Bool) -> Fault? {
        let files: [(setting: String, value: String?)] = [
            ("tls-certificate", self.certificateFile), ("tls-key", self.keyFile),
            ("tls-client-ca", self.clientAuthorityFile), ("tls-client-keys", self.clientKeyFile),
            ("admin-tls", self.admin == .off ? nil : self.admin.rawValue),
        ]
        for case (let setting, let value?) in files where !hasTLS {
            return Fault(
                setting: setting, found: value,
                allowed: (setting == "admin-tls" ? "off" : "none")
                    + ", since this program was built without TLS; `make build-tls` builds it with")
        }
        for case (let setting, let value?) in files
        where self.certificateFile == nil || self.keyFile == nil {
            let missing = self.certificateFile == nil ? "tls-certificate" : "tls-key"
            return Fault(
                setting: setting, found: value,
                allowed: (setting == "admin-tls" ? "off" : "none") + " without --\(missing)")
        }
        let needsAuthority: [(setting: String, value: String?)] = [
            ("tls-client-keys", self.clientKeyFile),
            ("admin-tls", self.admin == .mutual ? "mutual" : nil),
        ]
        for case (let setting, let value?) in needsAuthority where self.clientAuthorityFile == nil {
            return Fault(
                setting: setting, found: value,
                allowed: (setting == "admin-tls" ? "off, on" : "none")
                    + " without --tls-client-ca, which says whose certificates count")
        }
        if let path = self.clientKeyFile, !hasKeys {
            return Fault(
                setting: "tls-client-keys", found: path,
                allowed: "none without operators' keys, since no call needs a key then")
        }
        return nil
    }
}
