import Bytes

// A device leaves the profile that it is on for a fresh anonymous one, as by a log-out that nobody
// made on the device: it was not seen. Source: docs/rules.md, section 6, DetachInstallation.
//
// SAFETY: runs on the applier, which reads headers and blocks without a lock since only it changes
// them and stages new ones.

extension Store {
    /// Carries out one DetachInstallation.
    func detach(_ record: RecordView, _ call: CallContext, results: inout ByteBuffer)
        throws(ApplyError)
    {
        guard let command = DetachCommand(record.payload), record.operations == 1,
            command.requestID.count <= RequestDeduplication.idBytesMax
        else { throw .malformed(lsn: call.firstLSN) }
        let device = CommandHead.Subject(
            identifier: command.identifier,
            hash: self.hash.identifier(command.project, command.identifier))
        let head = CommandHead(
            kind: .detach, project: command.project, requestID: command.requestID, first: device)
        guard case .proceed(let admitted) = self.begin(head, record, call, results: &results)
        else { return }
        guard let holder = admitted.first?.profile else {
            return self.appendRejection(.profileNotFound, .detach, call, into: &results)
        }
        let former = self.pool.header(holder).pointee
        let identity = IdentityPart(self.slab.pointer(former.identity))
        let isAlone = identity.customID.count == 0 && identity.installationCount == 1
        var profile = holder
        if !isAlone {
            profile = self.detach(device, from: holder, call)
            self.finish(call)
        }
        let start = results.count
        let result = ResultHeader(rejection: .none, flags: [], kind: .detach, lsn: call.lsn).begin(
            in: &results)
        let header = self.pool.header(profile).pointee
        DetachResultBody(
            profileID: header.id, revision: header.revision, formerProfileID: former.id
        ).write(into: &results)
        ResultHeader.end(at: result, in: &results)
        self.end(admitted, results, from: start, call)
    }

    /// Stages the move of a device to a profile of its own, which it returns.
    private func detach(
        _ device: CommandHead.Subject, from holder: ProfileRef, _ call: CallContext
    ) -> ProfileRef {
        self.preserve(holder)
        var left = self.pool.header(holder).pointee
        var leftIdentity = self.identityDraft(left)
        var installation = leftIdentity.remove(device.identifier.bytes)
        self.setIdentity(leftIdentity, in: &left)
        left.raiseRevision(call)
        self.replace(holder, with: left)
        self.unname(holder, device.hash)

        let profile = self.createProfile(
            call, project: left.project, identity: 0, identityBytes: 0)
        var header = self.pool.header(profile).pointee
        installation.attachedAt = call.receivedAt
        installation.part = 0
        installation.move(to: profile, at: call.receivedAt, former: holder)
        var identity = IdentityDraft()
        identity.installations.append(installation)
        self.name(profile, device.hash)
        if self.recordsChanges {
            self.noteMove(
                of: installation.id, to: profile, from: holder, call, origin: ChangeOrigin())
        }
        self.setIdentity(identity, in: &header)
        self.replace(profile, with: header)
        return profile
    }
}
