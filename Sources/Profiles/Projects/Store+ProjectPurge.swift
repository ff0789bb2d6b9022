// A project whose time is due is removed in pieces, one with each tick, while the others are
// served. Nothing of it can be asked for any more: every command is rejected, and readers are
// rejected at the door, from the due time on, whenever the ticks come. Each piece is a function of
// the state, so that a replay, and a start from a snapshot in between, remove the same.
//
// SAFETY: runs on the applier, which alone changes headers, lists and cursors; `work` and `changes`
// are one element each that `Store` owns.

/// How far the removal of projects that are due has got.
struct ProjectPurge: BitwiseCopyable {
    enum Phase: UInt8 {
        case idle = 0
        /// Kept responses, merges, blocked identifiers, firings and keys, project by project;
        /// `slot` is the number of the next project.
        case lists = 1
        /// Every profile of the store is looked at, up to `shard` and `slot`.
        case profiles = 2
        /// Suppressed addresses, shard by shard; `slot` is the next part of the shard.
        case suppressions = 3
        /// What a reader that began before the due time may still follow, project by project:
        /// `shard` counts ticks, up to `readersTicks`, `slot` is the number of the next project.
        case names = 4
    }

    /// Units of work of one tick: about 2 ms. A profile, or a project, that is looked at is one.
    static let unitsPerTick = 16_384
    /// Of a profile beside its events, a merge, a project, or a part of a shard of suppressions.
    static let unitsPerProfile = 16
    /// Of an event, a kept response, a blocked identifier, a suppressed address or a key.
    static let unitsPerEntry = 4
    /// Bytes of a ledger that cost a unit: they are freed as one block.
    static let ledgerBytesPerUnit = 4_096
    /// Bytes of an identity that cost a unit: each of its 100 installations leaves the index.
    static let identityBytesPerUnit = 16
    /// Bytes of a response that cost a unit: each profile that it names leaves a table.
    static let responseBytesPerUnit = 128
    /// Suppressed addresses that cost a unit by being looked at.
    static let addressesPerUnit = 16
    /// Names of a project that cost a unit: they are cleared.
    static let namesPerUnit = 16
    /// Entries of a list that go as one piece; the headers of as many merges change in one commit.
    static let entriesPerPiece = 256
    /// Names of projects that one tick frees: each change of the list of projects makes readers of
    /// it wait.
    static let freedPerTick = 256
    /// A read of a project that began before the due time has ended this long after it, in
    /// microseconds: one piece of a read takes a few milliseconds.
    static let readersEnd: Int64 = 1_000_000
    /// Ticks that pass before names go: a machine's clock that leaps ahead makes one interval
    /// between ticks shorter than `RetentionSweep.tickInterval`, not two.
    static let readersTicksMin = 2
    /// Ticks after which names go whatever the clock says: it may have been set back by days.
    static let readersTicks = 12
    /// How long the name stays taken after everything of the project is gone from memory, in
    /// microseconds: the log and the snapshots that had it are gone by then.
    static let nameTaken: Int64 = 86_400 * 1_000_000

    var phase = Phase.idle
    var shard = 0
    var slot = 0
}

extension Store {
    /// Does a bounded piece of what there is to remove.
    func purge(_ call: CallContext) {
        if self.state.pointee.nextProjectDue <= call.clock {
            self.freeNames(call)
            if self.state.pointee.purge.phase == .idle { self.beginPurge(call) }
        }
        guard self.state.pointee.purge.phase != .idle else { return }
        // Snapshots are due until what the log has of the project is gone from the disk.
        self.erasure.noteInLog(call.lsn)
        if self.state.pointee.purge.phase == .names {
            let ticks = self.state.pointee.purge.shard + 1
            self.state.pointee.purge.shard = min(ticks, ProjectPurge.readersTicks)
        }
        var left = ProjectPurge.unitsPerTick
        while left > 0, self.state.pointee.purge.phase != .idle {
            left -= self.purgeNext(call, units: left)
        }
    }

    /// Finds anew when the next project is due to be removed, or its name to be free.
    ///
    /// - Complexity: O(projects).
    func refreshNextProjectDue() {
        var next = Int64.max
        for project in self.projects.all {
            let details = project.record.pointee.details
            guard details.deleteDue != 0, !project.record.pointee.isPurging else { continue }
            next = min(
                next,
                details.purgedAt == 0
                    ? details.deleteDue : details.purgedAt + ProjectPurge.nameTaken)
        }
        self.state.pointee.nextProjectDue = next
    }

