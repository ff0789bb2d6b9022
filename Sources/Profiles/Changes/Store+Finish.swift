import Bytes

// The one way in which a command changes what readers see, a plain Track included. Everything that
// must happen with a change hangs here: pre-images for a running snapshot, the undo log of an
// atomic batch, the counts that metrics show, and the change records.
//
// Housekeeping that no reader sees (deduplication entries and blocks that are past due) needs no
// commit. The digest is computed from the state, and that of the results by the caller of `apply`.
//
// SAFETY: `changes`, `undo`, `state` and `work` are one element each that `Store` owns, and edits
// point into `changes`; only the applier, which runs this file, follows them. Headers are written
// under the locks of their shards.

extension Store {
    /// Makes everything that is staged visible at once, and frees what it replaced.
    ///
    /// Budget: a Track of an existing profile takes one lock, no allocation, and for its change
    /// records two copies per event.
    ///
    /// - Parameters:
    ///   - isLast: Readers see the call's lsn with this commit; false for steps of a tick, which
    ///     change nothing that a read or a call depends on.
    ///   - keepsReplaced: The response still quotes what was replaced; `freeReplaced` follows.
    @inline(__always)
    func finish(_ call: CallContext, isLast: Bool = true, keepsReplaced: Bool = false) {
        if !self.changes.pointee.isStaged, self.changes.pointee.editCount == 1 {
            let edit = self.changes.pointee.edits
            self.profileLocks.applying(edit.pointee.profile.shard) {
                self.carryOut(edit, call)
                if isLast { self.publish(call.lsn) }
            }
            // Before the events that it drops are freed: they may be among those that it stored.
            if self.recordsChanges, edit.pointee.storedCount > 0 {
                self.recordEvents(edit, receivedAt: call.receivedAt)
            }
            self.settle(edit)
            self.changes.pointee.removeEdits()
        } else {
            let recordsChanges = self.recordsChanges
            self.changes.pointee.defersFrees = recordsChanges
            self.finishStaged(call, isLast: isLast)
            self.changes.pointee.defersFrees = false
            if recordsChanges { self.recordNoted(call) }
            self.changes.pointee.removeEdits()
            if !keepsReplaced { self.freeReplaced() }
        }
    }

    /// Frees what the last commit replaced.
    func freeReplaced() {
        for (block, bytes) in self.changes.pointee.freed {
            if self.undo.pointee.isActive {
                self.undo.pointee.freed.append((block, bytes))
            } else {
                self.slab.deallocate(block, bytes: bytes)
            }
        }
        self.changes.pointee.removeAll()
    }

    /// The commit of more than one edit: all locks that take part are held, in the order addresses,
    /// identifiers, profiles, suppressions.
    @inline(never)
    private func finishStaged(_ call: CallContext, isLast: Bool) {
        for change in self.changes.pointee.headers { self.snapshot.willChange(change.profile) }
        if let change = self.changes.pointee.suppression {
            self.suppressions.willChange(change.address)
            if let former = change.formerAddress { self.suppressions.willChange(former) }
        }
        self.addresses.apply(self.changes.pointee.addresses) {
            self.index.apply(self.changes.pointee.index) {
                self.profileLocks.holding(mask: self.stagedShards) {
                    self.carryOutAll(call)
                    self.setSuppression { if isLast { self.publish(call.lsn) } }
                }
            }
        }
        if self.changes.pointee.editCount == 1 { self.settle(self.changes.pointee.edits) }
        // Events of profiles that were merged or erased.
        self.forgetDropped()
        if self.undo.pointee.isActive { self.undo.pointee.note(self.changes.pointee) }
        guard self.changes.pointee.profilesAdded != 0 else { return }
        self.state.pointee.profileCount += self.changes.pointee.profilesAdded
        self.project.record.pointee.counts.profiles += self.changes.pointee.profilesAdded
        self.publishProfileCount(self.state.pointee.profileCount)
    }

