import Bytes

// The first pass over the events of a Track. Per event: malformed, duplicate, time window, erased
// holder, limits, in this order: a retry of what is retained is a duplicate even when it has become
// too late to be stored.
//
// SAFETY: pending events are elements of `work`, which only the applier follows; the name at the
// start of an event's content was translated and has two bytes.

extension Store {
    /// Decides the outcome of each event. New names stay in the table; the caller rolls them back
    /// if it rejects the call.
    ///
    /// - Returns: False if an event's content is malformed.
    func evaluateEvents(_ target: TrackTarget, _ call: CallContext) -> Bool {
        self.work.pointee.contents.removeAll()
        let pending = self.work.pointee.pending
        for number in 0 ..< target.header.eventCount {
            let event = pending + number
            guard !event.pointee.flags.contains(.rejected) else {
                event.pointee.rejection = .invalidFields
                event.pointee.effectiveTime = 0
                continue
            }
            guard let isDuplicate = self.evaluateDuplicate(event, number, target, call) else {
                return false
            }
            if isDuplicate { continue }
            guard self.evaluateTime(event, target.header, call) else { continue }
            event.pointee.target = self.formerHolder(target, at: event.pointee.effectiveTime)
            if event.pointee.target != 0,
                self.pool.header(ProfileRef(rawValue: event.pointee.target)).pointee.isErased
            {
                event.pointee.target = 0
                event.pointee.rejection = .identifierErased
                self.erasure.noteInLog(call.lsn)
                continue
            }
            let namesBefore = self.project.names.count
            switch self.translate(event, namesMax: Int(self.limits.namesPerProject)) {
            case .translated: break
            case .malformed: return false
            case .unknownName, .namesExhausted:
                self.project.names.truncate(to: namesBefore)
                event.pointee.rejection = .limitExceeded
                event.pointee.detail = Int64(self.limits.namesPerProject)
                continue
            }
            guard self.evaluateCounter(event, number, target) else {
                self.project.names.truncate(to: namesBefore)
                continue
            }
            event.pointee.outcome = .stored
        }
        return true
    }

    /// Whether the event was stored before, in an earlier call or in this one; `nil` if its content
    /// is malformed.
    private func evaluateDuplicate(
        _ event: UnsafeMutablePointer<PendingEvent>, _ number: Int, _ target: TrackTarget,
        _ call: CallContext
    ) -> Bool? {
        guard event.pointee.eventID.count > 0 else {
            // Derived from a secret and a new lsn: so no client can have sent it before.
            if let expected = target.expected, let id = expected.pointee.eventID {
                (event.pointee.madeID, event.pointee.hash) = (id, expected.pointee.eventHash)
                return false
            }
            event.pointee.madeID = MadeID(
                self.ids.event(receivedAt: call.receivedAt, lsn: event.pointee.lsn))
            event.pointee.hash = event.pointee.madeID.withText {
                self.hash.event(identifierHash: target.identifierHash, id: $0)
            }
            return false
        }
        event.pointee.hash = self.hash.event(
            identifierHash: target.identifierHash, id: event.pointee.eventID)
        for earlier in 0 ..< number {
            let first = self.work.pointee.pending + earlier
            guard first.pointee.outcome == .stored,
                first.pointee.eventID.equals(event.pointee.eventID)
            else {
                continue
            }
            event.pointee.outcome = .duplicate
            event.pointee.effectiveTime = first.pointee.effectiveTime
            event.pointee.holder = first.pointee.target
            event.pointee.contentDiffers = !first.pointee.content.equals(event.pointee.content)
            return true
        }
        let retained = self.eventStore.find(
            target.header.project, target.header.identifier, id: event.pointee.eventID,
            hash: event.pointee.hash, since: self.retainedSince(call.clock, in: self.project))
        guard let retained else { return false }
        event.pointee.outcome = .duplicate
        event.pointee.effectiveTime = retained.effectiveTime
        event.pointee.holder = retained.holder.rawValue
        switch self.translate(event, namesMax: 0) {
        case .translated:
            let stored = UnsafeRawBufferPointer(
                rebasing: self.work.pointee.contents.bytes[
                    event.pointee.storedStart ..< event.pointee.storedEnd])
            event.pointee.contentDiffers = !retained.parts.content.equals(stored)
        case .unknownName, .namesExhausted: event.pointee.contentDiffers = true
        case .malformed: return nil
        }
        return true
    }