    /// Frees the names of projects of which nothing is left on the disk either, some with each
    /// tick, those of small numbers first.
    private func freeNames(_ call: CallContext) {
        var freed: [Project] = []
        for project in self.projects.all where freed.count < ProjectPurge.freedPerTick {
            let details = project.record.pointee.details
            guard details.deleteDue != 0, details.purgedAt != 0,
                details.purgedAt + ProjectPurge.nameTaken <= call.clock
            else { continue }
            freed.append(project)
        }
        if freed.contains(self.project) { self.select(self.projects.instance) }
        self.projects.remove(freed)
        self.refreshNextProjectDue()
    }

    /// Begins with all projects that are due; those that become due meanwhile are next.
    private func beginPurge(_ call: CallContext) {
        for project in self.projects.all {
            let details = project.record.pointee.details
            guard details.deleteDue != 0, details.purgedAt == 0, details.deleteDue <= call.clock
            else { continue }
            project.record.pointee.isPurging = true
            self.state.pointee.purge = ProjectPurge(phase: .lists)
        }
        self.refreshNextProjectDue()
    }

    /// Does one step of at most about `units`, and returns what it took, at least 1.
    private func purgeNext(_ call: CallContext, units: Int) -> Int {
        switch self.state.pointee.purge.phase {
        case .idle: units
        case .lists: self.purgeLists(call, units: units)
        case .profiles: self.purgeProfiles(call, units: units)
        case .suppressions: self.purgeSuppressions(units: units)
        case .names: self.purgeNames(call, units: units)
        }
    }

    private func enter(_ phase: ProjectPurge.Phase) {
        self.state.pointee.purge = ProjectPurge(phase: phase)
    }

    /// The next project of the phases that go project by project; `nil`: all were there.
    private func nextPurged(_ used: inout Int) -> Project? {
        let found = self.projects.nextPurged(from: self.state.pointee.purge.slot)
        used += found.visited
        if let project = found.project { self.state.pointee.purge.slot = Int(project.id.rawValue) }
        return found.project
    }

    // MARK: Steps

    private func purgeLists(_ call: CallContext, units: Int) -> Int {
        var used = 1
        while used < units {
            guard let project = self.nextPurged(&used) else {
                self.enter(.profiles)
                return used
            }
            self.select(project)
            let taken = self.purgeLists(of: project, call)
            used += taken
            if taken == 0 {
                used += ProjectPurge.unitsPerProfile
                self.state.pointee.purge.slot += 1
            }
        }
        return used
    }

    /// Drops one piece of the lists of a project, and returns the units that it took; 0: they are
    /// empty.
    private func purgeLists(of project: Project, _ call: CallContext) -> Int {
        let most = ProjectPurge.entriesPerPiece
        // The headers of merged profiles must be final before they go.
        let merges = self.forgetMerges(call, most: most, ofAnyAge: true)
        if merges > 0 { return merges * ProjectPurge.unitsPerProfile }
        let bytes = project.requests.bytes
        let requests = self.requests.drop(of: project, most: most)
        if requests > 0 {
            return requests * ProjectPurge.unitsPerEntry
                + (bytes - project.requests.bytes) / ProjectPurge.responseBytesPerUnit
        }
        let blocks = self.erasure.drop(of: project, most: most)
        if blocks > 0 { return blocks * ProjectPurge.unitsPerEntry }
        let firings = self.triggers.drop(of: project, most: most)
        if firings > 0 { return firings * ProjectPurge.unitsPerEntry }
        return self.keys.dropAll(of: project.id) * ProjectPurge.unitsPerEntry
    }

    private func purgeProfiles(_ call: CallContext, units: Int) -> Int {
        var used = 1
        while used < units {
            let purge = self.state.pointee.purge
            guard purge.shard < Shards.count else {
                self.enter(.suppressions)
                return used
            }
            guard purge.slot < self.pool.count(purge.shard) else {
                self.state.pointee.purge.shard += 1
                self.state.pointee.purge.slot = 0
                continue
            }
            let profile = ProfileRef(shard: purge.shard, slot: purge.slot)
            self.state.pointee.purge.slot += 1
            used += 1
            let id = self.pool.header(profile).pointee.project
            guard let project = self.projects.find(id), project.record.pointee.isPurging else {
                continue
            }
            if project != self.project { self.select(project) }
            used += self.purge(profile, call)
        }
        return used
    }

