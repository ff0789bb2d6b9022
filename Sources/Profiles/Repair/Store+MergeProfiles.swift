import Bytes

// A merge that is asked for, of any two profiles. Its result is that of an Identify without a
// patch. Source: docs/rules.md, section 6, MergeProfiles.
//
// SAFETY: runs on the applier, which reads headers and blocks without a lock since only it changes
// them.

extension Store {
    /// Carries out one MergeProfiles.
    func mergeProfiles(_ record: RecordView, _ call: CallContext, results: inout ByteBuffer)
        throws(ApplyError)
    {
        guard let command = MergeCommand(record.payload), record.operations == 1,
            command.requestID.count <= RequestDeduplication.idBytesMax
        else { throw .malformed(lsn: call.firstLSN) }
        let head = CommandHead(
            kind: .merge, project: command.project, requestID: command.requestID,
            first: self.subject(command.loser, command.project),
            second: self.subject(command.survivor, command.project))
        guard case .proceed(let admitted) = self.begin(head, record, call, results: &results)
        else { return }
        let (loser, survivor) = (admitted.first?.profile, admitted.second?.profile)
        let revision = survivor.map { self.pool.header($0).pointee.revision } ?? 0
        if let expected = command.expectedRevision, expected != revision {
            return self.appendRejection(
                .revisionMismatch, .merge, call, detail: revision, into: &results)
        }
        guard let loser, let survivor else {
            return self.appendRejection(.profileNotFound, .merge, call, into: &results)
        }
        let isAnyAnonymous = [loser, survivor].contains {
            !self.isIdentified(self.pool.header($0).pointee)
        }
        guard loser == survivor || isAnyAnonymous || command.allowsIdentified else {
            return self.appendRejection(.bothIdentified, .merge, call, into: &results)
        }
        var work = MergeWork(call: call)
        var mergeID: ProfileID?
        if loser != survivor {
            mergeID = self.merge(loser, into: survivor, &work)
            self.finish(call, keepsReplaced: true)
            if self.project.record.pointee.triggers != nil { self.settleTriggers(call) }
        }
        let start = results.count
        self.appendMerge(of: survivor, mergeID, work, into: &results)
        self.freeReplaced()
        self.end(admitted, results, from: start, call)
    }

    private func subject(_ identifier: IdentifierView, _ project: ProjectID) -> CommandHead.Subject
    {
        CommandHead.Subject(
            identifier: identifier, hash: self.hash.identifier(project, identifier))
    }

    /// Stages a merge without a patch.
    private func merge(
        _ loser: ProfileRef, into survivor: ProfileRef, _ work: inout MergeWork
    ) -> ProfileID {
        var draft = self.attributeDraft(self.pool.header(survivor).pointee)
        let losses = draft.merge(
            self.attributeDraft(self.pool.header(loser).pointee),
            latestWins: self.project.options.latestWins, names: self.project.names,
            limits: self.attributeLimits, rules: work.call.rules)
        for name in losses.attributes { work.warnings.append((.attributeLimit, name)) }
        for name in losses.lists { work.warnings.append((.listOverflow, name)) }
        return self.merge(loser, into: survivor, draft, &work)
    }

    /// Appends the result.
    ///
    /// - Parameter mergeID: `nil`: the two were one already.
    private func appendMerge(
        of survivor: ProfileRef, _ mergeID: ProfileID?, _ work: MergeWork,
        into results: inout ByteBuffer
    ) {
        let header = self.pool.header(survivor).pointee
        let start = ResultHeader(rejection: .none, flags: [], kind: .merge, lsn: work.call.lsn)
            .begin(in: &results)
        IdentifyResultBody(
            profileID: header.id, revision: header.revision,
            outcome: mergeID == nil ? .noop : .merged,
            mergeID: mergeID ?? ProfileID(high: 0, low: 0), redirectedFrom: nil, itemCount: 0
        ).write(into: &results)
        // No patch, so nothing of it is stale.
        results.appendVarint(0)
        self.append(work.warnings, to: &results)
        ResultHeader.end(at: start, in: &results)
    }

    /// Appends the list of warnings of a result.
    func append(
        _ warnings: [(reason: WarningReason, text: UnsafeRawBufferPointer)],
        to results: inout ByteBuffer
    ) {
        results.appendVarint(UInt64(warnings.count))
        for warning in warnings {
            results.append(warning.reason.rawValue)
            results.appendPrefixed(warning.text)
        }
    }
}
