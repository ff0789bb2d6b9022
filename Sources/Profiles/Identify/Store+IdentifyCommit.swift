import Bytes

// The last step of an Identify: everything was decided, nothing can fail, and all of it can be seen
// at once.
//
// SAFETY: `work` and `changes` are one element each that `Store` owns; this file runs on the
// applier, which reads headers without a lock since only it changes them and stages new ones.

extension Store {
    /// Carries a step out, with the attributes that the target shall have. What it replaced is kept
    /// for the warnings, which quote it.
    func carryOut(
        _ step: IdentifyStep, _ draft: inout AttributeDraft, _ outcome: PatchOutcome,
        _ work: inout IdentifyWork
    ) -> IdentifyDone {
        let done: IdentifyDone
        switch step {
        case .create: done = self.create(draft, work)
        case .patch(let profile):
            let isVisible = self.patch(profile, draft, outcome, work)
            done = IdentifyDone(shown: profile, outcome: isVisible ? .updated : .noop)
        case .attach(let profile):
            done = IdentifyDone(shown: profile, outcome: .attached)
            self.attach(profile, draft, outcome, &work)
        case .promote(let profile):
            done = IdentifyDone(shown: profile, outcome: .promoted)
            self.promote(profile, draft, outcome, work)
        case .merge(let loser, into: let survivor):
            var merge = MergeWork(work)
            done = IdentifyDone(
                shown: survivor, outcome: .merged,
                mergeID: self.merge(loser, into: survivor, draft, &merge))
            work.warnings += merge.warnings
        case .switchOver(let source, to: let target):
            done = IdentifyDone(
                shown: self.move(from: source, to: target, draft, outcome, &work),
                outcome: .switched)
        case .logOut(let source):
            done = IdentifyDone(
                shown: self.move(from: source, to: nil, draft, outcome, &work), outcome: .loggedOut)
        case .staleLink(let person): done = self.staleLink(person, draft, outcome, work)
        case .staleLogOut(let holder):
            done = IdentifyDone(shown: holder, outcome: .ignoredStaleLink)
        }
        self.deviceSeen(work, done.shown)
        self.finish(work.call, keepsReplaced: true)
        if self.project.record.pointee.triggers != nil { self.settleTriggers(work.call) }
        return done
    }

    /// Moves the device's `lastSeenAt` where it is now, and gives it the platform of the call, in
    /// place; a move writes both with the identity.
    private func deviceSeen(_ work: IdentifyWork, _ shown: ProfileRef) {
        guard let holder = work.holder else { return }
        let isGathered = self.changes.pointee.headers.contains { $0.profile == holder }
        guard !isGathered else { return }
        self.editDevice(of: holder, work, raisesForPlatform: true)
    }

    private func editDevice(
        of holder: ProfileRef, _ work: IdentifyWork, raisesForPlatform: Bool
    ) {
        let platform = work.call.rules.platform(named: work.header.platform)
        let isHistorical = work.header.flags.contains(.historical)
        guard !isHistorical || platform != 0 else { return }
        let edit = self.edit(holder)
        if !isHistorical { edit.pointee.seenAt = work.call.receivedAt }
        edit.pointee.installationID = work.header.installationID
        edit.pointee.platform = platform
        edit.pointee.raisesForPlatform = raisesForPlatform
    }

    /// Whether the call names another platform than the one that its device has.
    private func changesPlatform(of header: ProfileHeader, _ work: IdentifyWork) -> Bool {
        let platform = work.call.rules.platform(named: work.header.platform)
        guard platform != 0 else { return false }
        let installation = IdentityPart(self.slab.pointer(header.identity))
            .installation(work.header.installationID)
        return installation.map { $0.platform != platform } ?? false
    }

    /// A header to be changed: its own blocks, inside a batch.
    private func headerToChange(_ profile: ProfileRef) -> ProfileHeader {
        self.preserve(profile)
        return self.pool.header(profile).pointee
    }

    /// Notes that the person was seen.
    private func seen(_ header: inout ProfileHeader, _ work: IdentifyWork) {
        guard !work.header.flags.contains(.historical) else { return }
        header.lastSeenAt = max(header.lastSeenAt, work.call.receivedAt)
    }

