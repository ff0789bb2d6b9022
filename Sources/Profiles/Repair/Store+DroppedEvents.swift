import Bytes

// Counters include events that are no longer retained. When such an event leaves a profile that
// others were merged into, the merges that could still be undone note whose it was.
//
// SAFETY: runs on the applier, which reads headers and blocks without a lock since only it changes
// them; a block of counters has as many as its merge says.

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
        var part = self.part(of: event.parts.identifier, profile)
        while part != 0, part != profile.rawValue {
            let block = self.merges.find(loser: ProfileRef(rawValue: part))
            if block != 0 {
                let merge = self.merges.entry(block)
                if merge.isUndoable, merge.lsn < event.lsn { self.noteDropped(event, in: block) }
            }
            part = self.pool.header(ProfileRef(rawValue: part)).pointee.mergedInto
        }
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
