import Bytes

// The merge of one profile into another: one record, seen whole or not at all. The loser's header
// and blocks stay as they were for 30 days, because un-merge needs them, and so does what the
// survivor had before (`MergeEntry`); from then on only the loser's ids are left, as aliases.
// Source: docs/rules.md, section 2, "Merge of A into B".
//
// SAFETY: runs on the applier, which reads headers and blocks without a lock since only it changes
// them; `work` and `changes` are one element each that `Store` owns.

/// What a merge needs to know of its call.
struct MergeWork {
    var call: CallContext
    /// Of the moves of installations, in microseconds.
    var effectiveTime: Int64
    var origin = ChangeOrigin()
    /// The installation whose call merges; empty: none.
    var installationID = UnsafeRawBufferPointer.none
    /// The platform that the call gives it; 0: it keeps what it has.
    var platform: UInt8 = 0
    /// The person was seen with the call.
    var isSeen = false
    var warnings: [(reason: WarningReason, text: UnsafeRawBufferPointer)] = []

    init(call: CallContext) {
        self.call = call
        self.effectiveTime = call.receivedAt
    }

    init(_ work: IdentifyWork) {
        self.call = work.call
        self.effectiveTime = work.effectiveTime
        self.origin = work.origin
        self.installationID = work.header.installationID
        self.platform = work.call.rules.platform(named: work.header.platform)
        self.isSeen = !work.header.flags.contains(.historical)
    }
}