    /// Shards of the profiles whose headers are replaced or edited: bit `1 << shard`.
    private var stagedShards: UInt64 {
        var mask: UInt64 = 0
        for change in self.changes.pointee.headers { mask |= 1 << UInt64(change.profile.shard) }
        for number in 0 ..< self.changes.pointee.editCount {
            mask |= 1 << UInt64(self.changes.pointee.edits[number].profile.shard)
        }
        return mask
    }

    private func carryOutAll(_ call: CallContext) {
        for change in self.changes.pointee.headers {
            self.noteForUndo(change.profile)
            let wasIdentified = self.isIdentified(self.pool.header(change.profile).pointee)
            let isIdentified = self.isIdentified(change.header)
            self.project.record.pointee.counts.identified +=
                (isIdentified ? 1 : 0) - (wasIdentified ? 1 : 0)
            self.pool.header(change.profile).pointee = change.header
        }
        let editCount = self.changes.pointee.editCount
        for number in 0 ..< editCount {
            let edit = self.changes.pointee.edits + number
            self.carryOut(edit, call)
            // One edit is settled outside of the locks. Of several, each must be before the next:
            // the list of dropped events has the size of one profile's.
            if editCount > 1 { self.settle(edit) }
        }
        if let change = self.changes.pointee.key { self.keys.apply(change, now: call.clock) }
    }

    private func setSuppression(_ publish: () -> Void) {
        guard let change = self.changes.pointee.suppression else { return publish() }
        self.suppressions.set(
            self.project, change.address, change.reasons, replacing: change.formerAddress,
            publish: publish)
    }

    /// Makes one edit; under the profile's lock, with blocks that have capacity for it.
    @inline(__always)
    private func carryOut(_ edit: UnsafeMutablePointer<ProfileEdit>, _ call: CallContext) {
        let header = self.pool.header(edit.pointee.profile)
        if edit.pointee.storedCount > 0 {
            self.install(edit.pointee.parts, in: header)
            self.dropPastDue(header, now: call.clock)
            self.addEvents(header, edit)
            if edit.pointee.raisesRevision { header.pointee.raiseRevision(call) }
        } else if edit.pointee.dropsPastDue {
            self.dropPastDue(header, now: call.clock)
        }
        if edit.pointee.seenAt != 0 { header.pointee.lastSeenAt = edit.pointee.seenAt }
        guard edit.pointee.installationID.count > 0,
            let installation = IdentityPart(self.slab.pointer(header.pointee.identity))
                .installation(edit.pointee.installationID)
        else { return }
        if edit.pointee.seenAt != 0 { installation.seen(at: edit.pointee.seenAt) }
        let platform = edit.pointee.platform
        guard platform != 0, platform != installation.platform else { return }
        installation.change(platform: platform)
        let isRaised = edit.pointee.storedCount > 0 && edit.pointee.raisesRevision
        if edit.pointee.raisesForPlatform, !isRaised { header.pointee.raiseRevision(call) }
    }

    /// Brings the table of events in line with an edit that was made.
    @inline(__always)
    private func settle(_ edit: UnsafeMutablePointer<ProfileEdit>) {
        if edit.pointee.storedCount > 0 {
            for number in 0 ..< edit.pointee.eventCount {
                let event = self.work.pointee.pending + number
                guard edit.pointee.takes(event) else { continue }
                self.enterEvent(event.pointee.hash, event.pointee.block)
                self.project.eventStored(at: event.pointee.effectiveTime)
            }
            self.state.pointee.nextExpiry = min(
                self.state.pointee.nextExpiry, self.project.nextExpiry)
            let parts = edit.pointee.parts
            self.discard(parts.oldEvents, bytes: parts.oldEventBytes)
            self.discard(parts.oldCounters, bytes: parts.oldCounterBytes)
        }
        self.forgetDropped()
    }
}
