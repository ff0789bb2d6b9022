import Bytes

// What a Track and a merge do to firings. It is decided before the commit, when an event's profile
// can still be seen as it is right after the event, and done behind it: an atomic batch that is
// rolled back has done nothing.
//
// SAFETY: edits and pending events are elements of `changes` and `work`, which the applier owns; a
// firing's block is written whole before its handle is staged.

extension Store {
    /// Stages what the events of a Track do, in the order of their lsns; between staging and
    /// commit. The project has triggers.
    @inline(never)
    func stageFirings(_ call: CallContext) {
        guard let triggers = self.project.record.pointee.triggers,
            self.changes.pointee.editCount > 0
        else { return }
        let edits = self.changes.pointee.edits
        for number in 0 ..< edits.pointee.eventCount {
            let event = self.work.pointee.pending + number
            guard event.pointee.outcome == .stored, triggers.concerns(event.pointee.name),
                let index = (0 ..< self.changes.pointee.editCount).first(where: {
                    edits[$0].takes(event)
                })
            else { continue }
            self.stageFirings(of: event, number, edits + index, triggers, call)
        }
    }

    private func stageFirings(
        of event: UnsafeMutablePointer<PendingEvent>, _ number: Int,
        _ edit: UnsafeMutablePointer<ProfileEdit>, _ triggers: ProjectTriggers,
        _ call: CallContext
    ) {
        let profile = edit.pointee.profile
        // What waits is cancelled first: a trigger may look for the event that it is cancelled by.
        for trigger in triggers.all
        where trigger.unlessName == event.pointee.name && !trigger.isDeleted {
            self.triggers.staged.append(.cancel(trigger, profile))
        }
        guard !edit.pointee.isHistorical else { return }
        for trigger in triggers.all
        where trigger.eventName == event.pointee.name && !trigger.isDeleted {
            if let filter = trigger.filter,
                !self.matches(filter, edit, event: number, call)
            {
                continue
            }
            let source = EventBlock(self.slab.pointer(event.pointee.block))
            let block = self.allocate(Firing.headerBytes + source.totalBytes)
            Firing.write(
                source, of: self.pool.header(profile).pointee.id, to: self.slab.pointer(block))
            self.triggers.staged.append(.fire(trigger, profile, block))
        }
    }

    /// Stages that one profile has what another had; before the merge changes either of them.
    ///
    /// - Complexity: O(retained events of both), if any trigger has an `unless_event_name`.
    func stageMerge(_ loser: ProfileRef, _ survivor: ProfileRef) {
        guard let triggers = self.project.record.pointee.triggers else { return }
        var events: [UnlessEvents] = []
        if triggers.hasUnless, triggers.waitingCount > 0 || !self.triggers.staged.isEmpty {
            for trigger in triggers.all where trigger.unlessName != nil && !trigger.isDeleted {
                events.append(UnlessEvents(trigger: trigger, ofLoser: 0, ofSurvivor: 0))
            }
            self.forEachEvent(of: loser) { name, lsn in
                for index in events.indices where events[index].trigger.unlessName == name {
                    events[index].ofLoser = max(events[index].ofLoser, lsn)
                }
            }
            self.forEachEvent(of: survivor) { name, lsn in
                for index in events.indices where events[index].trigger.unlessName == name {
                    events[index].ofSurvivor = max(events[index].ofSurvivor, lsn)
                }
            }
        }
        self.triggers.staged.append(.merge(loser: loser, survivor: survivor, events))
    }

    private func forEachEvent(
        of profile: ProfileRef, _ body: (_ name: UInt16, _ lsn: UInt64) -> Void
    ) {
        let header = self.pool.header(profile).pointee
        guard header.eventCount > 0 else { return }
        let events = self.eventStore.list(header)
        for number in 0 ..< Int(header.eventCount) {
            let block = EventBlock(self.slab.pointer(events[number]))
            body(block.parts.content.integer(at: 0), block.lsn)
        }
    }

    /// Does what the record staged, once it is committed; a batch does it at its end.
    func settleTriggers(_ call: CallContext) {
        guard !self.undo.pointee.isActive, !self.triggers.staged.isEmpty,
            let triggers = self.project.record.pointee.triggers
        else { return }
        self.triggers.settle(triggers, clock: call.clock)
    }
}
