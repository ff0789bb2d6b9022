import Bytes

/// The payload of a CreateKey.
///
/// Layout, little-endian: `project: UInt32 (0: an operator's key) | requestID: prefixed (empty:
/// none) | scopes: UInt8 | expiresAt: Int64 µs (0: never) | updatesPerSecondMax,
/// concurrentCallsMax: UInt32 (0: no limit) | displayName: prefixed | hash: 32 bytes`. The hash is
/// last: it is new in each attempt, so two attempts are equal whatever it is. Its result's body is
/// a `KeyResultBody`.
package struct CreateKeyCommand {
    package var project: ProjectID
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    package var scopes: AccessScopes
    /// In microseconds since 1970; 0: never.
    package var expiresAt: Int64
    /// Operations a second; 0: no limit.
    package var updatesPerSecondMax: UInt32
    /// Calls and streams at a time; 0: no limit.
    package var concurrentCallsMax: UInt32
    /// UTF-8; empty: none.
    package var displayName: UnsafeRawBufferPointer
    /// Of the secret, which never enters a record.
    package var hash: SHA256Digest

    package init(
        project: ProjectID, requestID: UnsafeRawBufferPointer, scopes: AccessScopes,
        expiresAt: Int64, updatesPerSecondMax: UInt32, concurrentCallsMax: UInt32,
        displayName: UnsafeRawBufferPointer, hash: SHA256Digest
    ) {
        self.project = project
        self.requestID = requestID
        self.scopes = scopes
        self.expiresAt = expiresAt
        self.updatesPerSecondMax = updatesPerSecondMax
        self.concurrentCallsMax = concurrentCallsMax
        self.displayName = displayName
        self.hash = hash
    }

    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.project.rawValue)
        buffer.appendPrefixed(self.requestID)
        buffer.append(self.scopes.rawValue)
        buffer.append(self.expiresAt)
        buffer.append(self.updatesPerSecondMax)
        buffer.append(self.concurrentCallsMax)
        buffer.appendPrefixed(self.displayName)
        self.hash.write(into: &buffer)
    }

    /// Reads a payload; `nil` if it is not one.
    package init?(_ payload: UnsafeRawBufferPointer) {
        var reader = ByteReader(payload)
        self.project = ProjectID(rawValue: reader.read())
        self.requestID = reader.readPrefixed()
        self.scopes = AccessScopes(rawValue: reader.read())
        self.expiresAt = reader.read()
        self.updatesPerSecondMax = reader.read()
        self.concurrentCallsMax = reader.read()
        self.displayName = reader.readPrefixed()
        self.hash = SHA256Digest(from: &reader)
        guard reader.isAtCleanEnd, self.scopes.belong(to: self.project), self.expiresAt >= 0,
            self.requestID.count <= RequestDeduplication.idBytesMax,
            self.displayName.count <= KeyStore.displayNameBytesMax
        else { return nil }
    }

    /// The part of a payload that two attempts of one call have in common.
    static func equalPart(of payload: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: payload.dropLast(SHA256Digest.bytes))
    }
}

extension AccessScopes {
    /// Whether a key of a project can have these: at least one, and those of operators alone under
    /// project 0.
    func belong(to project: ProjectID) -> Bool {
        project.rawValue == 0
            ? self == .operator : !self.isEmpty && self.isSubset(of: .ofProjects)
    }
}

/// The payload of a RevokeKey.
///
/// Layout: `project: UInt32 (0: an operator's key) | requestID: prefixed (empty: none) | name:
/// 2 x UInt64`. Its result has no body.
package struct RevokeKeyCommand {
    package var project: ProjectID
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    package var name: KeyName

    package init(project: ProjectID, requestID: UnsafeRawBufferPointer, name: KeyName) {
        self.project = project
        self.requestID = requestID
        self.name = name
    }

    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.project.rawValue)
        buffer.appendPrefixed(self.requestID)
        buffer.append(self.name.high)
        buffer.append(self.name.low)
    }

    /// Reads a payload; `nil` if it is not one.
    package init?(_ payload: UnsafeRawBufferPointer) {
        var reader = ByteReader(payload)
        self.project = ProjectID(rawValue: reader.read())
        self.requestID = reader.readPrefixed()
        guard let name = KeyName(high: reader.read(), low: reader.read()), reader.isAtCleanEnd,
            self.requestID.count <= RequestDeduplication.idBytesMax
        else { return nil }
        self.name = name
    }
}

/// The body of the result of a CreateKey that was carried out.
///
/// Layout: `name: 2 x UInt64`. The secret is not in it: a replay gives the name alone.
package struct KeyResultBody: Equatable {
    package var name: KeyName

    init(name: KeyName) {
        self.name = name
    }

    func write(into buffer: inout ByteBuffer) {
        buffer.append(self.name.high)
        buffer.append(self.name.low)
    }

    /// Reads a body; `nil` if it is not one.
    package init?(from reader: inout ByteReader) {
        guard let name = KeyName(high: reader.read(), low: reader.read()), !reader.overrun else {
            return nil
        }
        self.name = name
    }
}
