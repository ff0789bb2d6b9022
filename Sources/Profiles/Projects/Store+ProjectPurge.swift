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
        /// Kept responses, merges and blocked identifiers.
        case lists = 1
        /// Every profile of the store is looked at, up to `shard` and `slot`.
        case profiles = 2
        /// Suppressed addresses, shard by shard.
        case suppressions = 3
        /// What a reader that began before the due time may still follow.
        case names = 4
    }

    /// Units of work of one tick: about 2 ms. A profile that is looked at is one.
    static let unitsPerTick = 16_384
    static let unitsPerProfile = 16
    static let unitsPerEntry = 4
    /// A read of a project that began before the due time has ended this long after it, in
    /// microseconds: one piece of a read takes a few milliseconds.
    static let readersEnd: Int64 = 1_000_000
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
        guard
            self.state.pointee.purge.phase != .idle
                || self.state.pointee.nextProjectDue <= call.clock
        else { return }
        self.freeNames(call)
        if self.state.pointee.purge.phase == .idle { self.beginPurge(call) }
        guard self.state.pointee.purge.phase != .idle else { return }
        // Snapshots are due until what the log has of the project is gone from the disk.
        self.erasure.noteInLog(call.lsn)
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

    /// Frees the names of projects of which nothing is left on the disk either.
    private func freeNames(_ call: CallContext) {
        for project in self.projects.all {
            let purgedAt = project.record.pointee.details.purgedAt
            guard purgedAt != 0, purgedAt + ProjectPurge.nameTaken <= call.clock else { continue }
            if project == self.project { self.select(self.projects.instance) }
            self.projects.remove(project)
        }
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

    private var purged: [Project] {
        self.projects.all.filter { $0.record.pointee.isPurging }
    }

    /// Does one step of at most about `units`, and returns what it took, at least 1.
    private func purgeNext(_ call: CallContext, units: Int) -> Int {
        switch self.state.pointee.purge.phase {
        case .idle: return units
        case .lists: return self.purgeLists(call, units: units)
        case .profiles: return self.purgeProfiles(call, units: units)
        case .suppressions: return self.purgeSuppressions(units: units)
        case .names: return self.purgeNames(call) ? 1 : units
        }
    }

    private func enter(_ phase: ProjectPurge.Phase) {
        self.state.pointee.purge = ProjectPurge(phase: phase)
    }

    // MARK: Steps

    private func purgeLists(_ call: CallContext, units: Int) -> Int {
        let most = units / ProjectPurge.unitsPerEntry + 1
        for project in self.purged {
            self.select(project)
            // The headers of merged profiles must be final before they go.
            var dropped = self.forgetMerges(call, most: most, ofAnyAge: true)
            dropped += self.requests.drop(of: project, most: most - dropped)
            dropped += self.erasure.drop(of: project, most: most - dropped)
            dropped += self.keys.dropAll(of: project.id)
            if dropped > 0 { return dropped * ProjectPurge.unitsPerEntry }
        }
        self.enter(.profiles)
        return 1
    }

    private func purgeProfiles(_ call: CallContext, units: Int) -> Int {
        var used = 0
        while used < units {
            let purge = self.state.pointee.purge
            guard purge.shard < Shards.count else {
                self.enter(.suppressions)
                return used + 1
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
            self.purge(profile, call)
            used += ProjectPurge.unitsPerProfile
        }
        return used
    }

    /// Removes one profile, whether it lives, was merged away or erased, and frees its slot.
    private func purge(_ profile: ProfileRef, _ call: CallContext) {
        let header = self.pool.header(profile).pointee
        if !header.isTombstone {
            self.unname(profile, self.identities.profileIDHash(header.project, header.id))
        }
        if header.isLive {
            self.unnameAll(of: profile, header)
            self.changes.pointee.profilesAdded -= 1
        }
        self.addressesChanged(
            profile, from: header.isLive ? header : nil, to: AttributeDraft())
        self.gatherDropped(header)
        self.free(header.identity, bytes: Int(header.identityBytes))
        self.free(header.attributes, bytes: Int(header.attributesBytes))
        self.free(header.consent, bytes: Int(header.consentBytes))
        self.free(header.ledger, bytes: Int(header.ledgerBytes))
        self.free(
            header.counters, bytes: Int(header.counterCapacity) * MemoryLayout<CounterEntry>.stride)
        self.free(header.events, bytes: Int(header.eventCapacity) * MemoryLayout<Handle>.stride)
        self.replace(profile, with: .vacant(next: self.pool.vacant(profile.shard)))
        self.finish(call, isLast: false)
        self.pool.setVacant(profile.shard, profile.rawValue)
    }

    private func unnameAll(of profile: ProfileRef, _ header: ProfileHeader) {
        let identity = IdentityPart(self.slab.pointer(header.identity))
        if identity.customID.count > 0 {
            let custom = IdentifierView(kind: .customID, bytes: identity.customID)
            self.unname(profile, self.hash.identifier(header.project, custom))
        }
        identity.forEachInstallation {
            let installation = IdentifierView(kind: .installationID, bytes: $0.id)
            self.unname(profile, self.hash.identifier(header.project, installation))
        }
    }

    private func purgeSuppressions(units: Int) -> Int {
        let shard = self.state.pointee.purge.shard
        guard shard < Shards.count,
            self.purged.contains(where: { $0.record.pointee.suppressions > 0 })
        else {
            self.enter(.names)
            return 1
        }
        let most = units / ProjectPurge.unitsPerEntry + 1
        let dropped = self.suppressions.drop(in: shard, most: most) { self.projects.find($0) }
        if dropped < most { self.state.pointee.purge.shard += 1 }
        return dropped * ProjectPurge.unitsPerEntry + ProjectPurge.unitsPerProfile
    }

    /// Frees the names, and with them the last of the projects; false: readers may still be there.
    private func purgeNames(_ call: CallContext) -> Bool {
        let projects = self.purged
        guard
            projects.allSatisfy({
                $0.record.pointee.details.deleteDue + ProjectPurge.readersEnd <= call.clock
            })
        else { return false }
        for project in projects {
            self.select(project)
            project.names.removeAll()
            self.settleBytes()
            project.record.pointee.isPurging = false
            project.counts = ProjectCounts()
            project.publishCounts()
            var details = project.record.pointee.details
            details.purgedAt = call.clock
            self.projects.change(project, to: details)
        }
        self.enter(.idle)
        self.refreshNextExpiry()
        self.refreshNextProjectDue()
        return true
    }
}
