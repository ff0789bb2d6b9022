import Bytes

// An un-merge: the loser lives again with what it had and what came since through its identifiers,
// and the profile that has it now loses that. Everything is decided and staged first, then seen at
// once. Source: docs/rules.md, section 6, UnmergeProfile; docs/decisions/0456-un-merge.md.
//
// SAFETY: runs on the applier, which reads headers and blocks without a lock since only it changes
// them; `changes` and `work` are one element each that `Store` owns. What drafts borrow is freed
// after the commit.

extension Store {
    /// Carries out one UnmergeProfile.
    func unmerge(_ record: RecordView, _ call: CallContext, results: inout ByteBuffer)
        throws(ApplyError)
    {
        guard let command = UnmergeCommand(record.payload), record.operations == 1,
            command.requestID.count <= RequestDeduplication.idBytesMax
        else { throw .malformed(lsn: call.firstLSN) }
        let head = CommandHead(
            kind: .unmerge, project: command.project, requestID: command.requestID)
        guard case .proceed(let admitted) = self.begin(head, record, call, results: &results)
        else { return }
        let block = self.merges.find(command.mergeID, of: command.project)
        guard block != 0 || self.ids.isMerge(command.mergeID, of: command.project) else {
            return self.appendRejection(.mergeNotFound, .unmerge, call, into: &results)
        }
        guard block != 0, let (survivor, stages) = self.stages(since: block, call) else {
            return self.appendRejection(.mergeExpired, .unmerge, call, into: &results)
        }
        guard stages.count <= UnmergeWork.laterMergesMax else {
            return self.appendRejection(
                .limitExceeded, .unmerge, call, detail: UInt64(UnmergeWork.laterMergesMax),
                into: &results)
        }
        let merge = self.merges.entry(block)
        var work = UnmergeWork(
            call: call, block: block, merge: merge, survivor: survivor, stages: stages,
            restored: self.pool.header(merge.loser).pointee,
            header: self.pool.header(survivor).pointee)
        self.carryOut(&work)
        let start = results.count
        let result = ResultHeader(rejection: .none, flags: [], kind: .unmerge, lsn: call.lsn)
            .begin(in: &results)
        UnmergeResultBody(profileID: work.header.id, restoredID: work.restored.id).write(
            into: &results)
        self.append(work.warnings, to: &results)
        ResultHeader.end(at: result, in: &results)
        self.freeReplaced()
        self.end(admitted, results, from: start, call)
    }

    /// What has happened since a merge, and the profile that has the loser now; `nil`: the merge,
    /// or one that it depends on, can no longer be undone.
    private func stages(since block: Handle, _ call: CallContext) -> (
        ProfileRef, [UnmergeWork.StageEnd]
    )? {
        let merge = self.merges.entry(block)
        guard merge.isUndoable, call.clock < self.mergeDue(merge.receivedAt) else { return nil }
        var stages: [UnmergeWork.StageEnd] = []
        var (profile, lsn) = (merge.survivor, merge.lsn)
        while stages.count <= UnmergeWork.laterMergesMax {
            var absorbed: [UnmergeWork.StageEnd] = []
            var later = self.merges.newest(survivor: profile)
            while later != 0, absorbed.count <= UnmergeWork.laterMergesMax,
                self.merges.entry(later).lsn > lsn
            {
                guard self.merges.entry(later).isUndoable else { return nil }
                absorbed.append(.absorbs(later))
                later = self.merges.entry(later).older
            }
            stages += absorbed.reversed()
            let header = self.pool.header(profile).pointee
            guard header.mergedInto != 0 else {
                stages.append(.present)
                return header.isLive ? (profile, stages) : nil
            }
            let next = self.merges.find(loser: profile)
            guard next != 0, self.merges.entry(next).isUndoable else { return nil }
            stages.append(.isAbsorbed(next))
            lsn = self.merges.entry(next).lsn
            profile = ProfileRef(rawValue: header.mergedInto)
        }
        return (profile, stages)
    }

    /// Does all of it in one commit.
    private func carryOut(_ work: inout UnmergeWork) {
        self.preserve(work.loser)
        self.preserve(work.survivor)
        for case .isAbsorbed(let block) in work.stages {
            let profile = self.merges.entry(block).loser
            self.preserve(profile)
            work.between.append((profile, self.pool.header(profile).pointee))
        }
        if self.recordsChanges {
            self.note(
                .unmerged, of: work.survivor, other: work.loser, lsn: work.call.lsn,
                detail: self.writeIDs(of: work.between.map(\.profile)))
        }
        self.splitEvents(&work)
        self.splitCounters(&work)
        self.splitTimes(&work)
        // The identities decide who may have addresses.
        let identities = self.splitIdentities(&work)
        self.splitAttributes(&work, identities)
        self.splitConsent(&work)
        self.setIdentity(identities.survivor, in: &work.header)
        self.setIdentity(identities.restored, in: &work.restored)

        work.restored.mergedInto = 0
        work.restored.raiseRevision(work.call)
        work.header.raiseRevision(work.call)
        self.replace(work.loser, with: work.restored)
        self.replace(work.survivor, with: work.header)
        for (profile, header) in work.between { self.replace(profile, with: header) }
        self.changes.pointee.profilesAdded += 1
        self.unlink(work.block)
        self.freeMerge(work.block)
        if self.project.record.pointee.triggers != nil {
            self.triggers.staged.append(.unmerge(loser: work.loser, survivor: work.survivor))
        }
        self.finish(work.call, keepsReplaced: true)
        if self.project.record.pointee.triggers != nil { self.settleTriggers(work.call) }
    }
}