extension Store {
    /// Merges `loser` into `survivor`, whose attributes will be `draft`; returns the merge's id.
    func merge(
        _ loser: ProfileRef, into survivor: ProfileRef, _ draft: AttributeDraft,
        _ work: inout MergeWork
    ) -> ProfileID {
        self.preserve(loser)
        self.preserve(survivor)
        if self.project.record.pointee.triggers != nil { self.stageMerge(loser, survivor) }
        var lost = self.pool.header(loser).pointee
        var header = self.pool.header(survivor).pointee
        var merge = self.mergeEntry(loser, survivor, header, work.call)
        if self.recordsChanges { self.noteMerge(of: loser, lost, into: survivor, work) }
        self.mergeConsent(
            from: loser, into: &header, survivor: survivor, call: work.call, origin: work.origin)

        self.resetConsent(of: survivor, for: draft, in: &header, work.call, origin: work.origin)
        self.addressesChanged(survivor, from: header, to: draft)
        self.addressesChanged(loser, from: lost, to: AttributeDraft())
        if self.recordsChanges {
            self.noteAttributes(
                of: survivor, from: header, to: draft, work.call, origin: work.origin)
        }
        header.attributes = 0
        self.setAttributes(draft, in: &header)
        self.mergeIdentities(&lost, &header, &merge, &work)
        self.mergeCounters(lost, &header, &work)
        merge.events = self.mergeEvents(lost, survivor, &header, now: work.call.clock)
        merge.eventCount = lost.eventCount
        header.createdAt = min(header.createdAt, lost.createdAt)
        header.lastSeenAt = max(header.lastSeenAt, lost.lastSeenAt)
        if work.isSeen { header.lastSeenAt = max(header.lastSeenAt, work.call.receivedAt) }
        if merge.isUndoable { merge.seenAfter = header.lastSeenAt }
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

    /// What the survivor has before a merge.
    private func mergeEntry(
        _ loser: ProfileRef, _ survivor: ProfileRef, _ header: ProfileHeader, _ call: CallContext
    ) -> MergeEntry {
        var merge = MergeEntry(
            loser: loser, survivor: survivor, receivedAt: call.receivedAt, lsn: call.lsn)
        (merge.survivorAttributes, merge.survivorAttributesBytes) = (
            header.attributes, header.attributesBytes
        )
        (merge.survivorConsent, merge.survivorConsentBytes) = (header.consent, header.consentBytes)
        guard call.rules.keepsMergeUndo else { return merge }
        merge.flags = self.project.options.latestWins ? [.undoable, .latestWins] : [.undoable]
        if header.counterCount > 0 {
            merge.counterCount = UInt32(header.counterCount)
            merge.counters = self.allocate(
                copying: UnsafeRawBufferPointer(
                    start: self.slab.pointer(header.counters), count: merge.countersBytes))
        }
        merge.survivorEventCount = header.eventCount
        merge.createdAt = header.createdAt
        merge.lastSeenAt = header.lastSeenAt
        merge.eventsTruncatedBefore = header.eventsTruncatedBefore
        return merge
    }

    /// Notes the merge, that the loser's installations belong to the survivor now, and that an
    /// anonymous survivor takes the loser's custom id.
    private func noteMerge(
        of loser: ProfileRef, _ lost: ProfileHeader, into survivor: ProfileRef, _ work: MergeWork
    ) {
        if self.isIdentified(lost), !self.isIdentified(self.pool.header(survivor).pointee) {
            self.note(
                .identified, of: survivor, other: loser, lsn: work.call.lsn, origin: work.origin)
        }
        self.note(.merged, of: survivor, other: loser, lsn: work.call.lsn, origin: work.origin)
        IdentityPart(self.slab.pointer(lost.identity)).forEachInstallation {
            self.noteMove(
                of: $0.id, to: survivor, from: loser, work.call, origin: work.origin)
        }
    }

    private func mergeIdentities(
        _ lost: inout ProfileHeader, _ header: inout ProfileHeader, _ merge: inout MergeEntry,
        _ work: inout MergeWork
    ) {
        let (loser, survivor) = (merge.loser, merge.survivor)
        var identity = self.identityDraft(header)
        let own = identity
        let other = self.identityDraft(lost)
        withUnsafeBytes(of: (lost.id.high.bigEndian, lost.id.low.bigEndian)) { id in
            var aliases = [IdentifierView(kind: .profileID, bytes: id)]
            if other.customID.count > 0, own.customID.count > 0 {
                aliases.append(IdentifierView(kind: .customID, bytes: other.customID))
            }
            identity.add(aliases: aliases + other.aliases)
            if other.customID.count > 0, own.customID.count == 0 {
                self.moveCustomID(of: other, &lost, to: &identity, merge)
            }
            for (index, var installation) in other.installations.enumerated() {
                let hash = self.hash.identifier(
                    header.project, IdentifierView(kind: .installationID, bytes: installation.id))
                self.unname(loser, hash)
                self.name(survivor, hash)
                installation.move(to: survivor, at: work.effectiveTime, former: loser)
                if merge.isUndoable, installation.part == 0 { installation.part = loser.rawValue }
                if self.see(&installation, work), merge.isUndoable {
                    (merge.platform, merge.platformNumber) = (work.platform, UInt16(index + 1))
                }
                identity.installations.append(installation)
            }
            let left = self.detachOverLimit(&identity, of: survivor, own, &work)
            if merge.isUndoable, !left.isEmpty {
                merge.leftBytes = UInt32(left.bytes)
                merge.left = self.allocate(left.bytes)
                left.write(to: self.slab.pointer(merge.left))
            }
            self.setIdentity(identity, in: &header)
        }
    }

    /// Gives an anonymous survivor the loser's custom id: only one of the two has it, so that a
    /// lookup finds the survivor directly.
    private func moveCustomID(
        of other: IdentityDraft, _ lost: inout ProfileHeader, to identity: inout IdentityDraft,
        _ merge: MergeEntry
    ) {
        identity.customID = other.customID
        identity.customPart = other.customPart == 0 ? merge.loser.rawValue : other.customPart
        let hash = self.hash.identifier(
            lost.project, IdentifierView(kind: .customID, bytes: other.customID))
        self.unname(merge.loser, hash)
        self.name(merge.survivor, hash)
        var kept = other
        (kept.customID, kept.customPart) = (.none, 0)
        self.setIdentity(kept, in: &lost)
    }

    /// Takes the least recently seen installations over the limit out of an identity; returns what
    /// of the survivor's own is not listed any more.
    private func detachOverLimit(
        _ identity: inout IdentityDraft, of survivor: ProfileRef, _ own: IdentityDraft,
        _ work: inout MergeWork
    ) -> LeftIdentity {
        var left = LeftIdentity()
        while identity.installations.count > Int(self.limits.installationsPerProfile),
            let gone = identity.removeLeastRecentlySeen(sparing: work.installationID)
        {
            self.unname(
                survivor,
                self.hash.identifier(
                    self.project.id, IdentifierView(kind: .installationID, bytes: gone.id)))
            work.warnings.append((.installationDetached, gone.id))
            if let index = own.installations.firstIndex(where: { $0.id.equals(gone.id) }) {
                left.installations.append((index, gone))
            }
        }
        left.installations.sort { $0.index < $1.index }
        let kept = identity.aliases.count - self.addedAliases(identity, own)
        left.aliases = Array(own.aliases.prefix(own.aliases.count - max(kept, 0)))
        return left
    }

    /// Aliases behind those that the survivor had.
    private func addedAliases(_ identity: IdentityDraft, _ own: IdentityDraft) -> Int {
        guard let last = own.aliases.last else { return identity.aliases.count }
        let index = identity.aliases.lastIndex {
            $0.kind == last.kind && $0.bytes.equals(last.bytes)
        }
        return identity.aliases.count - 1 - (index ?? -1)
    }

    /// Notes that the installation of the call was seen, and on which platform.
    ///
    /// - Returns: Whether the call gives it a platform.
    private func see(_ installation: inout IdentityDraft.Installation, _ work: MergeWork) -> Bool {
        guard installation.id.equals(work.installationID) else { return false }
        if work.isSeen { installation.lastSeenAt = work.call.receivedAt }
        guard work.platform != 0 else { return false }
        installation.platform = work.platform
        return true
    }

    /// Adds the loser's counters: counts are summed, first is the earlier, last the later.
    private func mergeCounters(
        _ lost: ProfileHeader, _ header: inout ProfileHeader, _ work: inout MergeWork
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
