import Bytes
import CMessages
import Profiles

// SAFETY: requests are read where protobuf-c unpacked them, in the decoder's arena, and what is
// returned borrows from it until the next `decode`; responses are made in the encoder's arena and
// serialised before its reset. Counts (`n_...`) bound every array.

/// A valid CreateKeyRequest; what it borrows lies in the arena.
package struct DecodedCreateKey: DecodedRequest {
    package static var mayNameNoProject: Bool { true }
    /// Empty: an operator's key, which belongs to no project.
    package var project: UnsafeRawBufferPointer
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    /// Those of an operator's key are implied.
    package var scopes: AccessScopes
    package var isOperator: Bool
    /// In microseconds since 1970; 0: never.
    package var expiresAt: Int64
    /// Operations a second; 0: no limit.
    package var updatesPerSecondMax: UInt32
    /// Calls and streams at a time; 0: no limit.
    package var concurrentCallsMax: UInt32
    /// UTF-8; empty: none.
    package var displayName: UnsafeRawBufferPointer
}

/// A valid RevokeKeyRequest; what it borrows lies in the arena.
package struct DecodedRevokeKey: DecodedRequest {
    package static var mayNameNoProject: Bool { true }
    /// Empty: an operator's key.
    package var project: UnsafeRawBufferPointer
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    /// `nil`: no key can have the id that was sent.
    package var name: KeyName?
}

/// A valid ListKeysRequest; what it borrows lies in the arena.
package struct DecodedListKeys: DecodedRequest {
    package static var mayNameNoProject: Bool { true }
    /// Empty: the operators' keys.
    package var project: UnsafeRawBufferPointer
}

extension MessageDecoder {
    /// Longest `display_name`, in scalars; one line. At most 400 bytes in the state.
    static let displayNameScalarsMax = 100

    /// Decodes and validates a CreateKeyRequest.
    ///
    /// - Parameter now: In microseconds since 1970: a key that has expired already is a mistake.
    package func decodeCreateKey(_ message: UnsafeRawBufferPointer, now: Int64)
        -> Decoded<DecodedCreateKey>
    {
        self.decode(message, as: WireSchema.shared.createKeyRequest) { request in
            let isOperator = request.pointee.operator_ != 0
            let project = ValuePacker.text(request.pointee.project)
            // Who asks for an operator's key is told first whether he may.
            if !isOperator { self.checkProject(request.pointee.project) }
            let scopes = self.scopes(request.pointee)
            if scopes.isEmpty, !isOperator, request.pointee.n_scopes == 0 {
                self.packer.add("missing, at least one scope is needed", at: "scopes")
            }
            let expiresAt = self.time(request.pointee.expires_at, "expires_at") ?? 0
            if expiresAt != 0, expiresAt <= now {
                self.packer.add("not in the future", at: "expires_at")
            }
            return DecodedCreateKey(
                project: project, requestID: self.id(request.pointee.request_id, "request_id"),
                scopes: scopes, isOperator: isOperator, expiresAt: expiresAt,
                updatesPerSecondMax: request.pointee.updates_per_second_max,
                concurrentCallsMax: request.pointee.concurrent_calls_max,
                displayName: self.displayName(request.pointee.display_name))
        }
    }

    private func scopes(_ request: Profiles__V1__CreateKeyRequest) -> AccessScopes {
        var scopes: AccessScopes = []
        for index in 0 ..< request.n_scopes {
            if let scope = AccessScopes(contract: request.scopes[index]) {
                scopes.insert(scope)
            } else {
                self.packer.add("not a scope of the contract", at: "scopes", index: index)
            }
        }
        return scopes
    }

    func displayName(_ string: UnsafePointer<CChar>?) -> UnsafeRawBufferPointer {
        let text = ValuePacker.text(string)
        if !text.isEmpty,
            let error = TextRules.stringError(
                text, scalarsMax: Self.displayNameScalarsMax, oneLine: true)
        {
            self.packer.add(error, at: "display_name")
        }
        return text
    }

