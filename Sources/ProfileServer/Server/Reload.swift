import ProfileService

/// What SIGHUP does: reads the operators' keys again, and opens the audit log again.
struct Reload: Sendable {
    let keySource: OperatorKeySource
    let access: AccessControl
    let auditLog: AuditLog?
    let log: Log

    /// Keys that cannot be read leave those before in force: a file that is wrong for a moment
    /// locks nobody out. One without keys is not wrong: whoever removes the last line, because that
    /// key has leaked, wants it to be refused. It opens nothing.
    func run() {
        if case .file = self.keySource { self.readKeys() }
        self.auditLog?.reopen()
        guard self.auditLog == nil else { return }
        switch self.keySource {
        case .file: break
        case .environment:
            self.log.info("nothing to reload: the operators' keys come from the environment")
        case .none:
            self.log.info("nothing to reload: there is no operators' key file and no audit log")
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
