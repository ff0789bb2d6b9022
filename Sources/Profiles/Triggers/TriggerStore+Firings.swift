import Synchronization

// The life of a firing: it waits for its delay, becomes due unless a cap forbids it, and is pending
// until it is settled. All of it runs on the applier, behind the commit of the record.
//
// SAFETY: blocks are followed by the applier only; a block that other threads may read is freed
// after it left its queue under the lock.

/// What a record does to firings, decided while it is applied and done once it is committed.
enum TriggerAction {
    /// An event matched; the block is its `Firing`.
    case fire(Trigger, ProfileRef, Handle)
    /// The profile stored an event that the trigger's firings must not have behind them.
    case cancel(Trigger, ProfileRef)
    case merge(loser: ProfileRef, survivor: ProfileRef, [UnlessEvents])
    /// The loser lives again.
    case unmerge(loser: ProfileRef, survivor: ProfileRef)
}

/// The newest events of one name that two profiles had before they were merged; 0: none.
struct UnlessEvents {
    var trigger: Trigger
    var ofLoser: UInt64
    var ofSurvivor: UInt64
}

extension TriggerStore {
    /// Does what is staged for a project.
    func settle(_ triggers: ProjectTriggers, clock: Int64) {
        for action in self.staged {
            switch action {
            case .fire(let trigger, let profile, let block):
                self.fire(trigger, profile, block, triggers, clock: clock)
            case .cancel(let trigger, let profile):
                self.cancel(trigger, profile, before: .max, triggers)
            case .merge(let loser, let survivor, let events):
                self.merge(loser, into: survivor, events, triggers)
            case .unmerge(let loser, let survivor):
                self.unmerge(loser, from: survivor, triggers)
            }
        }
        self.staged.removeAll(keepingCapacity: true)
    }

    // MARK: From the event to the firing

    private func fire(
        _ trigger: Trigger, _ profile: ProfileRef, _ block: Handle, _ triggers: ProjectTriggers,
        clock: Int64
    ) {
        let event = self.firing(block).event
        let owner = self.ownerToAdd(trigger, profile)
        // Two for one, so that steady traffic never leaves the clean-up behind.
        defer { self.forgetPastDue(trigger, clock: clock, most: 2) }
        guard trigger.delay == 0 else {
            self.link(block, into: .waiting, of: owner)
            self.add(block, trigger)
            triggers.waitingCount += 1
            triggers.waitingBytes += self.firing(block).totalBytes
            self.counters.waiting.add(1, ordering: .relaxed)
            triggers.nextDue = min(triggers.nextDue, event.receivedAt + trigger.delay)
            self.nextDue = min(self.nextDue, triggers.nextDue)
            return self.dropWaitingOverLimit(triggers)
        }
        guard !self.isCapped(trigger, owner, receivedAt: event.receivedAt) else {
            self.counters.capped.add(1, ordering: .relaxed)
            self.free(block)
            return self.removeIfEmpty(owner)
        }
        self.link(block, into: .pending, of: owner)
        self.remember(trigger, event, owner)
        self.locked {
            self.counting(of: trigger) { $0.firings.append(event.lsn, block) }
            self.makePending(block, trigger, triggers)
        }
        self.dropPendingOverLimit(triggers)
    }

    private func add(_ block: Handle, _ trigger: Trigger) {
        let lsn = self.firing(block).event.lsn
        self.locked { self.counting(of: trigger) { $0.firings.append(lsn, block) } }
    }

    /// Counts a firing as pending; under the lock.
    private func makePending(_ block: Handle, _ trigger: Trigger, _ triggers: ProjectTriggers) {
        trigger.dueThrough = self.firing(block).event.lsn
        trigger.pendingCount += 1
        trigger.pendingVersion += 1
        triggers.pendingCount += 1
        triggers.pendingBytes += self.firing(block).totalBytes
        self.counters.pending.add(1, ordering: .relaxed)
        self.counters.fired.add(1, ordering: .relaxed)
        self.changed()
    }

    /// When the first waiting firing of a trigger is due, in microseconds; `.max`: none waits.
    private func due(_ trigger: Trigger) -> Int64 {
        guard trigger.delay > 0, !trigger.isDeleted,
            let entry = trigger.firings.first(after: trigger.dueThrough)
        else { return .max }
        return self.firing(entry.block).event.receivedAt + trigger.delay
    }

