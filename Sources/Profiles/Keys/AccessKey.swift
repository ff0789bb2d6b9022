import Bytes

/// A key as the state knows it: everything but its secret, of which it has a keyed hash.
package struct AccessKey: Equatable, Sendable, BitwiseCopyable {
    package var name: KeyName
    /// 0: an operator's key.
    package var project: ProjectID
    package var scopes: AccessScopes
    package var isRevoked = false
    /// HMAC-SHA-256 of the secret (`KeySecret.hash`).
    package var hash: SHA256Digest
    /// Of the CreateKey, in microseconds since 1970.
    package var createdAt: Int64 = 0
    /// The lsn of the CreateKey: keys of a project ascend by it.
    package var createdLSN: UInt64 = 0
    /// In microseconds since 1970; 0: never.
    package var expiresAt: Int64 = 0
    /// In microseconds since 1970; 0: not revoked.
    package var revokedAt: Int64 = 0
    /// Operations a second; 0: no limit.
    package var updatesPerSecondMax: UInt32 = 0
    /// Calls and streams at a time; 0: no limit.
    package var concurrentCallsMax: UInt32 = 0
    /// Where the store of this process has it, 0...; not part of the state.
    var number: UInt32 = 0

    package init(
        name: KeyName, project: ProjectID, scopes: AccessScopes, hash: SHA256Digest
    ) {
        self.name = name
        self.project = project
        self.scopes = scopes
        self.hash = hash
    }

    /// Whether it is an operator's key.
    package var isOperator: Bool { self.scopes.contains(.operator) }

    /// Whether it is neither revoked nor expired; `now` in microseconds since 1970.
    @inline(__always)
    package func isLive(at now: Int64) -> Bool {
        !self.isRevoked && (self.expiresAt == 0 || now < self.expiresAt)
    }

    /// Whether `hash` is that of the secret. The time it takes does not depend on where two hashes
    /// differ.
    package func matches(_ hash: SHA256Digest) -> Bool {
        (self.hash.words.0 ^ hash.words.0) | (self.hash.words.1 ^ hash.words.1)
            | (self.hash.words.2 ^ hash.words.2) | (self.hash.words.3 ^ hash.words.3) == 0
    }
}

/// A key as a listing shows it.
package struct ListedKey: Equatable, Sendable {
    package var key: AccessKey
    /// UTF-8; empty: none.
    package var displayName: [UInt8]
}
