import Bytes

// The erasure of a person: keyed hashes find the profile, one commit removes all of its data
// (Store+EraseCommit.swift), and its identifiers stay blocked. The response does not distinguish an
// unknown profile from an erased one. Source: docs/rules.md, section 6, EraseProfile.
//
// SAFETY: bytes of ids and hashes are borrowed for the closure they are passed to. Headers are read
// by the applier, or through `withHolder` under the profile's lock.

extension Store {
    /// The command that erases the profile of an identifier: hashes only. Any thread.
    ///
    /// - Parameters:
    ///   - requestID: Empty: none.
    ///   - body: Gets a command whose request id is valid for its call.
    package func withEraseCommand(
        _ project: ProjectID, _ identifier: IdentifierView, requestID: UnsafeRawBufferPointer,
        expectedRevision: UInt64?,
        _ body: (EraseCommand) -> Void
    ) {
        var command = EraseCommand(
            project: project, kind: identifier.kind,
            indexHash: self.hash.identifier(project, identifier),
            identifier: self.hash.identifierHash(project, identifier), requestID: .none,
            expectedRevision: expectedRevision)
        guard requestID.count > 0 else { return body(command) }
        withUnsafeBytes(of: self.hash.forgottenRequest(RecordKind.erase.rawValue, requestID)) {
            id in
            command.requestID = id
            body(command)
        }
    }

    /// Carries out one EraseProfile.
    func erase(_ record: RecordView, _ call: CallContext, results: inout ByteBuffer)
        throws(ApplyError)
    {
        guard let command = EraseCommand(record.payload), record.operations == 1 else {
            throw .malformed(lsn: call.firstLSN)
        }
        let head = CommandHead(
            kind: .erase, project: command.project, requestID: command.requestID)
        guard case .proceed(let admitted) = self.begin(head, record, call, results: &results)
        else { return }
        let profile = self.find(command)
        let revision = profile.map { self.pool.header($0).pointee.revision } ?? 0
        if let expected = command.expectedRevision, expected != revision {
            return self.appendRejection(
                .revisionMismatch, .erase, call, detail: revision, into: &results)
        }
        if let profile { self.erase(profile, call) }
        let start = ResultHeader(rejection: .none, flags: [], kind: .erase, lsn: call.lsn).begin(
            in: &results)
        EraseResultBody(existed: profile != nil, erasedAt: call.receivedAt).write(into: &results)
        ResultHeader.end(at: start, in: &results)
        self.end(admitted, results, from: start, call)
    }

    /// The profile that the command names, merges followed.
    private func find(_ command: EraseCommand) -> ProfileRef? {
        let table = self.index.table(command.indexHash)
        var position = table.start(Shards.tag(command.indexHash))
        while true {
            let value = table.next(Shards.tag(command.indexHash), from: &position)
            guard value != 0 else { return nil }
            let profile = ProfileRef(rawValue: value)
            if self.isNamedBy(self.pool.header(profile).pointee, command) {
                return self.identities.survivor(of: profile)
            }
        }
    }

    private func isNamedBy(_ header: ProfileHeader, _ command: EraseCommand) -> Bool {
        guard header.project == command.project else { return false }
        switch command.kind {
        case .profileID:
            return withUnsafeBytes(of: (header.id.high.bigEndian, header.id.low.bigEndian)) {
                self.isNamed($0, command)
            }
        case .customID:
            // Of a profile that was merged away it is an alias.
            guard header.identity != 0 else { return false }
            return self.isNamed(IdentityPart(self.slab.pointer(header.identity)).customID, command)
        case .installationID:
            guard header.isLive else { return false }
            var isNamed = false
            IdentityPart(self.slab.pointer(header.identity)).forEachInstallation {
                isNamed = isNamed || self.isNamed($0.id, command)
            }
            return isNamed
        }
    }

    private func isNamed(_ bytes: UnsafeRawBufferPointer, _ command: EraseCommand) -> Bool {
        self.hash.identifierHash(command.project, IdentifierView(kind: command.kind, bytes: bytes))
            == command.identifier
    }

    /// Whether a token's profile exists, or was merged into one that does. Any thread.
    package func isKnown(_ token: ConsentToken) -> Bool {
        withUnsafeBytes(of: (token.profileID.high.bigEndian, token.profileID.low.bigEndian)) { id in
            self.withHolder(token.project, IdentifierView(kind: .profileID, bytes: id)) { _, _ in
                true
            } ?? false
        }
    }
}