    private func newInstallation(_ work: IdentifyWork) -> IdentityDraft.Installation {
        IdentityDraft.Installation(
            id: work.header.installationID,
            platform: work.call.rules.platform(ofNew: work.header.platform),
            attachedAt: work.call.receivedAt,
            lastSeenAt: work.call.receivedAt)
    }

    /// A new profile without identity, to be completed and replaced.
    private func begin(_ work: IdentifyWork, _ draft: AttributeDraft) -> (ProfileRef, ProfileHeader)
    {
        let profile = self.createProfile(
            work.call, project: work.header.project, identity: 0, identityBytes: 0,
            origin: work.origin)
        var header = self.pool.header(profile).pointee
        self.setAttributes(draft, in: &header)
        self.addressesChanged(profile, from: nil, to: draft)
        return (profile, header)
    }

    private func create(_ draft: AttributeDraft, _ work: IdentifyWork) -> IdentifyDone {
        var (profile, header) = self.begin(work, draft)
        var identity = IdentityDraft()
        identity.customID = work.header.customID
        if work.hasInstallation {
            var installation = self.newInstallation(work)
            if work.hasCustomID {
                installation.move(to: profile, at: work.effectiveTime, former: profile)
            }
            identity.installations.append(installation)
            self.name(profile, work.installationHash)
        }
        if work.hasCustomID { self.name(profile, work.customHash) }
        self.setIdentity(identity, in: &header)
        self.replace(profile, with: header)
        return IdentifyDone(shown: profile, outcome: .created)
    }

    /// - Returns: Whether a reader can see a difference.
    private func patch(
        _ profile: ProfileRef, _ draft: AttributeDraft, _ outcome: PatchOutcome,
        _ work: IdentifyWork
    ) -> Bool {
        var header = self.headerToChange(profile)
        let isHolder = work.holder == profile
        let isVisible =
            outcome.isVisible || isHolder && self.changesPlatform(of: header, work)
        self.change(profile, &header, draft, outcome, work)
        if isVisible { header.raiseRevision(work.call) }
        if work.holder == nil || isHolder { self.seen(&header, work) }
        if isHolder { self.editDevice(of: profile, work, raisesForPlatform: false) }
        self.replace(profile, with: header)
        return isVisible
    }

    /// Gives a profile its new attributes, if the patch has any.
    private func change(
        _ profile: ProfileRef, _ header: inout ProfileHeader, _ draft: AttributeDraft,
        _ outcome: PatchOutcome,
        _ work: IdentifyWork
    ) {
        guard outcome.itemCount > 0 else { return }
        self.addressesChanged(profile, from: header, to: draft)
        self.resetConsent(of: profile, for: draft, in: &header, work.call, origin: work.origin)
        if self.recordsChanges {
            self.noteAttributes(
                of: profile, from: header, to: draft, work.call, origin: work.origin)
        }
        self.setAttributes(draft, in: &header)
    }

    /// Notes that the installation of the call belongs to a profile now.
    private func noteMove(to profile: ProfileRef, from former: ProfileRef?, _ work: IdentifyWork) {
        guard self.recordsChanges else { return }
        self.noteMove(
            of: work.header.installationID, to: profile, from: former, work.call,
            origin: work.origin)
    }

    private func attach(
        _ profile: ProfileRef, _ draft: AttributeDraft, _ outcome: PatchOutcome,
        _ work: inout IdentifyWork
    ) {
        var header = self.headerToChange(profile)
        var identity = self.identityDraft(header)
        var installation = self.newInstallation(work)
        let holder = work.personPart ?? profile
        installation.move(to: holder, at: work.effectiveTime, former: holder)
        installation.part = work.personPart?.rawValue ?? 0
        self.add(installation, to: profile, &identity, &work)
        self.name(profile, work.installationHash)
        self.noteMove(to: profile, from: nil, work)
        self.setIdentity(identity, in: &header)
        self.change(profile, &header, draft, outcome, work)
        header.raiseRevision(work.call)
        self.seen(&header, work)
        self.replace(profile, with: header)
    }

