// What a trigger has of one profile, found by both: its waiting and pending firings, so that an
// event, an erasure or a merge reaches them without a search, and the times that its cap counts.
//
// SAFETY: blocks are followed by the applier only, which made them; a handle in the table or in a
// link is that of a block that is in use.

extension TriggerStore {
    /// The owner of a trigger and a profile; 0: the trigger has nothing of it.
    func owner(_ trigger: Trigger, _ profile: ProfileRef) -> Handle {
        let hash = Self.hash(trigger.createdLSN, profile)
        let table = self.owners.table(hash)
        var position = table.start(Shards.tag(hash))
        while true {
            let handle = table.next(Shards.tag(hash), from: &position)
            guard handle != 0 else { return 0 }
            let owner = self.owner(handle)
            if owner.trigger == trigger.createdLSN, owner.profile == profile { return handle }
        }
    }

    @inline(__always)
    func owner(_ handle: Handle) -> FiringOwner { FiringOwner(self.slab.pointer(handle)) }
    @inline(__always)
    func firing(_ handle: Handle) -> Firing { Firing(self.slab.pointer(handle)) }
    @inline(__always)
    func firedTime(_ handle: Handle) -> FiredTime { FiredTime(self.slab.pointer(handle)) }

    /// As `owner`; makes it if there is none.
    func ownerToAdd(_ trigger: Trigger, _ profile: ProfileRef) -> Handle {
        let found = self.owner(trigger, profile)
        guard found == 0 else { return found }
        let handle = self.slab.allocate(FiringOwner.bytes)
        FiringOwner.write(
            trigger: trigger.createdLSN, profile: profile, to: self.slab.pointer(handle))
        self.owners.insert(Self.hash(trigger.createdLSN, profile), handle)
        return handle
    }

    /// Frees an owner that has nothing any more.
    func removeIfEmpty(_ handle: Handle) {
        let owner = self.owner(handle)
        guard owner.isEmpty else { return }
        self.owners.remove(Self.hash(owner.trigger, owner.profile), handle)
        self.slab.deallocate(handle, bytes: FiringOwner.bytes)
    }

    /// Neither lsns nor references are what clients choose: spread, without a key.
    private static func hash(_ trigger: UInt64, _ profile: ProfileRef) -> UInt64 {
        let mixed = (trigger &* 0x9E37_79B9_7F4A_7C15) ^ UInt64(profile.rawValue)
        let product = mixed &* 0xD6E8_FEB8_6659_FD93
        return product ^ product >> 32
    }

    // MARK: Circles

    /// Adds a firing to a circle of an owner.
    func link(_ handle: Handle, into circle: FiringOwner.Circle, of owner: Handle) {
        let (firing, first) = (self.firing(handle), self.owner(owner)[circle])
        firing.owner = owner
        guard first != 0 else {
            (firing.previous, firing.next) = (handle, handle)
            self.owner(owner)[circle] = handle
            return
        }
        let last = self.firing(first).previous
        (firing.previous, firing.next) = (last, first)
        self.firing(last).next = handle
        self.firing(first).previous = handle
    }

    /// Takes a firing out of its circle.
    func unlink(_ handle: Handle, from circle: FiringOwner.Circle) {
        let firing = self.firing(handle)
        let owner = self.owner(firing.owner)
        guard firing.next != handle else {
            owner[circle] = 0
            return
        }
        self.firing(firing.previous).next = firing.next
        self.firing(firing.next).previous = firing.previous
        if owner[circle] == handle { owner[circle] = firing.next }
    }

    // MARK: Times that a cap counts

    /// Whether the cap allows no firing for an event received at this time.
    func isCapped(_ trigger: Trigger, _ owner: Handle, receivedAt: Int64) -> Bool {
        guard trigger.hasCap else { return false }
        var (handle, count) = (self.owner(owner).fired, UInt32(0))
        while handle != 0 {
            let fired = self.firedTime(handle)
            if fired.receivedAt > receivedAt - trigger.capPeriod { count += 1 }
            handle = fired.next
        }
        return count >= trigger.definition.cap
    }

    /// Notes that a trigger with a cap fired.
    func remember(_ trigger: Trigger, _ event: EventBlock, _ owner: Handle) {
        guard trigger.hasCap else { return }
        let handle = self.slab.allocate(FiredTime.bytes)
        FiredTime.write(
            lsn: event.lsn, receivedAt: event.receivedAt, profile: event.holder,
            to: self.slab.pointer(handle))
        self.counting(of: trigger) { $0.fired.append(event.lsn, handle) }
        self.append(handle, to: owner)
        self.nextDue = min(
            self.nextDue, event.receivedAt + trigger.firedAge + TriggerLimits.forgetInterval)
        while self.owner(owner).firedCount > trigger.definition.cap {
            self.forget(trigger, self.owner(owner).fired)
        }
    }

    /// Adds a time behind those that an owner has.
    func append(_ handle: Handle, to owner: Handle) {
        let list = self.owner(owner)
        self.firedTime(handle).owner = owner
        if list.lastFired == 0 {
            list.fired = handle
        } else {
            self.firedTime(list.lastFired).next = handle
        }
        list.lastFired = handle
        list.firedCount += 1
    }

    /// Removes the oldest time of an owner.
    func forget(_ trigger: Trigger, _ handle: Handle) {
        let fired = self.firedTime(handle)
        let list = self.owner(fired.owner)
        precondition(list.fired == handle, "times go in the order in which they came")
        self.willForget(trigger, handle)
        list.fired = fired.next
        if list.fired == 0 { list.lastFired = 0 }
        list.firedCount -= 1
        self.counting(of: trigger) { $0.fired.remove(fired.lsn) }
        self.slab.deallocate(handle, bytes: FiredTime.bytes)
    }

    /// Removes times that no cap looks at any more, and returns how many.
    ///
    /// A firing that is due and still waits for its tick, as after a pause of the server, looks
    /// back from its own time.
    @discardableResult
    func forgetPastDue(_ trigger: Trigger, clock: Int64, most: Int) -> Int {
        guard !trigger.fired.isEmpty else { return 0 }
        var since = clock - trigger.delay
        if let waiting = trigger.firings.first(after: trigger.dueThrough) {
            since = min(since, self.firing(waiting.block).event.receivedAt)
        }
        var forgotten = 0
        while forgotten < most, let first = trigger.fired.first,
            self.firedTime(first.block).receivedAt + trigger.capPeriod <= since
        {
            let owner = self.firedTime(first.block).owner
            self.forget(trigger, first.block)
            self.removeIfEmpty(owner)
            forgotten += 1
        }
        return forgotten
    }

    /// Runs a change of a trigger's queues and counts their bytes.
    func counting(of trigger: Trigger, _ body: (Trigger) -> Void) {
        let before = trigger.firings.bytes + trigger.fired.bytes
        body(trigger)
        self.queueBytes += trigger.firings.bytes + trigger.fired.bytes - before
    }
}
