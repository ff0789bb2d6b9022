import Bytes
import Profiles

/// What a key allowed when it was looked up.
struct Grant: BitwiseCopyable {
    var caller: Caller
    /// Of `caller.project`; empty for an operator's key.
    var projectName: ProjectName
    /// Of the secret that was presented: a key that is found again by its name still has it.
    var hash: SHA256Digest
    /// In microseconds since 1970; `Int64.max`: never.
    var expiresAt: Int64
    /// 0: no limit.
    var updatesPerSecondMax: UInt32
    /// 0: no limit.
    var concurrentCallsMax: UInt32
    var usage: KeyUsageHandle
    /// Of the name that the client's certificate is in the table with; zero: it has sent the key.
    var certificate = SHA256Digest.zero

    /// Allows nothing.
    static let none = Grant(
        caller: .nobody, projectName: ProjectName(), hash: .zero, expiresAt: 0,
        updatesPerSecondMax: 0, concurrentCallsMax: 0, usage: .nothing)
}

/// Which keys a grant was looked up among: it holds as long as neither number changes.
struct AccessVersion: Equatable, BitwiseCopyable {
    /// `KeyStore.version`.
    var keys: UInt64
    /// `AccessControl.operatorVersion`.
    var operators: UInt64

    /// As `==`, which would be called through a witness.
    @inline(__always)
    func equals(_ other: AccessVersion) -> Bool {
        self.keys == other.keys && self.operators == other.operators
    }
}
