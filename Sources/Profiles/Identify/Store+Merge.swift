import Bytes

// The merge of an anonymous profile into the person it turned out to be: one record, seen whole or
// not at all. The loser's header and blocks stay as they were for 30 days, because un-merge needs
// them; from then on only its id is left, as an alias. Source: docs/rules.md, section 2, "Merge of
// A into B".
//
// SAFETY: runs on the applier, which reads headers and blocks without a lock since only it changes
// them; `work` and `changes` are one element each that `Store` owns.

extension Store {
    /// Merges `loser` into `survivor`, whose attributes will be `draft`; returns the merge's id.
    func merge(
        _ loser: ProfileRef, into survivor: ProfileRef, _ draft: AttributeDraft,
        _ work: inout IdentifyWork
    ) -> ProfileID {
        self.preserve(loser)
        self.preserve(survivor)
        if self.project.record.pointee.triggers != nil { self.stageMerge(loser, survivor) }
        var lost = self.pool.header(loser).pointee
        var header = self.pool.header(survivor).pointee
        var merge = MergeEntry(loser: loser, survivor: survivor, call: work.call)
        merge.survivorAttributes = (header.attributes, header.attributesBytes)
        merge.survivorConsent = (header.consent, header.consentBytes)
        if self.recordsChanges { self.noteMerge(of: loser, lost, into: survivor, work) }
        self.mergeConsent(
            from: loser, into: &header, survivor: survivor, call: work.call, origin: work.origin)

        self.resetConsent(of: survivor, for: draft, in: &header, work.call, origin: work.origin)
        self.addressesChanged(survivor, from: header, to: draft)
        if self.recordsChanges {
            self.noteAttributes(
                of: survivor, from: header, to: draft, work.call, origin: work.origin)
        }
        header.attributes = 0
        self.setAttributes(draft, in: &header)
        self.mergeIdentities(loser, lost, survivor, &header, &work)
        self.mergeCounters(lost, &header, &work)
        merge.events = self.mergeEvents(lost, survivor, &header, now: work.call.clock)
        merge.eventCount = lost.eventCount
        header.createdAt = min(header.createdAt, lost.createdAt)
        header.lastSeenAt = max(header.lastSeenAt, lost.lastSeenAt)
        if !work.header.flags.contains(.historical) {
            header.lastSeenAt = max(header.lastSeenAt, work.call.receivedAt)
        }
        header.eventsTruncatedBefore = max(header.eventsTruncatedBefore, lost.eventsTruncatedBefore)
        header.raiseRevision(work.call)

        self.free(lost.events, bytes: Int(lost.eventCapacity) * MemoryLayout<Handle>.stride)
        (lost.events, lost.eventHead, lost.eventCount, lost.eventCapacity) = (0, 0, 0, 0)
        lost.mergedInto = survivor.rawValue
        self.replace(loser, with: lost)
        self.replace(survivor, with: header)
        self.changes.pointee.profilesAdded -= 1
        return self.remember(merge)
    }

    /// Notes the merge and that the loser's installations belong to the survivor now.
    private func noteMerge(
        of loser: ProfileRef, _ lost: ProfileHeader, into survivor: ProfileRef, _ work: IdentifyWork
    ) {
        self.note(.merged, of: survivor, other: loser, lsn: work.call.lsn, origin: work.origin)
        IdentityPart(self.slab.pointer(lost.identity)).forEachInstallation {
            self.noteMove(
                of: $0.id, to: survivor, from: loser, work.call, origin: work.origin)
        }
    }

    private func mergeIdentities(
        _ loser: ProfileRef, _ lost: ProfileHeader, _ survivor: ProfileRef,
        _ header: inout ProfileHeader,
        _ work: inout IdentifyWork
    ) {
        var identity = self.identityDraft(header)
        let other = self.identityDraft(lost)
        withUnsafeBytes(of: (lost.id.high.bigEndian, lost.id.low.bigEndian)) { id in
            identity.add(aliases: [IdentifierView(kind: .profileID, bytes: id)] + other.aliases)
            for var installation in other.installations {
                let hash = self.hash.identifier(
                    header.project, IdentifierView(kind: .installationID, bytes: installation.id))
                self.unname(loser, hash)
                self.name(survivor, hash)
                installation.move(to: survivor, at: work.effectiveTime, former: loser)
                self.see(&installation, work)
                identity.installations.append(installation)
            }
            while identity.installations.count > Int(self.limits.installationsPerProfile),
                let left = identity.removeLeastRecentlySeen(sparing: work.header.installationID)
            {
                self.unname(
                    survivor,
                    self.hash.identifier(
                        header.project, IdentifierView(kind: .installationID, bytes: left.id)))
                work.warnings.append((.installationDetached, left.id))
            }
            self.setIdentity(identity, in: &header)
        }
    }

