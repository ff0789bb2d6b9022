import Synchronization

// Triggers come and go. What a deleted one still has is freed by ticks, since a record may not take
// as long as a million firings take.
//
// SAFETY: records of projects stay at their places until the store ends, and what this file changes
// of them is the applier's alone.

extension TriggerStore {
    /// Adds a trigger whose lsn is above those of all others.
    func add(_ trigger: Trigger, to project: Project) {
        let triggers = project.record.pointee.triggers ?? ProjectTriggers(project)
        self.queueBytes += trigger.definition.bytes
        self.locked {
            if project.record.pointee.triggers == nil {
                self.projects.insert(triggers, at: self.index(of: project.id))
            }
            triggers.add(trigger)
            self.changed()
        }
        project.record.pointee.triggers = triggers
        self.counters.triggers.add(1, ordering: .relaxed)
    }

    /// Deletes a trigger for everybody who looks.
    func delete(_ trigger: Trigger, _ triggers: ProjectTriggers) {
        self.locked {
            trigger.isDeleted = true
            triggers.refresh()
            self.changed()
        }
        self.counters.triggers.subtract(1, ordering: .relaxed)
        if trigger.isEmpty { self.drop(trigger, triggers) } else { self.nextDue = .min }
    }

    /// Removes a trigger that has nothing any more.
    private func drop(_ trigger: Trigger, _ triggers: ProjectTriggers) {
        self.queueBytes -=
            trigger.definition.bytes + trigger.firings.bytes + trigger.fired.bytes
        self.locked {
            triggers.remove(trigger)
            guard triggers.all.isEmpty else { return }
            self.projects.remove(at: self.index(of: triggers.id))
        }
        if triggers.all.isEmpty { triggers.project.record.pointee.triggers = nil }
    }

    /// Frees some of what a trigger has, and the trigger with the last of it; returns how much.
    private func drain(_ trigger: Trigger, _ triggers: ProjectTriggers, most: Int) -> Int {
        var freed = 0
        while freed < most, let entry = trigger.firings.first {
            self.remove(entry.block, trigger, triggers)
            freed += 1
        }
        while freed < most, let entry = trigger.fired.first {
            let owner = self.firedTime(entry.block).owner
            self.forget(trigger, entry.block)
            self.removeIfEmpty(owner)
            freed += 1
        }
        if trigger.isEmpty { self.drop(trigger, triggers) }
        return freed
    }

    /// Frees some of what a project has that is being removed, and returns how much; 0: it has
    /// nothing any more.
    func drop(of project: Project, most: Int) -> Int {
        guard let triggers = project.record.pointee.triggers else { return 0 }
        var freed = 0
        for trigger in triggers.all where freed < most {
            if !trigger.isDeleted {
                self.locked { trigger.isDeleted = true }
                self.counters.triggers.subtract(1, ordering: .relaxed)
            }
            // A trigger without firings is a piece of work too.
            freed += 1 + self.drain(trigger, triggers, most: most - freed)
        }
        // A tick goes on with what is left, as one after a start from a snapshot would.
        self.nextDue = .min
        self.locked {
            triggers.refresh()
            self.changed()
        }
        return freed
    }

    // MARK: Ticks

    /// Does some of what is due; `select` gets each project before anything of it changes.
    ///
    /// - Complexity: O(projects with triggers) and `perTick` of each kind of work.
    func tick(clock: Int64, select: (Project) -> Void) {
        guard self.nextDue <= clock else { return }
        self.makeDue(clock: clock, select)
        var (drained, forgotten) = (TriggerLimits.perTick, TriggerLimits.perTick)
        for triggers in self.projects {
            select(triggers.project)
            for trigger in triggers.all {
                if trigger.isDeleted {
                    drained -= self.drain(trigger, triggers, most: drained)
                } else if self.isForgetDue(trigger, clock: clock) {
                    forgotten -= self.forgetPastDue(trigger, clock: clock, most: forgotten)
                }
            }
        }
        self.refreshNextDue()
    }

    /// Makes firings due, those of the project with the earliest first.
    private func makeDue(clock: Int64, _ select: (Project) -> Void) {
        var left = TriggerLimits.perTick
        while left > 0 {
            var first: ProjectTriggers?
            for triggers in self.projects where triggers.nextDue < first?.nextDue ?? .max {
                first = triggers
            }
            guard let first, first.nextDue <= clock else { return }
            select(first.project)
            left -= self.makeDue(first, clock: clock, most: min(left, TriggerLimits.perTurn))
        }
    }

    /// Whether times of a trigger have been useless for long enough to go.
    private func isForgetDue(_ trigger: Trigger, clock: Int64) -> Bool {
        guard let first = trigger.fired.first else { return false }
        return self.forgetDue(first.block, of: trigger) <= clock
    }

    private func forgetDue(_ fired: Handle, of trigger: Trigger) -> Int64 {
        self.firedTime(fired).receivedAt + trigger.firedAge + TriggerLimits.forgetInterval
    }

    /// Finds anew when something is due.
    ///
    /// - Complexity: O(triggers).
    func refreshNextDue() {
        var next = Int64.max
        for triggers in self.projects {
            next = min(next, triggers.nextDue)
            for trigger in triggers.all {
                if trigger.isDeleted { next = .min }
                guard let first = trigger.fired.first else { continue }
                next = min(next, self.forgetDue(first.block, of: trigger))
            }
        }
        self.nextDue = next
    }

    /// Bytes of triggers, queues and tables; firings and what belongs to them are in the slab.
    var bytes: Int {
        self.queueBytes + self.owners.bytes
            + self.projects.capacity * MemoryLayout<ProjectTriggers>.stride
    }
}

extension TriggerDefinition {
    /// Bytes of its texts, and about as much for the trigger itself; a compiled filter is as large
    /// as three times its text.
    fileprivate var bytes: Int {
        512 + self.eventName.count + self.unlessEventName.count + self.guardTopic.count
            + self.displayName.count + 4 * self.filter.count
    }
}
