import ProfileService

/// What SIGHUP does: reads keys and certificates again, and opens audit and access log again.
struct Reload: Sendable {
    let keySource: OperatorKeySource
    let access: AccessControl
    let auditLog: AuditLog?
    var accessLog: AccessLog?
    let log: Log
    /// `nil`: there is nothing to read again for them.
    var networks: ServerNetworks?
    var tls = TLSSettings()

    /// Keys that cannot be read leave those before in force: a file that is wrong for a moment
    /// locks nobody out. One without keys is not wrong: whoever removes the last line, because that
    /// key has leaked, wants it to be refused. It opens nothing.
    func run() {
        if case .file = self.keySource { self.readKeys() }
        self.networks?.reload()
        self.readCertificateKeys()
        self.auditLog?.reopen()
        self.accessLog?.reopen()
        guard self.auditLog == nil, self.accessLog == nil, !self.tls.isOn else { return }
        switch self.keySource {
        case .file: break
        case .environment:
            self.log.info("nothing to reload: the operators' keys come from the environment")
        case .none:
            self.log.info("nothing to reload: there is no operators' key file and no audit log")
        }
    }

    /// A table that cannot be read leaves the one before in force; an empty one is a table.
    private func readCertificateKeys() {
        do throws(ServerFileFailure) {
            guard let keys = try CertificateKeyFile.read(self.tls) else { return }
            self.access.replaceCertificateKeys(keys)
            self.log.info("table of certificates read again", LogField("names", keys.count))
        } catch {
            self.log.error(
                "table of certificates not read again: the one before stays in force",
                LogField("reason", error.description))
        }
    }

    private func readKeys() {
        do throws(OperatorKeySource.Failure) {
            let keys = try self.keySource.read(allowsNone: true) ?? []
            self.access.replaceOperatorKeys(keys)
            guard !keys.isEmpty else {
                return self.log.warning("operators' keys read again: there is none any more")
            }
            self.log.info("operators' keys read again", LogField("keys", keys.count))
        } catch {
            self.log.error(
                "operators' keys not read again: those before stay in force",
                LogField("reason", error.description))
        }
    }
}