    /// Sets the effective time; false if it is outside of its window, which is measured against the
    /// machine's clock.
    private func evaluateTime(
        _ event: UnsafeMutablePointer<PendingEvent>, _ header: TrackHeader, _ call: CallContext
    ) -> Bool {
        var time = call.receivedAt
        // The same by the machine's clock.
        var seen = call.clock
        if event.pointee.flags.contains(.hasOccurredAt) {
            (time, seen) = (event.pointee.effectiveTime, event.pointee.effectiveTime)
            if header.flags.contains(.hasSentAt), header.sentAt >= time {
                let age = header.sentAt &- time
                (time, seen) = (call.receivedAt &- age, call.clock &- age)
            }
        }
        let window =
            header.flags.contains(.historical)
            ? self.project.retentionSeconds : self.project.lateSeconds
        let earliest = call.clock - Int64(window) * 1_000_000
        let latest = call.clock + Int64(self.limits.aheadWindowSeconds) * 1_000_000
        event.pointee.effectiveTime = min(time, call.receivedAt)
        guard seen < earliest || seen > latest else { return true }
        event.pointee.effectiveTime = seen
        event.pointee.rejection = .timeWindow
        event.pointee.detail = seen < earliest ? earliest : latest
        return false
    }

    /// The oldest effective time that is retained at `now`, in microseconds.
    @inline(__always)
    func retainedSince(_ now: Int64, in project: Project) -> Int64 {
        now - Int64(project.retentionSeconds) * 1_000_000
    }

    /// As above, for any thread; of a project that is gone nothing is retained.
    func retainedSince(_ now: Int64, in project: ProjectID) -> Int64 {
        self.projects.find(project).map { self.retainedSince(now, in: $0) } ?? now
    }

    private func translate(_ event: UnsafeMutablePointer<PendingEvent>, namesMax: Int)
        -> EventContent.Outcome
    {
        let start = self.work.pointee.contents.count
        let outcome = EventContent.translate(
            event.pointee.content, names: self.project.names, namesMax: namesMax,
            into: &self.work.pointee.contents)
        guard outcome == .translated else {
            self.work.pointee.contents.truncate(to: start)
            return outcome
        }
        event.pointee.storedStart = start
        event.pointee.storedEnd = self.work.pointee.contents.count
        event.pointee.name = self.work.pointee.contents.bytes.loadUnaligned(
            fromByteOffset: start, as: UInt16.self)
        return outcome
    }

    /// Who held the installation at a time, if that is not its present holder; 0: the present
    /// holder.
    private func formerHolder(_ target: TrackTarget, at time: Int64) -> UInt32 {
        guard target.header.identifier.kind == .installationID, let present = target.profile else {
            return 0
        }
        let identity = IdentityPart(self.slab.pointer(self.pool.header(present).pointee.identity))
        guard let then = identity.installation(target.header.identifier.bytes)?.holder(at: time)
        else { return 0 }
        let survivor = self.identities.survivor(of: then)
        return survivor == present ? 0 : survivor.rawValue
    }

    /// Whether the event's profile has a counter for it, or capacity for one; notes which.
    private func evaluateCounter(
        _ event: UnsafeMutablePointer<PendingEvent>, _ number: Int, _ target: TrackTarget
    ) -> Bool {
        let holder =
            event.pointee.target == 0 ? target.profile : ProfileRef(rawValue: event.pointee.target)
        var added = 0
        for earlier in 0 ..< number {
            let other = self.work.pointee.pending[earlier]
            guard other.addsCounter, other.outcome == .stored, other.target == event.pointee.target
            else { continue }
            if other.name == event.pointee.name { return true }
            added += 1
        }
        let header = holder.map { self.pool.header($0).pointee }
        if let header, self.eventStore.counterIndex(header, event.pointee.name) != nil {
            return true
        }
        guard Int(header?.counterCount ?? 0) + added < Int(self.limits.countersPerProfile) else {
            event.pointee.rejection = .limitExceeded
            event.pointee.detail = Int64(self.limits.countersPerProfile)
            return false
        }
        event.pointee.addsCounter = true
        return true
    }
}