    /// Removes one profile, whether it lives, was merged away or erased, and frees its slot;
    /// returns the units that it took.
    private func purge(_ profile: ProfileRef, _ call: CallContext) -> Int {
        let header = self.pool.header(profile).pointee
        if !header.isTombstone {
            self.unname(profile, self.identities.profileIDHash(header.project, header.id))
        }
        if header.identity != 0 { self.unnameAll(of: profile, header) }
        if header.isLive { self.changes.pointee.profilesAdded -= 1 }
        self.addressesChanged(
            profile, from: header.isLive ? header : nil, to: AttributeDraft())
        self.gatherDropped(header)
        self.free(header.identity, bytes: Int(header.identityBytes))
        self.free(header.attributes, bytes: Int(header.attributesBytes))
        self.free(header.consent, bytes: Int(header.consentBytes))
        self.freeLedger(of: header)
        self.free(
            header.counters, bytes: Int(header.counterCapacity) * MemoryLayout<CounterEntry>.stride)
        self.free(header.events, bytes: Int(header.eventCapacity) * MemoryLayout<Handle>.stride)
        self.replace(profile, with: .vacant(next: self.pool.vacant(profile.shard)))
        self.finish(call, isLast: false)
        self.pool.setVacant(profile.shard, profile.rawValue)
        return ProjectPurge.unitsPerProfile + Int(header.eventCount) * ProjectPurge.unitsPerEntry
            + Int(header.ledgerBytes) / ProjectPurge.ledgerBytesPerUnit
            + Int(header.identityBytes) / ProjectPurge.identityBytesPerUnit
    }

    private func unnameAll(of profile: ProfileRef, _ header: ProfileHeader) {
        let identity = IdentityPart(self.slab.pointer(header.identity))
        if identity.customID.count > 0 {
            let custom = IdentifierView(kind: .customID, bytes: identity.customID)
            self.unname(profile, self.hash.identifier(header.project, custom))
        }
        guard header.isLive else { return }
        identity.forEachInstallation {
            let installation = IdentifierView(kind: .installationID, bytes: $0.id)
            self.unname(profile, self.hash.identifier(header.project, installation))
        }
    }

    private func purgeSuppressions(units: Int) -> Int {
        // Most projects suppress nothing: the tables need not be looked through for them.
        var used = self.projects.count / ProjectPurge.unitsPerProfile + 1
        let isAnyLeft = self.projects.all.contains {
            $0.record.pointee.isPurging && $0.record.pointee.suppressions > 0
        }
        guard isAnyLeft else {
            self.enter(.names)
            return used
        }
        while used < units {
            let (shard, part) = (self.state.pointee.purge.shard, self.state.pointee.purge.slot)
            guard shard < Shards.count else {
                self.enter(.names)
                return used
            }
            let addresses = self.suppressions.count(in: shard)
            guard addresses > 0, part < SuppressionStore.partsPerShard else {
                self.state.pointee.purge.shard += 1
                self.state.pointee.purge.slot = 0
                used += 1
                continue
            }
            let dropped = self.suppressions.drop(in: shard, part: part) { self.projects.find($0) }
            used +=
                ProjectPurge.unitsPerProfile + addresses / ProjectPurge.addressesPerUnit
                + dropped * ProjectPurge.unitsPerEntry
            self.state.pointee.purge.slot += 1
        }
        return used
    }

    /// Frees the names of projects, and with them the last that there is of each; takes all units
    /// while readers may still be there.
    private func purgeNames(_ call: CallContext, units: Int) -> Int {
        let ticks = self.state.pointee.purge.shard
        guard ticks >= ProjectPurge.readersTicksMin else { return units }
        var used = 1
        while used < units {
            guard let project = self.nextPurged(&used) else {
                self.enter(.idle)
                self.refreshNextExpiry()
                self.refreshNextProjectDue()
                return used
            }
            var details = project.record.pointee.details
            guard
                ticks >= ProjectPurge.readersTicks
                    || details.deleteDue + ProjectPurge.readersEnd <= call.clock
            else { return units }
            used += ProjectPurge.unitsPerProfile + project.names.count / ProjectPurge.namesPerUnit
            self.select(project)
            project.names.removeAll()
            self.settleBytes()
            project.record.pointee.isPurging = false
            project.counts = ProjectCounts()
            project.publishCounts()
            details.purgedAt = max(call.clock, 1)
            self.projects.change(project, to: details)
            self.state.pointee.nextProjectDue = min(
                self.state.pointee.nextProjectDue, details.purgedAt + ProjectPurge.nameTaken)
        }
        return used
    }
}
