import Bytes

// CreateKey and RevokeKey. A key's name is derived here, like every id of the store: a replay makes
// the same one, and one that is taken is never given again. Its secret is made outside and never
// comes here. Source: docs/decisions/0150-keys-in-the-state.md.
//
// SAFETY: `changes` is one element that `Store` owns; only the applier, which runs this file,
// follows it. What a command borrows lies in its record, which lives until `apply` returns.

/// What a commit changes of the keys.
enum KeyChange {
    case create(AccessKey, displayName: [UInt8])
    case revoke(AccessKey)
}

extension Store {
    /// Carries out one CreateKey.
    func createKey(
        _ record: RecordView, _ call: CallContext, results: inout ByteBuffer
    ) throws(ApplyError) {
        guard let command = CreateKeyCommand(record.payload), record.operations == 1 else {
            throw .malformed(lsn: call.firstLSN)
        }
        let head = CommandHead(
            kind: .createKey, project: command.project, requestID: command.requestID,
            isOfInstance: command.project.rawValue == 0)
        let equal = RecordView(
            kind: record.kind, operations: 1,
            payload: CreateKeyCommand.equalPart(of: record.payload))
        guard case .proceed(let admitted) = self.begin(head, equal, call, results: &results)
        else { return }
        guard self.keys.liveCount(of: command.project, now: call.clock) < KeyStore.liveKeysMax
        else {
            return self.appendRejection(
                .limitExceeded, .createKey, call, detail: UInt64(KeyStore.liveKeysMax),
                into: &results)
        }
        var key = AccessKey(
            name: self.newKeyName(call), project: command.project, scopes: command.scopes,
            hash: command.hash)
        key.createdAt = call.receivedAt
        key.createdLSN = call.lsn
        key.expiresAt = command.expiresAt
        key.updatesPerSecondMax = command.updatesPerSecondMax
        key.concurrentCallsMax = command.concurrentCallsMax
        self.changes.pointee.isStaged = true
        self.changes.pointee.key = .create(key, displayName: [UInt8](command.displayName))
        self.finish(call)
        let start = ResultHeader(rejection: .none, flags: [], kind: .createKey, lsn: call.lsn)
            .begin(in: &results)
        KeyResultBody(name: key.name).write(into: &results)
        ResultHeader.end(at: start, in: &results)
        self.end(admitted, results, from: start, call)
    }

    /// Carries out one RevokeKey. Of a key that is revoked already it changes nothing.
    func revokeKey(
        _ record: RecordView, _ call: CallContext, results: inout ByteBuffer
    ) throws(ApplyError) {
        guard let command = RevokeKeyCommand(record.payload), record.operations == 1 else {
            throw .malformed(lsn: call.firstLSN)
        }
        let head = CommandHead(
            kind: .revokeKey, project: command.project, requestID: command.requestID,
            isOfInstance: command.project.rawValue == 0)
        guard case .proceed(let admitted) = self.begin(head, record, call, results: &results)
        else { return }
        guard var key = self.keys.find(command.name), key.project == command.project else {
            return self.appendRejection(.keyNotFound, .revokeKey, call, into: &results)
        }
        if !key.isRevoked {
            key.isRevoked = true
            key.revokedAt = call.receivedAt
            self.changes.pointee.isStaged = true
            self.changes.pointee.key = .revoke(key)
            self.finish(call)
        }
        let start = ResultHeader(rejection: .none, flags: [], kind: .revokeKey, lsn: call.lsn)
            .begin(in: &results)
        ResultHeader.end(at: start, in: &results)
        self.end(admitted, results, from: start, call)
    }

    /// A name that no key has.
    private func newKeyName(_ call: CallContext) -> KeyName {
        var attempt: UInt64 = 0
        while true {
            let name = self.ids.keyName(
                receivedAt: call.receivedAt, lsn: call.lsn, attempt: attempt)
            guard self.keys.find(name) != nil else { return name }
            attempt += 1
        }
    }
}