    /// Adds an installation; over the limit the least recently seen one leaves. A login is never
    /// rejected for it.
    private func add(
        _ installation: IdentityDraft.Installation, to profile: ProfileRef,
        _ identity: inout IdentityDraft,
        _ work: inout IdentifyWork
    ) {
        identity.installations.append(installation)
        while identity.installations.count > Int(self.limits.installationsPerProfile),
            let left = identity.removeLeastRecentlySeen(sparing: installation.id)
        {
            self.unname(profile, self.installationHash(left.id, work))
            work.warnings.append((.installationDetached, left.id))
        }
    }

    private func installationHash(_ id: UnsafeRawBufferPointer, _ work: IdentifyWork) -> UInt64 {
        self.hash.identifier(work.header.project, IdentifierView(kind: .installationID, bytes: id))
    }

    private func promote(
        _ profile: ProfileRef, _ draft: AttributeDraft, _ outcome: PatchOutcome,
        _ work: IdentifyWork
    ) {
        var header = self.headerToChange(profile)
        var identity = self.identityDraft(header)
        identity.customID = work.header.customID
        for index in identity.installations.indices {
            identity.installations[index].move(to: profile, at: work.effectiveTime, former: profile)
            self.see(&identity.installations[index], work)
        }
        self.name(profile, work.customHash)
        if self.recordsChanges {
            self.note(.identified, of: profile, lsn: work.call.lsn, origin: work.origin)
        }
        self.setIdentity(identity, in: &header)
        self.change(profile, &header, draft, outcome, work)
        header.raiseRevision(work.call)
        self.seen(&header, work)
        self.replace(profile, with: header)
    }

    /// Notes that the installation of the call was seen, and on which platform.
    func see(_ installation: inout IdentityDraft.Installation, _ work: IdentifyWork) {
        guard installation.id.equals(work.header.installationID) else { return }
        let platform = work.call.rules.platform(named: work.header.platform)
        if platform != 0 { installation.platform = platform }
        if !work.header.flags.contains(.historical) {
            installation.lastSeenAt = work.call.receivedAt
        }
    }

    /// Moves the installation to another profile, which is made if there is none: a switch or a
    /// log-out.
    private func move(
        from source: ProfileRef, to target: ProfileRef?, _ draft: AttributeDraft,
        _ outcome: PatchOutcome,
        _ work: inout IdentifyWork
    ) -> ProfileRef {
        var left = self.headerToChange(source)
        var leftIdentity = self.identityDraft(left)
        var installation = leftIdentity.remove(work.header.installationID)
        self.setIdentity(leftIdentity, in: &left)
        left.raiseRevision(work.call)
        self.replace(source, with: left)
        self.unname(source, work.installationHash)
        self.see(&installation, work)
        installation.attachedAt = work.call.receivedAt

        var (profile, header) =
            target.map { ($0, self.headerToChange($0)) } ?? self.begin(work, draft)
        var identity = IdentityDraft()
        if target != nil {
            identity = self.identityDraft(header)
            self.change(profile, &header, draft, outcome, work)
            header.raiseRevision(work.call)
            self.seen(&header, work)
        } else if work.hasCustomID {
            identity.customID = work.header.customID
            self.name(profile, work.customHash)
        }
        installation.part = work.personPart?.rawValue ?? 0
        installation.move(
            to: work.personPart ?? profile, at: work.effectiveTime, former: source)
        self.add(installation, to: profile, &identity, &work)
        self.name(profile, work.installationHash)
        self.noteMove(to: profile, from: source, work)
        self.setIdentity(identity, in: &header)
        self.replace(profile, with: header)
        return profile
    }

    private func staleLink(
        _ person: ProfileRef?, _ draft: AttributeDraft, _ outcome: PatchOutcome,
        _ work: IdentifyWork
    ) -> IdentifyDone {
        guard let person else {
            var (profile, header) = self.begin(work, draft)
            var identity = IdentityDraft()
            identity.customID = work.header.customID
            self.name(profile, work.customHash)
            self.setIdentity(identity, in: &header)
            self.replace(profile, with: header)
            return IdentifyDone(shown: profile, outcome: .ignoredStaleLink)
        }
        var header = self.headerToChange(person)
        self.change(person, &header, draft, outcome, work)
        if outcome.isVisible { header.raiseRevision(work.call) }
        self.seen(&header, work)
        self.replace(person, with: header)
        return IdentifyDone(shown: person, outcome: .ignoredStaleLink)
    }
}
