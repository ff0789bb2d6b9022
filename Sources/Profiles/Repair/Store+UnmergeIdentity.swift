import Bytes

// The identifiers of the two profiles of an un-merge: each identifier goes back to the part that it
// belongs to, unless another profile has it now.
//
// SAFETY: runs on the applier, which reads headers and blocks without a lock since only it changes
// them. Texts are borrowed from blocks that are freed after the commit.

/// The identities of the two profiles after an un-merge.
struct SplitIdentities {
    var restored: IdentityDraft
    var survivor: IdentityDraft
}

extension Store {
    /// Divides the identifiers, and stages whom they name.
    func splitIdentities(_ work: inout UnmergeWork) -> SplitIdentities {
        var split = SplitIdentities(
            restored: self.identityDraft(self.pool.header(work.loser).pointee),
            survivor: self.identityDraft(self.pool.header(work.survivor).pointee))
        self.splitInstallations(&split, &work)
        self.splitCustomID(&split, &work)
        self.splitAliases(&split, work)
        if split.survivor.customID.count == 0 { self.promoteAlias(&split.survivor, &work) }
        return split
    }

    // MARK: Installations

    private func splitInstallations(_ split: inout SplitIdentities, _ work: inout UnmergeWork) {
        let all = split.survivor.installations
        let taken = all.filter { self.isPart($0.part, of: work.loser) }
        split.survivor.installations = all.filter { !self.isPart($0.part, of: work.loser) }
        var installations: [IdentityDraft.Installation] = []
        for (index, var kept) in split.restored.installations.enumerated() {
            guard let now = taken.first(where: { $0.id.equals(kept.id) }) else {
                // It left in the merge or since, over the limit, and is nobody's.
                if self.isFree(kept.id, work) { installations.append(kept) }
                continue
            }
            // A historical call names a platform, and sees nobody.
            let isNamed = now.platform != work.merge.platform(of: kept, at: index)
            // What came back to the person since the merge has a history of its own.
            if now.attachedAt != kept.attachedAt { kept = self.own(now, of: work.loser) }
            if now.lastSeenAt > work.merge.receivedAt {
                (kept.lastSeenAt, kept.platform) = (now.lastSeenAt, now.platform)
            } else if isNamed {
                kept.platform = now.platform
            }
            installations.append(kept)
        }
        for now in taken where !installations.contains(where: { $0.id.equals(now.id) }) {
            installations.append(self.own(now, of: work.loser))
        }
        split.restored.installations = installations
        while split.restored.installations.count > Int(self.limits.installationsPerProfile),
            let left = split.restored.removeLeastRecentlySeen(sparing: .none)
        {
            work.warnings.append((.installationDetached, left.id))
        }
        for installation in taken {
            self.unname(work.survivor, self.installationHash(installation.id))
        }
        for installation in split.restored.installations {
            self.name(work.loser, self.installationHash(installation.id))
            guard self.recordsChanges else { continue }
            let isTaken = taken.contains { $0.id.equals(installation.id) }
            self.noteMove(
                of: installation.id, to: work.loser, from: isTaken ? work.survivor : nil,
                work.call, origin: ChangeOrigin())
        }
        self.bringBack(&split.survivor, &work)
    }

    /// An installation that came since, as the restored profile's own.
    ///
    /// Its history ends before the moves to those that have absorbed the profile since: they would
    /// be credited with what is sent from it.
    private func own(
        _ installation: IdentityDraft.Installation, of loser: ProfileRef
    ) -> IdentityDraft.Installation {
        var own = installation
        if own.part == loser.rawValue { own.part = 0 }
        while let last = own.moves.last, !self.isPart(last.holder.rawValue, of: loser) {
            own.moves.removeLast()
        }
        return own
    }

    /// Gives the survivor back what the merge pushed out of its identity.
    private func bringBack(_ identity: inout IdentityDraft, _ work: inout UnmergeWork) {
        guard work.merge.left != 0 else { return }
        let left = LeftIdentity(self.slab.pointer(work.merge.left))
        for (index, kept) in left.installations where self.isFree(kept.id, work) {
            guard identity.installations.count < Int(self.limits.installationsPerProfile) else {
                work.warnings.append((.installationDetached, kept.id))
                continue
            }
            var installation = kept
            if work.survivor != work.merge.survivor, installation.part == 0 {
                installation.part = work.merge.survivor.rawValue
            }
            identity.installations.insert(
                installation, at: min(index, identity.installations.count))
            self.name(work.survivor, self.installationHash(installation.id))
            guard self.recordsChanges else { continue }
            self.noteMove(
                of: installation.id, to: work.survivor, from: nil, work.call,
                origin: ChangeOrigin())
        }
    }

    private func installationHash(_ id: UnsafeRawBufferPointer) -> UInt64 {
        self.hash.identifier(
            self.project.id, IdentifierView(kind: .installationID, bytes: id))
    }

