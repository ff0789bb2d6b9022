import Bytes

// Time passes in the state only through records. A tick does a bounded piece of what is due; what
// has not been cleaned up yet is hidden from reads and calls all the same, so the time at which a
// tick ran changes no outcome.
//
// SAFETY: `state` and `changes` are one element each that `Store` owns; only the applier, which
// runs this file, follows them.

/// How far the sweep for events past the retention has got.
struct RetentionSweep: BitwiseCopyable {
    /// Profiles looked at by one tick: about a millisecond.
    static let profilesPerTick = 4_096
    /// Events dropped by one tick, but for the last profile's.
    static let eventsPerTick = 4_096
    /// Request ids dropped by one tick.
    static let requestIDsPerTick = 4_096
    /// Shortest time between two ticks, in microseconds.
    static let tickInterval: Int64 = 100_000
    /// Shortest time between the starts of two sweeps, in microseconds: events stay at most this
    /// much longer in memory.
    static let sweepInterval: Int64 = 3_600 * 1_000_000

    var isRunning = false
    /// The next profile to look at.
    var shard = 0
    var slot = 0
    /// In microseconds; 0: never.
    var startedAt: Int64 = 0
    var lastTickAt: Int64 = 0
}

extension Store {
    /// Drops some of what is past due at `now`.
    func tick(_ call: CallContext) {
        let now = call.clock
        self.dropEntries(call)
        self.state.pointee.sweep.lastTickAt = now
        if !self.state.pointee.sweep.isRunning, let start = self.nextSweepStart(at: now),
            start <= now
        {
            self.state.pointee.sweep = RetentionSweep(
                isRunning: true, startedAt: now, lastTickAt: now)
            for project in self.projects.all { project.record.pointee.counts.oldestBehind = .max }
        }
        if self.state.pointee.sweep.isRunning { self.sweep(call) }
        self.triggers.tick(clock: now) { self.select($0) }
        self.purge(call)
        self.refreshOldest(at: now)
    }

    /// Drops entries of the lists that are past due, in the order of the projects' numbers.
    private func dropEntries(_ call: CallContext) {
        let now = call.clock
        guard self.nextEntryDue <= now else { return }
        var (requests, merges, blocks) = (
            RetentionSweep.requestIDsPerTick, MergeMemory.perTick, BlockList.perTick
        )
        for project in [self.projects.instance] + self.projects.all {
            self.select(project)
            requests -= self.requests.dropPastDue(of: project, now: now, most: requests)
            merges -= self.forgetMerges(call, most: merges)
            blocks -= self.erasure.dropPastDue(of: project, now: now, most: blocks)
        }
    }

    /// When the next tick is due, in microseconds by the machine's clock; `.max`: nothing will be.
    ///
    /// - Parameter clock: What that clock said last. A tick under a clock that ran ahead must not
    ///   keep the next one off until the clock is there again.
    func nextTick(at clock: Int64) -> Int64 {
        let sweep = self.state.pointee.sweep
        let soonest = min(sweep.lastTickAt, clock) + RetentionSweep.tickInterval
        var next = Int64.max
        if sweep.isRunning || self.state.pointee.purge.phase != .idle {
            next = soonest
        } else if let start = self.nextSweepStart(at: clock) {
            next = max(start, soonest)
        }
        let due = min(
            self.nextEntryDue(at: clock), self.state.pointee.nextProjectDue,
            self.triggers.nextDue)
        return due == .max ? next : min(next, max(due, soonest))
    }

    private func nextSweepStart(at clock: Int64) -> Int64? {
        guard self.state.pointee.nextExpiry != .max else { return nil }
        let due = self.state.pointee.nextExpiry + 1
        let last = min(self.state.pointee.sweep.startedAt, clock)
        return max(due, last + RetentionSweep.sweepInterval)
    }

    /// Finds the first event of any project that is past its retention anew.
    ///
    /// - Complexity: O(projects).
    func refreshNextExpiry() {
        self.state.pointee.nextExpiry = self.projects.all.reduce(.max) { min($0, $1.nextExpiry) }
    }

    private func sweep(_ call: CallContext) {
        var (visited, dropped) = (0, 0)
        while visited < RetentionSweep.profilesPerTick, dropped < RetentionSweep.eventsPerTick {
            let sweep = self.state.pointee.sweep
            guard sweep.shard < Shards.count else {
                for project in self.projects.all {
                    project.record.pointee.counts.oldestEvent = project.counts.oldestBehind
                }
                self.refreshNextExpiry()
                self.state.pointee.sweep.isRunning = false
                return
            }
            guard sweep.slot < self.pool.count(sweep.shard) else {
                self.state.pointee.sweep.shard += 1
                self.state.pointee.sweep.slot = 0
                continue
            }
            dropped += self.sweepProfile(ProfileRef(shard: sweep.shard, slot: sweep.slot), call)
            self.state.pointee.sweep.slot += 1
            visited += 1
        }
    }

    /// Drops a profile's events that are past due, and returns how many.
    private func sweepProfile(_ profile: ProfileRef, _ call: CallContext) -> Int {
        let header = self.pool.header(profile)
        guard let oldest = self.eventStore.oldest(header.pointee),
            let project = self.projects.find(header.pointee.project)
        else { return 0 }
        if project != self.project { self.select(project) }
        let eventCount = header.pointee.eventCount
        if oldest < self.retainedSince(call.clock, in: project) {
            self.edit(profile).pointee.dropsPastDue = true
            self.finish(call, isLast: false)
        }
        if let left = self.eventStore.oldest(header.pointee) {
            project.record.pointee.counts.oldestBehind = min(project.counts.oldestBehind, left)
        }
        return Int(eventCount - header.pointee.eventCount)
    }
}
