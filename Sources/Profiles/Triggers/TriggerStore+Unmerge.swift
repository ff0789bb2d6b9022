// What an un-merge does to firings: each belongs again to the profile that its event was credited
// to, or to the one at the end of that one's merges. What fired while the two were one remains the
// survivor's.
//
// SAFETY: blocks are followed by the applier only, which made them; a handle in a circle or a list
// is that of a block that is in use.

extension TriggerStore {
    /// Gives a restored profile the firings, and the times that caps count, of events that were
    /// credited to it; once it lives again.
    ///
    /// - Complexity: O(triggers of the project + firings of the survivor).
    func unmerge(_ loser: ProfileRef, from survivor: ProfileRef, _ triggers: ProjectTriggers) {
        for trigger in triggers.all {
            let source = self.owner(trigger, survivor)
            guard source != 0 else { continue }
            for circle in [FiringOwner.Circle.waiting, .pending] {
                for block in self.circle(circle, of: source)
                where self.leads(self.firing(block).event.holder, to: loser) {
                    self.unlink(block, from: circle)
                    self.link(block, into: circle, of: self.ownerToAdd(trigger, loser))
                }
            }
            self.splitFired(trigger, source, loser)
            self.removeIfEmpty(source)
        }
    }

    private func splitFired(_ trigger: Trigger, _ source: Handle, _ loser: ProfileRef) {
        var times: [Handle] = []
        var handle = self.owner(source).fired
        while handle != 0 {
            times.append(handle)
            handle = self.firedTime(handle).next
        }
        guard times.contains(where: { self.leads(self.firedTime($0).profile, to: loser) }) else {
            return
        }
        let list = self.owner(source)
        (list.fired, list.lastFired, list.firedCount) = (0, 0, 0)
        let target = self.ownerToAdd(trigger, loser)
        for handle in times {
            self.firedTime(handle).next = 0
            let isLosers = self.leads(self.firedTime(handle).profile, to: loser)
            self.append(handle, to: isLosers ? target : source)
        }
    }

    /// Whether the merges of a profile end at another one, or it is that.
    private func leads(_ profile: ProfileRef, to target: ProfileRef) -> Bool {
        var next = profile
        while self.pool.header(next).pointee.mergedInto != 0 {
            next = ProfileRef(rawValue: self.pool.header(next).pointee.mergedInto)
        }
        return next == target
    }
}