    /// Adds the loser's counters: counts are summed, first is the earlier, last the later.
    private func mergeCounters(
        _ lost: ProfileHeader, _ header: inout ProfileHeader, _ work: inout IdentifyWork
    ) {
        guard lost.counterCount > 0 else { return }
        // SAFETY: a block of counters holds `CounterEntry` only, `counterCount` of them; the new
        // one has `capacity`, which the loop below checks before it appends.
        let others = self.slab.pointer(lost.counters).assumingMemoryBound(to: CounterEntry.self)
        let capacity = min(
            Int(header.counterCount) + Int(lost.counterCount),
            max(Int(self.limits.countersPerProfile), Int(header.counterCount)))
        let block = self.allocate(capacity * MemoryLayout<CounterEntry>.stride)
        let entries = self.slab.pointer(block).bindMemory(to: CounterEntry.self, capacity: capacity)
        var count = Int(header.counterCount)
        if count > 0 {
            self.slab.pointer(block).copyMemory(
                from: self.slab.pointer(header.counters),
                byteCount: count * MemoryLayout<CounterEntry>.stride)
        }
        for index in 0 ..< Int(lost.counterCount) {
            let other = others[index]
            if let own = (0 ..< count).first(where: { entries[$0].name == other.name }) {
                entries[own].add(other)
            } else if count < capacity {
                entries[count] = other
                count += 1
            } else {
                work.warnings.append((.counterLimit, self.project.names.name(Int(other.name))))
            }
        }
        self.free(
            header.counters, bytes: Int(header.counterCapacity) * MemoryLayout<CounterEntry>.stride)
        header.counters = block
        header.counterCapacity = UInt16(capacity)
        header.counterCount = UInt16(count)
    }

    /// Puts both profiles' events into one index, ordered by (effective time, lsn); returns the
    /// lsns of the loser's, a block of `UInt64`.
    private func mergeEvents(
        _ lost: ProfileHeader, _ survivor: ProfileRef, _ header: inout ProfileHeader, now: Int64
    ) -> Handle {
        self.work.pointee.droppedCount = 0
        guard lost.eventCount > 0 else { return 0 }
        let count = Int(header.eventCount) + Int(lost.eventCount)
        let block = self.allocate(count * MemoryLayout<Handle>.stride)
        // SAFETY: a new block of `count` handles, each of which the loop below sets.
        let merged = self.slab.pointer(block).bindMemory(to: Handle.self, capacity: count)
        let lsns = self.allocate(Int(lost.eventCount) * MemoryLayout<UInt64>.stride)
        let others = self.eventStore.list(lost)
        var (own, other) = (0, 0)
        for target in 0 ..< count {
            let takesOther: Bool
            if own == Int(header.eventCount) {
                takesOther = true
            } else if other == Int(lost.eventCount) {
                takesOther = false
            } else {
                takesOther = self.isEarlier(others[other], self.event(header, own))
            }
            guard takesOther else {
                merged[target] = self.event(header, own)
                own += 1
                continue
            }
            merged[target] = others[other]
            (self.slab.pointer(lsns) + other * MemoryLayout<UInt64>.stride)
                .storeBytes(of: EventBlock(self.slab.pointer(others[other])).lsn, as: UInt64.self)
            self.moveEvent(others[other], to: survivor)
            other += 1
        }
        self.free(header.events, bytes: Int(header.eventCapacity) * MemoryLayout<Handle>.stride)
        header.events = block
        header.eventHead = 0
        header.eventCount = UInt32(count)
        header.eventCapacity = UInt32(count)
        withUnsafeMutablePointer(to: &header) { header in
            self.dropPastDue(header, now: now)
            self.dropOverLimit(header)
        }
        return lsns
    }

    private func event(_ header: ProfileHeader, _ index: Int) -> Handle {
        self.eventStore.list(header)[index]
    }

    private func isEarlier(_ one: Handle, _ other: Handle) -> Bool {
        let left = EventBlock(self.slab.pointer(one))
        let right = EventBlock(self.slab.pointer(other))
        return left.effectiveTime != right.effectiveTime
            ? left.effectiveTime < right.effectiveTime : left.lsn < right.lsn
    }
}