    /// Makes firings due of that trigger of a project whose first one is due first.
    ///
    /// What is known of a project's next time can be too early, but is never what decides: a store
    /// out of a snapshot does not know the same. So a time that was too early is corrected, and the
    /// caller chooses anew.
    ///
    /// - Returns: How many, at most `most`; 0: none is due, or the time was corrected.
    func makeDue(_ triggers: ProjectTriggers, clock: Int64, most: Int) -> Int {
        let known = triggers.nextDue
        guard let first = self.refreshNextDue(of: triggers), triggers.nextDue <= clock,
            triggers.nextDue == known
        else { return 0 }
        var done = 0
        while done < most, self.due(first) <= clock {
            self.makeNextDue(first, triggers)
            done += 1
        }
        _ = self.refreshNextDue(of: triggers)
        return done
    }

    /// Finds anew when something of a project is due, and the trigger that it is of.
    private func refreshNextDue(of triggers: ProjectTriggers) -> Trigger? {
        var (first, due): (Trigger?, Int64) = (nil, .max)
        for trigger in triggers.all {
            let own = self.due(trigger)
            if own < due { (first, due) = (trigger, own) }
        }
        triggers.nextDue = due
        return first
    }

    /// The next waiting firing of a trigger, which has one, is due.
    private func makeNextDue(_ trigger: Trigger, _ triggers: ProjectTriggers) {
        guard let entry = trigger.firings.first(after: trigger.dueThrough) else { return }
        let firing = self.firing(entry.block)
        let owner = firing.owner
        guard !self.isCapped(trigger, owner, receivedAt: firing.event.receivedAt) else {
            self.counters.capped.add(1, ordering: .relaxed)
            return self.remove(entry.block, trigger, triggers)
        }
        self.unlink(entry.block, from: .waiting)
        self.link(entry.block, into: .pending, of: owner)
        triggers.waitingCount -= 1
        triggers.waitingBytes -= firing.totalBytes
        self.counters.waiting.subtract(1, ordering: .relaxed)
        self.remember(trigger, firing.event, owner)
        self.locked { self.makePending(entry.block, trigger, triggers) }
        self.dropPendingOverLimit(triggers)
    }

    // MARK: Out of the queues

    /// Removes a firing that waits or is pending.
    func remove(_ block: Handle, _ trigger: Trigger, _ triggers: ProjectTriggers) {
        let firing = self.firing(block)
        let (lsn, bytes, owner) = (firing.event.lsn, firing.totalBytes, firing.owner)
        let isPending = trigger.isPending(lsn)
        self.willRemove(trigger, block)
        self.unlink(block, from: isPending ? .pending : .waiting)
        self.locked {
            self.counting(of: trigger) { $0.firings.remove(lsn) }
            if isPending { trigger.pendingCount -= 1 }
        }
        if isPending {
            triggers.pendingCount -= 1
            triggers.pendingBytes -= bytes
            self.counters.pending.subtract(1, ordering: .relaxed)
        } else {
            triggers.waitingCount -= 1
            triggers.waitingBytes -= bytes
            self.counters.waiting.subtract(1, ordering: .relaxed)
        }
        self.free(block)
        self.removeIfEmpty(owner)
    }

    private func free(_ block: Handle) {
        self.slab.deallocate(block, bytes: self.firing(block).totalBytes)
    }

    /// Settles a pending firing; false: there is none of this event.
    func settle(
        _ trigger: Trigger, eventLSN: UInt64, _ reason: SettlementReason,
        _ triggers: ProjectTriggers
    ) -> Bool {
        guard trigger.isPending(eventLSN) else { return false }
        let block = trigger.firings.find(eventLSN)
        guard block != 0 else { return false }
        self.remove(block, trigger, triggers)
        switch reason {
        case .acknowledged: self.counters.acknowledged.add(1, ordering: .relaxed)
        case .guarded: self.counters.guarded.add(1, ordering: .relaxed)
        }
        return true
    }

    /// Removes the firings of a trigger and a profile that wait and are of events before an lsn.
    private func cancel(
        _ trigger: Trigger, _ profile: ProfileRef, before lsn: UInt64, _ triggers: ProjectTriggers
    ) {
        let owner = self.owner(trigger, profile)
        guard owner != 0 else { return }
        for block in self.circle(.waiting, of: owner) where self.firing(block).event.lsn < lsn {
            self.counters.cancelled.add(1, ordering: .relaxed)
            self.remove(block, trigger, triggers)
        }
    }

