import Bytes

// The times of the two profiles of an un-merge: when they were made and last seen, and up to when
// their events are incomplete. Each gets back what it had, moved on by what came since.
//
// SAFETY: runs on the applier, which reads headers and blocks without a lock since only it changes
// them; `restored` and `survivor` are blocks of identities that live until the commit.

extension Store {
    /// Gives both profiles their times, and those in between what is left to them.
    func splitTimes(_ work: inout UnmergeWork) {
        let kept = self.pool.header(work.loser).pointee
        let isAnyTakenLost =
            work.merge.droppedCount > 0
            || work.taken.count { EventBlock(self.slab.pointer($0)).lsn < work.merge.lsn }
                < Int(work.merge.eventCount)
        let seenTaken = self.seen(work.taken, work, ofRestored: true)
        if isAnyTakenLost {
            work.restored.eventsTruncatedBefore = max(
                kept.eventsTruncatedBefore, work.header.eventsTruncatedBefore)
        }
        work.restored.lastSeenAt = max(kept.lastSeenAt, seenTaken)

        var times = SurvivorTimes(work.merge)
        for stage in work.stages {
            switch stage {
            case .absorbs(let block):
                let merge = self.merges.entry(block)
                times.advance(
                    to: (merge.lastSeenAt, merge.eventsTruncatedBefore),
                    keptBefore: kept.eventsTruncatedBefore)
                let before = times
                times.absorb(self.pool.header(merge.loser).pointee, merge)
                let after = times.lastSeenAt
                self.changeMerge(block) {
                    $0.createdAt = before.createdAt
                    $0.lastSeenAt = before.lastSeenAt
                    $0.eventsTruncatedBefore = before.truncatedBefore
                    $0.seenAfter = after
                }
            case .isAbsorbed(let block):
                let merge = self.merges.entry(block)
                let header = work.header(between: merge.loser) ?? work.header
                times.advance(
                    to: (header.lastSeenAt, header.eventsTruncatedBefore),
                    keptBefore: kept.eventsTruncatedBefore)
                var left = header
                left.createdAt = times.createdAt
                left.lastSeenAt = times.lastSeenAt
                left.eventsTruncatedBefore = times.truncatedBefore
                work.change(merge.loser) {
                    $0.createdAt = left.createdAt
                    $0.lastSeenAt = left.lastSeenAt
                    $0.eventsTruncatedBefore = left.eventsTruncatedBefore
                }
                times = SurvivorTimes(merge)
                times.absorb(left, merge)
                let after = times.lastSeenAt
                self.changeMerge(block) { $0.seenAfter = after }
            case .present:
                self.finish(&times, seenTaken: seenTaken, work)
            }
        }
        work.header.createdAt = times.createdAt
        work.header.lastSeenAt = times.lastSeenAt
        work.header.eventsTruncatedBefore = times.truncatedBefore
    }

    /// The last stage: the living profile's.
    private func finish(
        _ times: inout SurvivorTimes, seenTaken: Int64, _ work: UnmergeWork
    ) {
        let header = self.pool.header(work.survivor).pointee
        let before = times
        times.advance(
            to: (header.lastSeenAt, header.eventsTruncatedBefore),
            keptBefore: self.pool.header(work.loser).pointee.eventsTruncatedBefore)
        // Whom the last sight was of is known from devices and events.
        if times.lastSeenAt != before.lastSeenAt, times.lastSeenAt == seenTaken {
            times.lastSeenAt = max(
                before.lastSeenAt, self.seen(work.left, work, ofRestored: false))
        }
        // Of an event that is gone nobody knows when it was: the bound of the two holds for it.
        if self.isAnyLeftLost(work) {
            times.truncatedBefore = max(times.truncatedBefore, header.eventsTruncatedBefore)
        } else if work.stages.count == 1 {
            times.truncatedBefore = before.truncatedBefore
        }
    }

    /// Whether an event that would stay is no longer retained, of those before the merge or since;
    /// behind later merges also of those before the others.
    private func isAnyLeftLost(_ work: UnmergeWork) -> Bool {
        let counted = self.counters(work.header.counters, Int(work.header.counterCount))
            .reduce(0) { $0 + $1.count }
        guard work.stages.count == 1 else { return counted > UInt64(work.left.count) }
        let before = work.left.count { EventBlock(self.slab.pointer($0)).lsn < work.merge.lsn }
        if before < Int(work.merge.survivorEventCount) { return true }
        let had = self.counters(work.merge.counters, Int(work.merge.counterCount))
        let hadCount = had.reduce(0) { $0 + $1.count }
        return counted > hadCount + UInt64(work.left.count - before)
    }

    /// When the devices of one side and the senders of its events were seen last since the merge,
    /// in microseconds; 0: not since.
    private func seen(_ events: [Handle], _ work: UnmergeWork, ofRestored isRestored: Bool) -> Int64
    {
        var seen: Int64 = 0
        for handle in events {
            let event = EventBlock(self.slab.pointer(handle))
            guard event.lsn > work.merge.lsn, !event.parts.isHistorical else { continue }
            seen = max(seen, event.receivedAt)
        }
        let identity = IdentityPart(
            self.slab.pointer(self.pool.header(work.survivor).pointee.identity))
        identity.forEachInstallation { installation in
            guard installation.lastSeenAt > work.merge.receivedAt,
                self.isPart(installation.part, of: work.loser) == isRestored
            else { return }
            seen = max(seen, installation.lastSeenAt)
        }
        return seen
    }
}

/// The times of the profile that had the loser, as they would be without it.
private struct SurvivorTimes {
    var createdAt: Int64
    var lastSeenAt: Int64
    var truncatedBefore: Int64
    /// What `lastSeenAt` was at the beginning of the stage, with the loser.
    var seenAfter: Int64

    /// Before a merge; `seenAfter` is from after it.
    init(_ merge: MergeEntry) {
        self.createdAt = merge.createdAt
        self.lastSeenAt = merge.lastSeenAt
        self.truncatedBefore = merge.eventsTruncatedBefore
        self.seenAfter = merge.seenAfter
    }

    /// Takes over what moved on during a stage.
    mutating func advance(
        to actual: (lastSeenAt: Int64, truncatedBefore: Int64), keptBefore: Int64
    ) {
        if actual.lastSeenAt > self.seenAfter { self.lastSeenAt = actual.lastSeenAt }
        if actual.truncatedBefore > max(self.truncatedBefore, keptBefore) {
            self.truncatedBefore = actual.truncatedBefore
        }
    }

    /// Takes over the times of a profile that is absorbed by `merge`.
    mutating func absorb(_ header: ProfileHeader, _ merge: MergeEntry) {
        let isSeen = merge.seenAfter == merge.receivedAt
        self.createdAt = min(self.createdAt, header.createdAt)
        self.lastSeenAt = max(self.lastSeenAt, header.lastSeenAt)
        if isSeen { self.lastSeenAt = max(self.lastSeenAt, merge.receivedAt) }
        self.truncatedBefore = max(self.truncatedBefore, header.eventsTruncatedBefore)
        self.seenAfter = merge.seenAfter
    }
}
