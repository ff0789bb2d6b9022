import Bytes

// Counters include events that are no longer retained. When such an event leaves a profile that
// others were merged into, the merges that could still be undone note whose it was.
//
// SAFETY: runs on the applier, which reads headers and blocks without a lock since only it changes
// them; blocks of counters and of lsns have as many as their merge says.

extension Store {
    /// Notes that a profile no longer retains an event, which is about to be freed.
    ///
    /// Budget: one comparison in a project without merges, one lookup in any other.
    @inline(__always)
    func noteDropped(_ event: EventBlock) {
        if self.project.merges.head != 0 { self.noteDroppedOfMerged(event) }
    }

    @inline(never)
    private func noteDroppedOfMerged(_ event: EventBlock) {
        let profile = event.holder
        guard self.pool.header(profile).pointee.isLive,
            self.merges.newest(survivor: profile) != 0
        else { return }
        let lowest = self.part(of: event.parts.identifier, profile)
        var merges: [Handle] = []
        var part = lowest
        while part != 0, part != profile.rawValue {
            let block = self.merges.find(loser: ProfileRef(rawValue: part))
            if block != 0, self.merges.entry(block).isUndoable { merges.append(block) }
            part = self.pool.header(ProfileRef(rawValue: part)).pointee.mergedInto
        }
        // Lsns ascend along the chain: what came before the first merge is noted nowhere.
        guard let first = merges.first, self.merges.entry(first).lsn <= event.lsn else { return }
        let mayHaveBeenAbsorbed = self.hasOtherHolders(event.parts.identifier, profile, lowest)
        // From the newest one on: an event that one of them did not bring was never with those
        // behind it.
        for block in merges.reversed() {
            let merge = self.merges.entry(block)
            if merge.lsn > event.lsn {
                guard self.hasMoved(event, by: merge) else { return }
            } else {
                if mayHaveBeenAbsorbed, self.wasAbsorbed(event, by: merge.survivor) { return }
                self.noteDropped(event, in: block)
            }
        }
    }

    /// Whether an installation was held by a profile that its present part never was in.
    private func hasOtherHolders(
        _ identifier: IdentifierView, _ profile: ProfileRef, _ part: UInt32
    ) -> Bool {
        guard identifier.kind == .installationID,
            let installation = IdentityPart(
                self.slab.pointer(self.pool.header(profile).pointee.identity)
            ).installation(identifier.bytes), installation.moveCount > 0
        else { return false }
        return !self.isPart(part, of: installation.firstHolder)
            || (0 ..< installation.moveCount).contains {
                !self.isPart(part, of: installation.move($0).holder)
            }
    }

    /// Whether an event came with a profile that was absorbed since.
    private func wasAbsorbed(_ event: EventBlock, by survivor: ProfileRef) -> Bool {
        var block = self.merges.newest(survivor: survivor)
        // No un-merge goes through more.
        for _ in 0 ..< UnmergeWork.laterMergesMax where block != 0 {
            let merge = self.merges.entry(block)
            guard merge.lsn > event.lsn else { return false }
            if self.hasMoved(event, by: merge) { return true }
            block = merge.older
        }
        return false
    }

    /// Whether a merge brought an event.
    private func hasMoved(_ event: EventBlock, by merge: MergeEntry) -> Bool {
        guard merge.eventCount > 0 else { return false }
        // SAFETY: the block is read before anything frees it.
        return UnsafeRawBufferPointer(
            start: self.slab.pointer(merge.events), count: merge.eventsBytes
        ).bindMemory(to: UInt64.self).contains(event.lsn)
    }

    private func noteDropped(_ event: EventBlock, in block: Handle) {
        let merge = self.merges.entry(block)
        let name: UInt16 = event.parts.content.integer(at: 0)
        var counters = self.counters(merge.dropped, Int(merge.droppedCount))
        // Over the limit the survivor keeps what it counted.
        guard
            counters.contains(where: { $0.name == name })
                || counters.count < Int(self.limits.countersPerProfile)
        else { return }
        counters.count(name, at: event.effectiveTime)
        let changed = counters.withUnsafeBytes { self.allocate(copying: $0) }
        let count = UInt32(counters.count)
        self.changeMerge(block) { ($0.dropped, $0.droppedCount) = (changed, count) }
        self.discard(merge.dropped, bytes: merge.droppedBytes)
    }
}
