import Bytes

// All data of a person is removed at once: the profile, the profiles that were merged into it, and
// all references to them. The headers stay as tombstones, since merges and moves of installations
// of other people refer to them by number; a tombstone does not identify the person.
//
// SAFETY: runs on the applier, which alone changes headers, the list of merges and `work`. An entry
// of the list is unlinked before it is staged to be freed; `dropped` has capacity for the events of
// a profile.

extension Store {
    /// Erases a live profile and everything that was merged into it.
    func erase(_ profile: ProfileRef, _ call: CallContext) {
        let losers = self.losers(of: profile)
        self.forgetMerges(of: losers)
        for one in [profile] + losers {
            self.requests.erase(self.pool.header(one).pointee.id, of: self.project)
            self.blockIdentifiers(of: one, erasing: profile, call)
        }
        self.gatherDropped(self.pool.header(profile).pointee)
        if self.recordsChanges { self.noteErasure(of: profile, losers, call) }
        for one in [profile] + losers { self.makeTombstone(one, call) }
        self.changes.pointee.profilesAdded -= 1
        if let triggers = self.project.record.pointee.triggers {
            self.triggers.erase(profile, triggers)
        }
        self.finish(call)
        self.state.pointee.oldest.block = min(
            self.state.pointee.oldest.block, self.project.blocks.oldestTime)
        self.erasure.noteInLog(call.lsn)
    }

    /// Every profile that was merged into this one, directly or through others.
    ///
    /// - Complexity: O(aliases); O(profiles) for one that has more aliases than it lists.
    private func losers(of profile: ProfileRef) -> [ProfileRef] {
        let header = self.pool.header(profile).pointee
        var losers: [ProfileRef] = []
        let identity = IdentityPart(self.slab.pointer(header.identity))
        guard identity.hasUnlistedAliases || identity.aliasCount >= IdentityDraft.aliasesMax else {
            identity.forEachAlias { alias in
                if alias.kind == .profileID,
                    let loser = self.identities.holder(
                        header.project, alias, hash: self.hash.identifier(header.project, alias))
                {
                    losers.append(loser)
                }
            }
            return losers
        }
        for shard in 0 ..< Shards.count {
            for slot in 0 ..< self.pool.count(shard) {
                let one = ProfileRef(shard: shard, slot: slot)
                if one != profile, self.pool.header(one).pointee.project == header.project,
                    self.identities.survivor(of: one) == profile
                {
                    losers.append(one)
                }
            }
        }
        return losers
    }

    /// Removes the merges of these losers from the list: they can no longer be undone.
    private func forgetMerges(of losers: [ProfileRef]) {
        for loser in losers {
            let block = self.merges.find(loser: loser)
            guard block != 0 else { continue }
            self.unlink(block)
            self.freeMerge(block)
        }
    }

    // MARK: Identifiers

    /// Blocks a profile's identifiers and removes them from the index. An identifier that names
    /// another person's profile today, as a device that changed hands does, stays as it is.
    private func blockIdentifiers(
        of one: ProfileRef, erasing profile: ProfileRef, _ call: CallContext
    ) {
        let header = self.pool.header(one).pointee
        self.unname(one, self.identities.profileIDHash(header.project, header.id))
        guard header.identity != 0 else { return }
        let identity = IdentityPart(self.slab.pointer(header.identity))
        func block(_ identifier: IdentifierView) {
            let hash = self.hash.identifier(header.project, identifier)
            if let holder = self.identities.holder(header.project, identifier, hash: hash) {
                // A loser's devices are the survivor's by now, and were or will be blocked as such;
                // its custom id is its own.
                guard holder == one else { return }
                self.unname(one, hash)
            }
            self.erasure.block(self.project, identifier, now: call.receivedAt)
        }
        if identity.customID.count > 0 {
            block(IdentifierView(kind: .customID, bytes: identity.customID))
        }
        identity.forEachAlias { if $0.kind != .profileID { block($0) } }
        identity.forEachInstallation { block(IdentifierView(kind: .installationID, bytes: $0.id)) }
    }

    // MARK: Headers

    /// Stages the removal of all events of a profile.
    func gatherDropped(_ header: ProfileHeader) {
        self.work.pointee.droppedCount = Int(header.eventCount)
        guard header.eventCount > 0 else { return }
        let events = self.eventStore.list(header)
        for number in 0 ..< Int(header.eventCount) {
            self.work.pointee.dropped[number] = events[number]
        }
    }

    /// Stages a header that keeps the ledger's head and the target of a merge, under an id that
    /// cannot be computed without the old one.
    private func makeTombstone(_ profile: ProfileRef, _ call: CallContext) {
        let old = self.pool.header(profile).pointee
        var stone = ProfileHeader(
            id: self.hash.tombstone(old.project, old.id), project: old.project, lsn: call.lsn,
            receivedAt: 0, identity: 0,
            identityBytes: 0)
        stone.revision = 0
        stone.mergedInto = old.mergedInto
        if old.ledger != 0 {
            self.setLedger(LedgerBlock(old.ledger, in: self.slab).folded, in: &stone)
        }
        // Those of a profile that was merged away are the survivor's, or nobody's.
        if old.isLive { self.addressesChanged(profile, from: old, to: AttributeDraft()) }
        self.free(old.identity, bytes: Int(old.identityBytes))
        self.free(old.attributes, bytes: Int(old.attributesBytes))
        self.free(old.consent, bytes: Int(old.consentBytes))
        self.freeLedger(of: old)
        self.free(old.counters, bytes: Int(old.counterCapacity) * MemoryLayout<CounterEntry>.stride)
        self.free(old.events, bytes: Int(old.eventCapacity) * MemoryLayout<Handle>.stride)
        self.replace(profile, with: stone)
    }
}
