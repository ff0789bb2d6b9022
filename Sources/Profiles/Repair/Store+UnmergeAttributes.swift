import Bytes

// The attributes of the two profiles of an un-merge, and of those in between, so that later merges
// can still be undone.
//
// SAFETY: runs on the applier, which reads headers and blocks without a lock since only it changes
// them. What drafts borrow is freed after the commit.

extension Store {
    /// Gives both profiles their attributes.
    func splitAttributes(_ work: inout UnmergeWork, _ identities: SplitIdentities) {
        let had = self.attributeDraft(self.pool.header(work.loser).pointee)
        let merged = self.attributeDraft(self.pool.header(work.survivor).pointee)
        var restored = AttributeDraft.split(merged, had: had, names: self.project.names) {
            self.isThrough($1, of: $0, work, identities) && $1.lsn >= work.merge.lsn
        }
        var left = self.draft(work.merge.survivorAttributes, work.merge.survivorAttributesBytes)
        var lsn = work.merge.lsn
        for stage in work.stages {
            let end: AttributeDraft
            switch stage {
            case .absorbs(let block):
                let merge = self.merges.entry(block)
                end = self.draft(merge.survivorAttributes, merge.survivorAttributesBytes)
            case .isAbsorbed(let block):
                end = self.attributeDraft(
                    self.pool.header(self.merges.entry(block).loser).pointee)
            case .present: end = merged
            }
            var own = AttributeDraft.split(end, had: left, names: self.project.names) {
                !self.isThrough($1, of: $0, work, identities) && $1.lsn >= lsn
            }
            let dropped = own.dropOverLimit(
                self.attributeLimits, had: left, names: self.project.names)
            if case .present = stage {
                for name in dropped { work.warnings.append((.attributeLimit, name)) }
            }
            left = own
            self.enter(stage, &left, &lsn, &work)
        }
        let dropped = restored.dropOverLimit(
            self.attributeLimits, had: had, names: self.project.names)
        for name in dropped { work.warnings.append((.attributeLimit, name)) }
        self.bound(&restored, identities.restored, &work)
        self.bound(&left, identities.survivor, &work)
        let call = work.call
        if self.recordsChanges {
            // Nobody saw a profile that was merged away: all that it has is new.
            var unseen = self.pool.header(work.loser).pointee
            (unseen.attributes, unseen.attributesBytes) = (0, 0)
            self.noteAttributes(
                of: work.loser, from: unseen, to: restored, call, origin: ChangeOrigin())
            self.noteAttributes(
                of: work.survivor, from: self.pool.header(work.survivor).pointee, to: left, call,
                origin: ChangeOrigin())
        }
        self.addressesChanged(work.loser, from: nil, to: restored)
        self.addressesChanged(
            work.survivor, from: self.pool.header(work.survivor).pointee, to: left)
        self.setAttributes(restored, in: &work.restored)
        self.setAttributes(left, in: &work.header)
    }

    /// Keeps what a profile had at the end of a stage, and merges as it was merged then.
    private func enter(
        _ stage: UnmergeWork.StageEnd, _ left: inout AttributeDraft, _ lsn: inout UInt64,
        _ work: inout UnmergeWork
    ) {
        switch stage {
        case .present: return
        case .absorbs(let block):
            let merge = self.merges.entry(block)
            self.free(merge.survivorAttributes, bytes: Int(merge.survivorAttributesBytes))
            var header = self.pool.header(merge.loser).pointee
            (header.attributes, header.attributesBytes) = (0, 0)
            self.setAttributes(left, in: &header)
            let (kept, bytes) = (header.attributes, header.attributesBytes)
            self.changeMerge(block) {
                ($0.survivorAttributes, $0.survivorAttributesBytes) = (kept, bytes)
            }
            let absorbed = self.attributeDraft(self.pool.header(merge.loser).pointee)
            self.merge(absorbed, into: &left, merge)
            lsn = merge.lsn
        case .isAbsorbed(let block):
            let merge = self.merges.entry(block)
            let own = left
            work.change(merge.loser) { self.setAttributes(own, in: &$0) }
            left = self.draft(merge.survivorAttributes, merge.survivorAttributesBytes)
            self.merge(own, into: &left, merge)
            lsn = merge.lsn
        }
    }

    private func merge(
        _ loser: AttributeDraft, into draft: inout AttributeDraft, _ merge: MergeEntry
    ) {
        _ = draft.merge(
            loser, latestWins: merge.flags.contains(.latestWins), names: self.project.names,
            limits: self.attributeLimits, rules: .current)
    }

    private func draft(_ block: Handle, _ bytes: UInt32) -> AttributeDraft {
        guard block != 0 else { return AttributeDraft() }
        return AttributeDraft(AttributePart(self.slab.pointer(block)), totalBytes: Int(bytes))
    }

    /// Whether an attribute was written through the loser's identifiers. Only identified people
    /// have addresses: the one of the two that is identified keeps them.
    private func isThrough(
        _ stamp: AttributeStamp, of name: Int, _ work: UnmergeWork, _ identities: SplitIdentities
    ) -> Bool {
        let isIdentified = (
            identities.restored.customID.count > 0, identities.survivor.customID.count > 0
        )
        if isIdentified.0 != isIdentified.1, self.isAddress(name) { return isIdentified.0 }
        return self.isPart(UInt32(truncatingIfNeeded: stamp.origin), of: work.loser)
    }

    private func isAddress(_ name: Int) -> Bool {
        NativeAttribute(name: self.project.names.name(name))?.needsIdentified ?? false
    }

    /// Takes out what a profile may not have: elements over the limit of a list, and the addresses
    /// of an anonymous one.
    private func bound(
        _ draft: inout AttributeDraft, _ identity: IdentityDraft, _ work: inout UnmergeWork
    ) {
        for index in draft.entries.indices where draft.entries[index].dropElementsOverLimit() {
            let name = self.project.names.name(draft.entries[index].name)
            work.warnings.append((.listOverflow, name))
        }
        guard identity.customID.count == 0 else { return }
        for entry in draft.entries where entry.kind == .value && self.isAddress(entry.name) {
            work.warnings.append((.attributeLimit, self.project.names.name(entry.name)))
        }
        draft.entries.removeAll { $0.kind == .value && self.isAddress($0.name) }
    }
}