    /// Whether no profile has an installation, and no erasure blocks it.
    private func isFree(_ id: UnsafeRawBufferPointer, _ work: UnmergeWork) -> Bool {
        let identifier = IdentifierView(kind: .installationID, bytes: id)
        let holder = self.identities.holder(
            self.project.id, identifier, hash: self.installationHash(id))
        return holder == nil
            && self.erasure.blockedUntil(self.project.id, identifier, now: work.call.clock) == nil
    }

    // MARK: Custom ids

    /// Gives the restored profile its custom id back, if a survivor has it: as an alias it never
    /// left.
    private func splitCustomID(_ split: inout SplitIdentities, _ work: inout UnmergeWork) {
        if split.survivor.customPart != 0, self.isPart(split.survivor.customPart, of: work.loser) {
            self.take(
                split.survivor.customID, split.survivor.customPart, from: work.survivor,
                &split.restored, work)
            (split.survivor.customID, split.survivor.customPart) = (.none, 0)
            return
        }
        for (profile, header) in work.between {
            var identity = self.identityDraft(header)
            guard identity.customPart != 0, self.isPart(identity.customPart, of: work.loser) else {
                continue
            }
            self.take(
                identity.customID, identity.customPart, from: profile, &split.restored, work)
            (identity.customID, identity.customPart) = (.none, 0)
            work.change(profile) { self.setIdentity(identity, in: &$0) }
        }
    }

    private func take(
        _ customID: UnsafeRawBufferPointer, _ part: UInt32, from holder: ProfileRef,
        _ restored: inout IdentityDraft, _ work: UnmergeWork
    ) {
        restored.customID = customID
        restored.customPart = part == work.loser.rawValue ? 0 : part
        let hash = self.hash.identifier(
            self.project.id, IdentifierView(kind: .customID, bytes: customID))
        self.unname(holder, hash)
        self.name(work.loser, hash)
        guard self.recordsChanges else { return }
        self.note(
            .identified, of: work.loser, other: work.survivor, lsn: work.call.lsn,
            detail: self.writeIDs(of: holder == work.survivor ? [] : [holder]))
    }

    /// Gives a survivor that has lost its custom id that of another profile that it absorbed, as
    /// if the undone merge had never been.
    private func promoteAlias(_ identity: inout IdentityDraft, _ work: inout UnmergeWork) {
        guard let index = identity.aliases.firstIndex(where: { $0.kind == .customID }) else {
            return
        }
        let alias = identity.aliases[index]
        let hash = self.hash.identifier(self.project.id, alias)
        guard let holder = self.identities.holder(self.project.id, alias, hash: hash),
            holder != work.survivor, holder != work.loser
        else { return }
        let isBetween = work.header(between: holder) != nil
        if !isBetween { self.preserve(holder) }
        var header = work.header(between: holder) ?? self.pool.header(holder).pointee
        var kept = self.identityDraft(header)
        identity.aliases.remove(at: index)
        identity.customID = kept.customID
        identity.customPart = kept.customPart == 0 ? holder.rawValue : kept.customPart
        (kept.customID, kept.customPart) = (.none, 0)
        self.setIdentity(kept, in: &header)
        if isBetween {
            work.change(holder) { $0 = header }
        } else {
            self.replace(holder, with: header)
        }
        self.unname(holder, hash)
        self.name(work.survivor, hash)
        guard self.recordsChanges else { return }
        self.note(.identified, of: work.survivor, other: holder, lsn: work.call.lsn)
    }

    // MARK: Aliases

    private func splitAliases(_ split: inout SplitIdentities, _ work: UnmergeWork) {
        let listed = split.survivor.aliases
        split.survivor.hasUnlistedAliases =
            split.survivor.hasUnlistedAliases || listed.count >= IdentityDraft.aliasesMax
        split.restored.aliases = split.restored.aliases.filter { self.leads($0, to: work.loser) }
        var older: [IdentifierView] = []
        if work.merge.left != 0 {
            older = LeftIdentity(self.slab.pointer(work.merge.left)).aliases.filter {
                self.leads($0, to: work.survivor)
            }
        }
        // The custom id that an anonymous survivor had taken still leads to that one: it is staged.
        let taken = split.restored.customID
        let left = listed.filter {
            !self.leads($0, to: work.loser)
                && !($0.kind == .customID && $0.bytes.equals(taken))
        }
        split.survivor.aliases = []
        split.survivor.add(aliases: older + left)
    }

    /// Whether an alias is that of a profile that was merged into this one, directly or through
    /// others.
    private func leads(_ alias: IdentifierView, to profile: ProfileRef) -> Bool {
        let hash = self.hash.identifier(self.project.id, alias)
        let holder = self.identities.holder(self.project.id, alias, hash: hash)
        return holder.map { self.isPart($0.rawValue, of: profile) } ?? false
    }
}
