import Bytes
import Synchronization

// Triggers in a snapshot: their definitions at its beginning, like projects, then each firing and
// each time that a cap counts. Both never change, so only a removal writes a pre-image; which are
// written is known by the lsns of their events.
//
// SAFETY: `snapshot` is one element that `Store` owns, followed by the applier only, as blocks are.

/// How far the triggers of a running snapshot are written.
struct TriggerSnapshot {
    /// Those that there were when it began.
    var triggers: [Trigger] = []
    /// The next one whose firings, and whose fired times, are written.
    var firings = Cursor()
    var fired = Cursor()

    struct Cursor {
        var trigger = 0
        /// Up to this lsn they are written.
        var lsn: UInt64 = 0

        /// Whether an entry is behind it.
        func isBefore(_ trigger: Int, _ lsn: UInt64) -> Bool {
            trigger > self.trigger || (trigger == self.trigger && lsn > self.lsn)
        }
    }
}

extension TriggerStore {
    /// Times that one item has at most.
    private static let timesPerItem = 1_024

    /// Entries that a snapshot announces; zeros if there are no triggers.
    var totals: (triggers: UInt64, firings: UInt64, fired: UInt64) {
        var totals: (triggers: UInt64, firings: UInt64, fired: UInt64) = (0, 0, 0)
        for trigger in self.projects.flatMap(\.all) {
            totals.triggers += 1
            totals.firings += UInt64(trigger.firings.count)
            totals.fired += UInt64(trigger.fired.count)
        }
        return totals
    }

    /// Begins: every trigger is written at once, and what it has is owed.
    ///
    /// - Complexity: O(triggers).
    func beginSnapshot() {
        for trigger in self.snapshotWork.triggers { trigger.snapshotNumber = .max }
        self.snapshotWork = TriggerSnapshot()
        self.snapshotWork.triggers = self.projects.flatMap(\.all)
        for (number, trigger) in self.snapshotWork.triggers.enumerated() {
            trigger.snapshotNumber = number
            trigger.snapshotDueThrough = trigger.dueThrough
            self.snapshot.pointee.writeItem(.trigger) { trigger.write(into: &$0) }
        }
    }

    func endSnapshot() {
        for trigger in self.snapshotWork.triggers { trigger.snapshotNumber = .max }
        self.snapshotWork = TriggerSnapshot()
    }

    /// Writes what a running snapshot still needs next, and returns the bytes of its item; 0: all
    /// is written.
    func writeNext() -> Int {
        while self.snapshotWork.firings.trigger < self.snapshotWork.triggers.count {
            let cursor = self.snapshotWork.firings
            let trigger = self.snapshotWork.triggers[cursor.trigger]
            if let entry = trigger.firings.first(after: cursor.lsn),
                entry.lsn <= self.snapshot.pointee.lsn
            {
                self.snapshotWork.firings.lsn = entry.lsn
                return self.writeItem(entry.block, of: trigger)
            }
            self.snapshotWork.firings = TriggerSnapshot.Cursor(trigger: cursor.trigger + 1)
        }
        while self.snapshotWork.fired.trigger < self.snapshotWork.triggers.count {
            let cursor = self.snapshotWork.fired
            let trigger = self.snapshotWork.triggers[cursor.trigger]
            var times: [Handle] = []
            var lsn = cursor.lsn
            while times.count < Self.timesPerItem, let entry = trigger.fired.first(after: lsn),
                entry.lsn <= trigger.snapshotDueThrough
            {
                times.append(entry.block)
                lsn = entry.lsn
            }
            if !times.isEmpty {
                self.snapshotWork.fired.lsn = lsn
                return self.writeItem(times, of: trigger)
            }
            self.snapshotWork.fired = TriggerSnapshot.Cursor(trigger: cursor.trigger + 1)
        }
        return 0
    }

    /// Writes a firing that is about to be removed, if a running snapshot still needs it.
    func willRemove(_ trigger: Trigger, _ block: Handle) {
        guard self.snapshot.pointee.isActive, trigger.snapshotNumber != .max else { return }
        let lsn = self.firing(block).event.lsn
        guard lsn <= self.snapshot.pointee.lsn,
            self.snapshotWork.firings.isBefore(trigger.snapshotNumber, lsn)
        else { return }
        _ = self.writeItem(block, of: trigger)
    }

    /// The same for a time that a cap counts. It was there when the snapshot began if the firing
    /// had become due by then.
    func willForget(_ trigger: Trigger, _ block: Handle) {
        guard self.snapshot.pointee.isActive, trigger.snapshotNumber != .max else { return }
        let lsn = self.firedTime(block).lsn
        guard lsn <= trigger.snapshotDueThrough,
            self.snapshotWork.fired.isBefore(trigger.snapshotNumber, lsn)
        else { return }
        _ = self.writeItem([block], of: trigger)
    }