    /// The firings of a circle, from its first on.
    func circle(_ circle: FiringOwner.Circle, of owner: Handle) -> [Handle] {
        let first = self.owner(owner)[circle]
        guard first != 0 else { return [] }
        var blocks = [first]
        var next = self.firing(first).next
        while next != first {
            blocks.append(next)
            next = self.firing(next).next
        }
        return blocks
    }

    /// Removes everything of a person who is erased.
    ///
    /// - Complexity: O(triggers of the project + firings of the person).
    func erase(_ profile: ProfileRef, _ triggers: ProjectTriggers) {
        for trigger in triggers.all {
            let owner = self.owner(trigger, profile)
            guard owner != 0 else { continue }
            self.removeAll(of: owner, trigger, triggers)
        }
    }

    private func removeAll(of owner: Handle, _ trigger: Trigger, _ triggers: ProjectTriggers) {
        while self.owner(owner).fired != 0 { self.forget(trigger, self.owner(owner).fired) }
        let blocks = self.circle(.waiting, of: owner) + self.circle(.pending, of: owner)
        // The last one takes the owner with it.
        for block in blocks { self.remove(block, trigger, triggers) }
        if blocks.isEmpty { self.removeIfEmpty(owner) }
    }

    // MARK: Merges

    /// Gives what a profile has to the one that it was merged into.
    ///
    /// - Complexity: O(triggers of the project + firings of the loser).
    private func merge(
        _ loser: ProfileRef, into survivor: ProfileRef, _ events: [UnlessEvents],
        _ triggers: ProjectTriggers
    ) {
        for event in events {
            self.cancel(event.trigger, loser, before: event.ofSurvivor, triggers)
            self.cancel(event.trigger, survivor, before: event.ofLoser, triggers)
        }
        for trigger in triggers.all {
            let source = self.owner(trigger, loser)
            guard source != 0 else { continue }
            let target = self.ownerToAdd(trigger, survivor)
            for circle in [FiringOwner.Circle.waiting, .pending] {
                for block in self.circle(circle, of: source) {
                    self.link(block, into: circle, of: target)
                }
                self.owner(source)[circle] = 0
            }
            self.mergeFired(trigger, source, target)
            self.removeIfEmpty(source)
        }
    }

    /// Joins the times of two owners in the order of their lsns; of more than the cap the newest.
    private func mergeFired(_ trigger: Trigger, _ source: Handle, _ target: Handle) {
        var times: [Handle] = []
        for list in [self.owner(source), self.owner(target)] {
            var handle = list.fired
            while handle != 0 {
                times.append(handle)
                handle = self.firedTime(handle).next
            }
            (list.fired, list.lastFired, list.firedCount) = (0, 0, 0)
        }
        times.sort { self.firedTime($0).lsn < self.firedTime($1).lsn }
        for handle in times {
            self.firedTime(handle).next = 0
            self.append(handle, to: target)
        }
        while self.owner(target).firedCount > trigger.definition.cap {
            self.forget(trigger, self.owner(target).fired)
        }
    }

    // MARK: Limits

    private func dropPendingOverLimit(_ triggers: ProjectTriggers) {
        while triggers.pendingCount > self.limits.pendingFirings
            || triggers.pendingBytes > self.limits.pendingBytes
        {
            self.dropOldest(triggers) { $0.pendingCount > 0 ? $0.firings.first : nil }
        }
    }

    private func dropWaitingOverLimit(_ triggers: ProjectTriggers) {
        while triggers.waitingCount > self.limits.waitingFirings
            || triggers.waitingBytes > self.limits.waitingBytes
        {
            self.dropOldest(triggers) { $0.firings.first(after: $0.dueThrough) }
        }
    }

    /// Drops the firing that was due first, of deleted triggers before others.
    private func dropOldest(
        _ triggers: ProjectTriggers, _ first: (Trigger) -> FiringQueue.Entry?
    ) {
        var oldest: (trigger: Trigger, block: Handle, due: Int64)?
        for trigger in triggers.all {
            guard let entry = first(trigger) else { continue }
            let due =
                trigger.isDeleted
                ? .min : self.firing(entry.block).event.receivedAt + trigger.delay
            if oldest == nil || due < oldest?.due ?? .max { oldest = (trigger, entry.block, due) }
        }
        guard let oldest else { preconditionFailure("the counts are those of the queues") }
        self.remove(oldest.block, oldest.trigger, triggers)
        guard !oldest.trigger.isDeleted else { return }
        self.locked { oldest.trigger.lost += 1 }
        self.counters.lost.add(1, ordering: .relaxed)
    }
}