    package func decodeRevokeKey(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedRevokeKey> {
        self.decode(message, as: WireSchema.shared.revokeKeyRequest) { request in
            let id = ValuePacker.text(request.pointee.key_id)
            if id.isEmpty { self.packer.add("missing", at: "key_id") }
            return DecodedRevokeKey(
                project: self.projectOrNone(request.pointee.project),
                requestID: self.id(request.pointee.request_id, "request_id"),
                name: KeyName(text: id))
        }
    }

    package func decodeListKeys(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedListKeys> {
        self.decode(message, as: WireSchema.shared.listKeysRequest) { request in
            DecodedListKeys(project: self.projectOrNone(request.pointee.project))
        }
    }

    /// A project's name, or none for the operators.
    private func projectOrNone(_ project: UnsafePointer<CChar>?) -> UnsafeRawBufferPointer {
        let text = ValuePacker.text(project)
        if !text.isEmpty { self.checkProject(project) }
        return text
    }
}

extension MessageEncoder {
    /// Appends the CreateKeyResponse of a result that was carried out.
    ///
    /// - Parameter secret: `nil`: of a replayed response, which has only the key's id.
    package func encodeCreateKeyResponse(
        body: inout ByteReader, secret: UnsafeRawBufferPointer?, into output: inout ByteBuffer
    ) {
        guard let result = KeyResultBody(from: &body) else {
            preconditionFailure("a result of this process is whole")
        }
        // By hand: nothing but the response may hold the secret. Fields 1 and 2 are texts.
        output.append(UInt8(1 << 3 | 2))
        result.name.withText { output.appendPrefixed($0) }
        guard let secret else { return }
        var text = ByteBuffer(capacity: KeyText.bytes)
        KeyText.write(result.name, secret: secret, into: &text)
        output.append(UInt8(2 << 3 | 2))
        output.appendPrefixed(text.bytes)
        text.wipe()
    }

    /// Appends the ListKeysResponse.
    ///
    /// - Parameter lastUsedMinute: Of a key, in minutes since 1970; 0: unknown.
    package func encodeListKeysResponse(
        _ keys: [ListedKey], lastUsedMinute: (AccessKey) -> UInt32, into output: inout ByteBuffer
    ) {
        self.arena.reset()
        let response = self.arena.make(profiles__v1__list_keys_response__init)
        response.pointee.n_keys = keys.count
        response.pointee.keys = self.arena.pointers(keys.count)
        for (index, listed) in keys.enumerated() {
            response.pointee.keys[index] = self.key(
                listed, lastUsedMinute: lastUsedMinute(listed.key))
        }
        Self.pack(UnsafeMutableRawPointer(response), into: &output)
    }

    private func key(_ listed: ListedKey, lastUsedMinute: UInt32)
        -> UnsafeMutablePointer<Profiles__V1__Key>
    {
        let (key, message) = (listed.key, self.arena.make(profiles__v1__key__init))
        message.pointee.key_id = key.name.withText { self.arena.string($0) }
        let scopes = AccessScopes.contract.filter {
            key.isOperator || key.scopes.contains($0.scope)
        }
        // SAFETY: the arena gives one element for each of the five scopes, until its reset.
        let target = self.arena.memory(
            AccessScopes.contract.count * MemoryLayout<Profiles__V1__Scope>.stride
        ).bindMemory(to: Profiles__V1__Scope.self, capacity: AccessScopes.contract.count)
        for (index, scope) in scopes.enumerated() { target[index] = scope.value }
        message.pointee.n_scopes = scopes.count
        message.pointee.scopes = target
        message.pointee.created_at = self.timestamp(key.createdAt)
        if key.expiresAt != 0 { message.pointee.expires_at = self.timestamp(key.expiresAt) }
        message.pointee.revoked = key.isRevoked ? 1 : 0
        message.pointee.display_name = listed.displayName.withUnsafeBytes { self.arena.string($0) }
        if lastUsedMinute != 0 {
            message.pointee.last_used_at = self.timestamp(Int64(lastUsedMinute) * 60_000_000)
        }
        message.pointee.updates_per_second_max = key.updatesPerSecondMax
        message.pointee.concurrent_calls_max = key.concurrentCallsMax
        message.pointee.operator_ = key.isOperator ? 1 : 0
        return message
    }
}

extension AccessScopes {
    /// The scopes of the contract with their values, in its order.
    static let contract: [(scope: AccessScopes, value: Profiles__V1__Scope)] = [
        (.read, PROFILES__V1__SCOPE__SCOPE_READ), (.write, PROFILES__V1__SCOPE__SCOPE_WRITE),
        (.erase, PROFILES__V1__SCOPE__SCOPE_ERASE), (.admin, PROFILES__V1__SCOPE__SCOPE_ADMIN),
        (.export, PROFILES__V1__SCOPE__SCOPE_EXPORT),
    ]

    /// `nil`: not a scope of the contract.
    init?(contract value: Profiles__V1__Scope) {
        guard let known = Self.contract.first(where: { $0.value == value }) else { return nil }
        self = known.scope
    }
}
