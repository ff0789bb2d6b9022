import Bytes
import Synchronization

// Triggers out of a snapshot. Firings come in any order, and before the profiles that they are of:
// owners are made at the end.
//
// SAFETY: the loader alone has the store, so no lock is needed; a block is written whole before its
// handle is kept.

/// Gathers the firings of a snapshot until its profiles are there.
struct TriggerLoader {
    private typealias Gathered = (trigger: Trigger, lsn: UInt64, block: Handle)

    private var firings: [Gathered] = []
    private var fired: [Gathered] = []

    var firingCount: Int { self.firings.count }
    var firedCount: Int { self.fired.count }

    /// Adds the trigger of an item; false if it is malformed, or one too many.
    func loadTrigger(
        _ reader: inout ByteReader, of project: Project, _ store: Store, appliedLSN: UInt64
    ) -> Bool {
        guard let trigger = Trigger.load(&reader, of: project, store.ids),
            trigger.createdLSN <= appliedLSN, trigger.dueThrough <= appliedLSN,
            trigger.lost <= appliedLSN,
            trigger.createdLSN > project.record.pointee.triggers?.all.last?.createdLSN ?? 0
        else { return false }
        store.triggers.add(trigger, to: project)
        if trigger.isDeleted { store.triggers.counters.triggers.subtract(1, ordering: .relaxed) }
        return project.record.pointee.triggers?.liveCount ?? 0 <= TriggerLimits.triggersPerProject
    }

    private func trigger(_ reader: inout ByteReader, of project: Project) -> Trigger? {
        project.record.pointee.triggers?.find(createdLSN: reader.read())
    }

    /// Adds the firing of an item; false if it is malformed.
    mutating func loadFiring(
        _ reader: inout ByteReader, of project: Project, _ store: Store, appliedLSN: UInt64
    ) -> Bool {
        guard let trigger = self.trigger(&reader, of: project) else { return false }
        let profile = reader.read(UInt32.self)
        var ahead = reader
        _ = ahead.read(count: SnapshotFormat.eventBytesBeforeHolder)
        let totalBytes = Int(ahead.read(UInt32.self))
        // The holder is not in the item.
        let before = reader.read(count: SnapshotFormat.eventBytesBeforeHolder)
        let after = reader.read(
            count: totalBytes - SnapshotFormat.eventBytesBeforeHolder - SnapshotFormat.holderBytes)
        guard store.isPlace(profile), reader.isAtCleanEnd, totalBytes >= EventBlock.bytesMin else {
            return false
        }
        let block = store.slab.allocate(Firing.headerBytes + totalBytes)
        var writer = RawWriter(store.slab.pointer(block))
        for _ in 0 ..< 4 { writer.write(UInt64(0)) }
        writer.write(before)
        writer.write(profile)
        writer.write(after)
        let event = Firing(store.slab.pointer(block)).event
        guard event.isWhole, event.lsn > trigger.createdLSN, event.lsn <= appliedLSN
        else { return false }
        self.firings.append((trigger, event.lsn, block))
        return true
    }

    /// Adds the times of an item; false if they are malformed.
    mutating func loadTimes(
        _ reader: inout ByteReader, of project: Project, _ store: Store
    ) -> Bool {
        guard let trigger = self.trigger(&reader, of: project), trigger.hasCap else {
            return false
        }
        repeat {
            let lsn = reader.read(UInt64.self)
            let receivedAt = reader.read(Int64.self)
            let profile = ProfileRef(rawValue: reader.read())
            guard !reader.overrun, store.isPlace(profile.rawValue), lsn > trigger.createdLSN,
                lsn <= trigger.dueThrough, SnapshotFormat.times.contains(receivedAt)
            else { return false }
            let block = store.slab.allocate(FiredTime.bytes)
            FiredTime.write(
                lsn: lsn, receivedAt: receivedAt, profile: profile, to: store.slab.pointer(block))
            self.fired.append((trigger, lsn, block))
        } while reader.remaining > 0
        return true
    }

    /// Makes queues and owners, once all profiles are there; false if something of a firing is not.
    mutating func finish(_ store: Store) -> Bool {
        self.firings.sort { ($0.trigger.createdLSN, $0.lsn) < ($1.trigger.createdLSN, $1.lsn) }
        self.fired.sort { ($0.trigger.createdLSN, $0.lsn) < ($1.trigger.createdLSN, $1.lsn) }
        let triggers = store.triggers
        for (trigger, lsn, block) in self.firings {
            let firing = triggers.firing(block)
            guard lsn > trigger.firings.entries.last?.lsn ?? 0,
                let project = triggers.find(trigger.project),
                let survivor = Self.survivor(firing.event.holder, of: trigger, store),
                // Without a delay nothing waits.
                trigger.isPending(lsn) || trigger.delay > 0
            else { return false }
            firing.profileID = store.pool.header(firing.event.holder).pointee.id
            let isPending = trigger.isPending(lsn)
            triggers.link(
                block, into: isPending ? .pending : .waiting,
                of: triggers.ownerToAdd(trigger, survivor))
            triggers.counting(of: trigger) { $0.firings.append(lsn, block) }
            if isPending {
                trigger.pendingCount += 1
                project.pendingCount += 1
                project.pendingBytes += firing.totalBytes
                triggers.counters.pending.add(1, ordering: .relaxed)
            } else {
                project.waitingCount += 1
                project.waitingBytes += firing.totalBytes
                triggers.counters.waiting.add(1, ordering: .relaxed)
                if !trigger.isDeleted {
                    project.nextDue = min(
                        project.nextDue, firing.event.receivedAt + trigger.delay)
                }
            }
            store.countLoaded(for: project.project)
        }
        for (trigger, lsn, block) in self.fired {
            guard lsn > trigger.fired.entries.last?.lsn ?? 0,
                let project = triggers.find(trigger.project),
                let survivor = Self.survivor(triggers.firedTime(block).profile, of: trigger, store)
            else { return false }
            let owner = triggers.ownerToAdd(trigger, survivor)
            triggers.append(block, to: owner)
            triggers.counting(of: trigger) { $0.fired.append(lsn, block) }
            guard triggers.owner(owner).firedCount <= trigger.definition.cap else { return false }
            store.countLoaded(for: project.project)
        }
        triggers.refreshNextDue()
        return triggers.projects.allSatisfy {
            $0.pendingCount <= triggers.limits.pendingFirings
                && $0.pendingBytes <= triggers.limits.pendingBytes
                && $0.waitingCount <= triggers.limits.waitingFirings
                && $0.waitingBytes <= triggers.limits.waitingBytes
        }
    }

    /// The profile that an entry belongs to, which lives in the trigger's project; `nil`: there is
    /// none.
    private static func survivor(_ profile: ProfileRef, of trigger: Trigger, _ store: Store)
        -> ProfileRef?
    {
        guard store.pool.header(profile).pointee.project == trigger.project else { return nil }
        let survivor = store.identities.survivor(of: profile)
        let header = store.pool.header(survivor).pointee
        return header.project == trigger.project && header.isLive ? survivor : nil
    }
}