    /// Layout: `project: UInt32 | trigger: UInt64 | profile: UInt32 | the event without its
    /// holder`.
    private func writeItem(_ block: Handle, of trigger: Trigger) -> Int {
        self.snapshot.pointee.writeItem(.firing) { buffer in
            let event = self.firing(block).event
            buffer.append(trigger.project.rawValue)
            buffer.append(trigger.createdLSN)
            buffer.append(event.holder.rawValue)
            event.appendWithoutHolder(to: &buffer)
        }
    }

    /// Layout: `project: UInt32 | trigger: UInt64`, then `lsn: UInt64 | receivedAt: Int64 µs |
    /// profile: UInt32` each.
    private func writeItem(_ times: [Handle], of trigger: Trigger) -> Int {
        self.snapshot.pointee.writeItem(.firedTimes) { buffer in
            buffer.append(trigger.project.rawValue)
            buffer.append(trigger.createdLSN)
            for handle in times {
                let fired = self.firedTime(handle)
                buffer.append(fired.lsn)
                buffer.append(fired.receivedAt)
                buffer.append(fired.profile.rawValue)
            }
        }
    }

    // MARK: Digest

    /// Appends everything of a trigger, for the digest.
    func append(_ trigger: Trigger, to buffer: inout ByteBuffer) {
        trigger.write(into: &buffer)
        func append(_ id: ProfileID) {
            buffer.append(id.high)
            buffer.append(id.low)
        }
        trigger.firings.forEach { entry in
            let firing = self.firing(entry.block)
            buffer.append(entry.lsn)
            append(firing.profileID)
            append(self.pool.header(self.owner(firing.owner).profile).pointee.id)
            buffer.append(firing.event.effectiveTime)
            buffer.append(firing.event.receivedAt)
            buffer.append(firing.event.bytesAfterHolder)
        }
        trigger.fired.forEach { entry in
            let fired = self.firedTime(entry.block)
            buffer.append(entry.lsn)
            buffer.append(fired.receivedAt)
            append(self.pool.header(self.owner(fired.owner).profile).pointee.id)
        }
    }
}

extension Trigger {
    private static let deletedFlag: UInt8 = 1

    /// Layout: `project: UInt32 | createdLSN: UInt64 | createdAt: Int64 µs | flags: UInt8 (1 is
    /// deleted) | lost, dueThrough: UInt64 | TriggerDefinition`. The id is derived.
    func write(into buffer: inout ByteBuffer) {
        buffer.append(self.project.rawValue)
        buffer.append(self.createdLSN)
        buffer.append(self.createdAt)
        buffer.append(self.isDeleted ? Self.deletedFlag : 0)
        buffer.append(self.lost)
        buffer.append(self.dueThrough)
        self.definition.write(into: &buffer)
    }

    /// Reads what `write` wrote behind the project; `nil` if it is not that.
    static func load(_ reader: inout ByteReader, of project: Project, _ ids: DerivedIDs)
        -> Trigger?
    {
        let createdLSN = reader.read(UInt64.self)
        let createdAt = reader.read(Int64.self)
        let flags = reader.read(UInt8.self)
        let (lost, dueThrough) = (reader.read(UInt64.self), reader.read(UInt64.self))
        guard let definition = TriggerDefinition(from: &reader), reader.isAtCleanEnd,
            flags & ~Self.deletedFlag == 0, createdLSN > 0,
            SnapshotFormat.times.contains(createdAt), SnapshotFormat.counts.contains(lost),
            let trigger = Trigger(
                definition, project, id: ids.trigger(receivedAt: createdAt, lsn: createdLSN),
                createdLSN: createdLSN, createdAt: createdAt)
        else { return nil }
        trigger.isDeleted = flags & Self.deletedFlag != 0
        (trigger.lost, trigger.dueThrough) = (lost, dueThrough)
        return trigger
    }

    /// A trigger of a definition whose names the project has; `nil`: it lacks one, or the filter is
    /// invalid.
    convenience init?(
        _ definition: TriggerDefinition, _ project: Project, id: ProfileID, createdLSN: UInt64,
        createdAt: Int64
    ) {
        let names = project.names
        guard let eventName = definition.eventName.withUnsafeBytes({ names.find($0) }) else {
            return nil
        }
        var unlessName: UInt16?
        if !definition.unlessEventName.isEmpty {
            guard let unless = definition.unlessEventName.withUnsafeBytes({ names.find($0) })
            else { return nil }
            unlessName = UInt16(unless)
        }
        var filter: CompiledFilter?
        if !definition.filter.isEmpty {
            let text = String(decoding: definition.filter, as: UTF8.self)
            guard let compiled = try? CompiledFilter(text, .trigger) else { return nil }
            filter = compiled
        }
        self.init(
            project: project.id, id: id, definition: definition, createdLSN: createdLSN,
            createdAt: createdAt, eventName: UInt16(eventName), unlessName: unlessName,
            filter: filter)
    }
}
