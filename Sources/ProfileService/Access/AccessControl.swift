import Bytes
import IOCore
import Profiles
import Synchronization

/// Where the keys of projects are looked up: the store, or a table of a test.
protocol AccessKeySource {
    /// As `KeyStore.lookUp`: the same work whether there is such a key or not.
    func lookUpKey(_ name: KeyName) -> (key: AccessKey, isKnown: Bool)
    func hash(ofSecret secret: UnsafeRawBufferPointer) -> SHA256Digest
    func projectName(of id: ProjectID) -> [UInt8]?
}

extension Store: AccessKeySource {
    func lookUpKey(_ name: KeyName) -> (key: AccessKey, isKnown: Bool) { self.keys.lookUp(name) }
    func hash(ofSecret secret: UnsafeRawBufferPointer) -> SHA256Digest {
        self.keys.hash(ofSecret: secret)
    }
    func projectName(of id: ProjectID) -> [UInt8]? { self.project(id)?.name }
}

/// What became of a login.
enum Login {
    case granted(Grant)
    /// With the name that was presented, if there was one.
    case failed(AccessFailure, KeyName?)
}

/// Who may call: one of a node, used by all loops.
///
/// It is open, every caller being an operator, unless operators' keys were configured at the start;
/// that does not change while the process runs, so that a file emptied by mistake opens nothing.
///
/// Source: the product's specification, "Projects and keys".
package final class AccessControl: Sendable {
    /// Whether no key is needed.
    package let isOpen: Bool
    package let metrics = AccessMetrics()
    /// Where refused and recorded accesses go; `nil`: nowhere.
    package let audit: (any AuditSink)?
    let usage = KeyUsageTable()
    let failedLogins = FailedLogins()
    private let operators: Guarded<[OperatorKey]>
    /// Whether a call without a header gets the key of its connection's certificate.
    package let mapsCertificates: Bool
    private let certificates: Guarded<CertificateKeys>
    private let operatorVersionCell = Atomic<UInt64>(0)

    /// - Parameters:
    ///   - operatorKeys: `nil`: none are configured, and no call needs a key.
    ///   - certificateKeys: The keys of certificates; `nil`: certificates stand for no key.
    package init(
        operatorKeys: [OperatorKey]? = nil, audit: (any AuditSink)? = nil,
        certificateKeys: CertificateKeys? = nil
    ) {
        self.audit = audit
        self.mapsCertificates = certificateKeys != nil
        self.certificates = Guarded(certificateKeys ?? CertificateKeys())
        self.isOpen = operatorKeys == nil
        self.operators = Guarded(operatorKeys ?? [])
    }

    /// Takes the keys of the operators' file, read anew. Those that are missing in it are refused
    /// from now on.
    package func replaceOperatorKeys(_ keys: [OperatorKey]) {
        self.operators.withLock { $0 = keys }
        self.operatorVersionCell.add(1, ordering: .releasing)
    }

    /// Takes the table of certificates, read anew: what is missing in it is refused from now on.
    package func replaceCertificateKeys(_ keys: CertificateKeys) {
        self.certificates.withLock { $0 = keys }
        self.operatorVersionCell.add(1, ordering: .releasing)
    }

    /// Operators' keys that are in force, those of the store apart.
    package var operatorKeyCount: Int { self.operators.withLock { $0.count } }

    /// Changes with the operators' keys and the table of certificates.
    var operatorVersion: UInt64 { self.operatorVersionCell.load(ordering: .acquiring) }

    // MARK: Logins

    /// Finds out what a header allows. Called once per connection and change of its header; see
    /// `CallerTable`.
    ///
    /// The time depends on the form of the header only, not on which keys exist: an unknown name
    /// has the same hashes computed and compared.
    ///
    /// - Parameters:
    ///   - header: The value of `authorization`; borrowed for this call only.
    ///   - now: In microseconds since 1970.
    func logIn(_ header: UnsafeRawBufferPointer, in keys: some AccessKeySource, now: Int64) -> Login
    {
        guard !header.isEmpty else { return .failed(.missing, nil) }
        guard header.count == HeaderBytes.bytes, Self.hasScheme(header) else {
            return .failed(.malformed, nil)
        }
        let text = UnsafeRawBufferPointer(rebasing: header[HeaderBytes.schemeBytes...])
        return withUnsafeTemporaryAllocation(byteCount: KeySecret.bytes, alignment: 8) { secret in
            // SAFETY: the memory is this call's; it is wiped before it is given back.
            defer { secret.wipe() }
            guard let name = KeyText.read(text, secret: secret) else {
                return .failed(.malformed, nil)
            }
            return self.logIn(name, UnsafeRawBufferPointer(secret), in: keys, now: now)
        }
    }

    /// The scheme is compared without regard to case (RFC 9110, section 11.1).
    private static func hasScheme(_ header: UnsafeRawBufferPointer) -> Bool {
        // A blank has the bit already that makes a letter lower case.
        zip(header, "bearer ".utf8).allSatisfy { $0 | 0x20 == $1 }
    }

    private func logIn(
        _ name: KeyName, _ secret: UnsafeRawBufferPointer, in keys: some AccessKeySource, now: Int64
    ) -> Login {
        // Both hashes, whatever the name is: which kind of key it is does not show in the time.
        let hash = keys.hash(ofSecret: secret)
        let operatorHash = OperatorKey.hash(ofSecret: secret)
        let (key, isKnown) = keys.lookUpKey(name)
        let isSecretRight = key.matches(hash)
        if let found = self.findOperator(name) {
            guard found.matches(operatorHash) else { return .failed(.mismatch, name) }
            return .granted(self.grant(found, in: keys))
        }
        guard isKnown else { return .failed(.unknown, name) }
        guard isSecretRight else { return .failed(.mismatch, name) }
        return self.grant(key, in: keys, now: now)
    }

    /// Looks at every key, so that the time shows neither whether nor where the name is found.
    private func findOperator(_ name: KeyName) -> OperatorKey? {
        self.operators.withLock { keys in
            var found: OperatorKey?
            for key in keys where key.name == name { found = key }
            return found
        }
    }

    /// Finds out what a certificate allows that has been verified, by its names.
    ///
    /// Which keys exist may show in the time: the client has proved who it is already.
    func logIn(certificate names: [String], in keys: some AccessKeySource, now: Int64) -> Login {
        guard let found = self.certificates.withLock({ $0.find(names) }) else {
            return .failed(.missing, nil)
        }
        var login: Login
        if let key = self.findOperator(found.key) {
            login = .granted(self.grant(key, in: keys))
        } else {
            let (key, isKnown) = keys.lookUpKey(found.key)
            guard isKnown else { return .failed(.unknown, found.key) }
            login = self.grant(key, in: keys, now: now)
        }
        if case .granted(var grant) = login {
            grant.certificate = found.certificate
            login = .granted(grant)
        }
        return login
    }

    /// What a key allows now whose secret was right before: `nil`: nothing any more.
    ///
    /// - Complexity: no hash; the lock of the keys once, and that of the certificates.
    func renew(_ grant: Grant, in keys: some AccessKeySource, now: Int64) -> Grant? {
        guard let name = grant.caller.keyName else { return nil }
        let certificate = grant.certificate
        guard
            certificate == .zero
                || self.certificates.withLock({ $0.key(of: certificate) }) == name
        else { return nil }
        guard var renewed = self.renewed(grant, name, in: keys, now: now) else { return nil }
        renewed.certificate = certificate
        return renewed
    }

    private func renewed(
        _ grant: Grant, _ name: KeyName, in keys: some AccessKeySource, now: Int64
    ) -> Grant? {
        if let found = self.findOperator(name) {
            return found.matches(grant.hash) ? self.grant(found, in: keys) : nil
        }
        let (key, isKnown) = keys.lookUpKey(name)
        // A key of the same name is another one if its hash is.
        guard isKnown, key.matches(grant.hash),
            case .granted(let renewed) = self.grant(key, in: keys, now: now)
        else { return nil }
        return renewed
    }

    // MARK: Grants

    private func grant(_ key: OperatorKey, in keys: some AccessKeySource) -> Grant {
        Grant(
            caller: Caller(
                keyName: key.name, project: ProjectID(rawValue: 0), scopes: .operator),
            projectName: ProjectName(), hash: key.hash, expiresAt: .max, updatesPerSecondMax: 0,
            concurrentCallsMax: 0, usage: self.counters(of: key.name, in: keys))
    }

    private func grant(_ key: AccessKey, in keys: some AccessKeySource, now: Int64) -> Login {
        guard !key.isRevoked else { return .failed(.revoked, key.name) }
        let expiresAt = key.expiresAt == 0 ? Int64.max : key.expiresAt
        guard now < expiresAt else { return .failed(.expired, key.name) }
        var projectName = ProjectName()
        if !key.isOperator {
            // A project that is gone takes its keys with it; this one is about to go.
            guard let name = keys.projectName(of: key.project).flatMap(ProjectName.init) else {
                return .failed(.unknown, key.name)
            }
            projectName = name
        }
        return .granted(
            Grant(
                caller: Caller(
                    keyName: key.name,
                    project: key.isOperator ? ProjectID(rawValue: 0) : key.project,
                    scopes: key.scopes),
                projectName: projectName, hash: key.hash, expiresAt: expiresAt,
                updatesPerSecondMax: key.updatesPerSecondMax,
                concurrentCallsMax: key.concurrentCallsMax,
                usage: self.counters(of: key.name, in: keys)))
    }

    private func counters(of name: KeyName, in keys: some AccessKeySource) -> KeyUsageHandle {
        self.usage.handle(of: name) {
            self.findOperator($0) == nil && !keys.lookUpKey($0).isKnown
        }
    }
}

extension AccessControl: KeyUsage {
    package func lastUsedMinute(of key: AccessKey) -> UInt32 {
        self.usage.lastUsedMinute(key.name)
    }
}
