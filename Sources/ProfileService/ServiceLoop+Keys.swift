import Bytes
import GRPCTransport
import Messages
import Profiles

// CreateKey, RevokeKey and ListKeys. Without operators' keys the server needs none, and makes none:
// nothing looks protected that is not.

extension ServiceLoop {
    func decodeCreateKey(_ message: UnsafeRawBufferPointer) -> Decoded<DecodedCreateKey> {
        self.decoder.decodeCreateKey(message, now: self.transport.nowWallMicroseconds)
    }

    /// Makes a secret, which stays with the open batch, and adds a command with its hash.
    func createKey(_ request: DecodedCreateKey, _ context: RequestContext) {
        guard !self.access.isOpen else {
            return self.reject(context.token, .rejected(.keysDisabled))
        }
        let scopes: AccessScopes = request.isOperator ? .operator : request.scopes
        guard context.caller.scopes.allow(scopes) else {
            self.noteDenial(
                .scope, of: context.token, method: nil, key: context.caller.keyName)
            return self.reject(context.token, .rejected(.scopeMissing))
        }
        guard request.isOperator == (context.project == ProjectID(rawValue: 0)) else {
            return self.reject(
                context.token, .invalid("project", "an operator's key belongs to no project"))
        }
        let batch = self.batch
        let secrets = batch.secrets ?? NewSecrets()
        batch.secrets = secrets
        guard let secret = secrets.make(for: context.token, self.random) else {
            return self.reject(context.token, .notAdmitted(.rateExceeded))
        }
        let hash = context.partition.store.keys.hash(ofSecret: secret)
        let isAdded = self.submit(.createKey, items: 0, context) {
            CreateKeyCommand(
                project: context.project, requestID: request.requestID, scopes: scopes,
                expiresAt: request.expiresAt, updatesPerSecondMax: request.updatesPerSecondMax,
                concurrentCallsMax: request.concurrentCallsMax, displayName: request.displayName,
                hash: hash
            ).write(into: &$0)
        }
        // A batch that stays empty is not reset: its secrets would stay, and count.
        if !isAdded { secrets.removeLast() }
    }

    func revokeKey(_ request: DecodedRevokeKey, _ context: RequestContext) {
        guard let name = request.name else {
            return self.reject(context.token, .rejected(.keyNotFound))
        }
        self.submit(.revokeKey, items: 0, context) {
            RevokeKeyCommand(project: context.project, requestID: request.requestID, name: name)
                .write(into: &$0)
        }
    }

    func listKeys(_ request: DecodedListKeys, _ context: RequestContext) {
        let keys = context.partition.store.keys.list(of: context.project)
        self.transport.respond(to: context.token) {
            self.encoder.encodeListKeysResponse(
                keys, lastUsedMinute: { self.access.lastUsedMinute(of: $0) }, into: &$0)
        }
    }

    /// Appends the response to a CreateKey that was carried out: with the secret, unless it is the
    /// response of an earlier attempt.
    func encodeCreateKey(
        _ header: ResultHeader, _ body: inout ByteReader, _ slot: BatchSlot,
        into output: inout ByteBuffer
    ) {
        let secret = header.isReplayed ? nil : self.returnedSecrets?.secret(of: slot.token)
        self.encoder.encodeCreateKeyResponse(body: &body, secret: secret, into: &output)
    }
}
