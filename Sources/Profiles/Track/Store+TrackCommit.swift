import Bytes

// The second pass over a Track: everything was decided, nothing can fail. Blocks are made before
// the profile's lock is taken and freed after it is released; in between readers wait for a few
// hundred bytes to be written.
//
// SAFETY: edits and pending events are elements of `changes` and `work`, which the applier owns;
// headers are written under the lock of their shard, with blocks whose capacity was made sure of
// before it was taken.

extension Store {
    /// Carries out what `evaluateEvents` decided, and returns the present holder; `nil` if there is
    /// none and none was made.
    func commit(_ target: TrackTarget, _ call: CallContext) -> ProfileRef? {
        let pending = self.work.pointee.pending
        let count = target.header.eventCount
        var isAnyStored = false
        var isAnyFormer = false
        for number in 0 ..< count where pending[number].outcome == .stored {
            isAnyStored = true
            if pending[number].target != 0 { isAnyFormer = true }
        }
        guard let profile = target.profile else {
            guard isAnyStored else { return nil }
            let created = self.create(target, call)
            self.stage(created, target, call, isNew: true)
            self.finishWithTriggers(call)
            return created
        }
        self.stage(profile, target, call, isNew: false)
        if isAnyFormer { self.stageFormerHolders(target, call) }
        self.finishWithTriggers(call)
        return profile
    }

    /// Budget: one look at the project's record unless it has triggers.
    @inline(__always)
    private func finishWithTriggers(_ call: CallContext) {
        guard self.project.record.pointee.triggers != nil else { return self.finish(call) }
        self.stageFirings(call)
        self.finish(call)
        self.settleTriggers(call)
    }

    /// Stages the late events of each former holder: all of the call can be seen at once.
    @inline(never)
    private func stageFormerHolders(_ target: TrackTarget, _ call: CallContext) {
        let pending = self.work.pointee.pending
        for number in 0 ..< target.header.eventCount
        where pending[number].outcome == .stored && pending[number].target != 0 {
            let holder = pending[number].target
            let isFirst = !(0 ..< number).contains {
                pending[$0].outcome == .stored && pending[$0].target == holder
            }
            if isFirst { self.stage(ProfileRef(rawValue: holder), target, call, isNew: false) }
        }
    }

    private func create(_ target: TrackTarget, _ call: CallContext) -> ProfileRef {
        let identityBytes = IdentityPart.bytes(of: target.header.identifier)
        let identity = self.allocate(identityBytes)
        IdentityPart.write(
            target.header.identifier,
            platform: call.rules.platform(ofNew: target.header.platform), at: call.receivedAt,
            to: self.slab.pointer(identity))
        let profile = self.createProfile(
            call, project: target.header.project, identity: identity, identityBytes: identityBytes,
            origin: ChangeOrigin(
                isHistorical: target.header.flags.contains(.historical),
                platform: target.header.platform, sourceName: target.header.sourceName))
        self.name(profile, target.identifierHash)
        return profile
    }

    /// Stages the events that belong to one profile: the present holder of the identifier, or one
    /// who held it then.
    @inline(__always)
    private func stage(
        _ profile: ProfileRef, _ target: TrackTarget, _ call: CallContext, isNew: Bool
    ) {
        let edit = self.edit(profile)
        let isPresent = isNew || profile == target.profile
        edit.pointee.target = isPresent ? 0 : profile.rawValue
        edit.pointee.eventCount = target.header.eventCount
        edit.pointee.raisesRevision = !isNew
        edit.pointee.isHistorical = target.header.flags.contains(.historical)
        var countersAdded = 0
        for number in 0 ..< target.header.eventCount {
            let event = self.work.pointee.pending + number
            guard edit.pointee.takes(event) else { continue }
            edit.pointee.storedCount += 1
            if event.pointee.addsCounter { countersAdded += 1 }
            event.pointee.block = self.makeBlock(event, profile, target.header, call)
        }
        if edit.pointee.storedCount > 0 { self.prepareHeadroom(edit, countersAdded) }
        guard isPresent else { return }
        if !edit.pointee.isHistorical { edit.pointee.seenAt = call.receivedAt }
        if target.header.identifier.kind == .installationID {
            edit.pointee.installationID = target.header.identifier.bytes
            edit.pointee.platform = call.rules.platform(named: target.header.platform)
        }
    }

    @inline(__always)
    private func makeBlock(
        _ event: UnsafeMutablePointer<PendingEvent>, _ profile: ProfileRef, _ header: TrackHeader,
        _ call: CallContext
    ) -> Handle {
        let source = EventBlock.Source(
            effectiveTime: event.pointee.effectiveTime, lsn: event.pointee.lsn,
            receivedAt: call.receivedAt,
            holder: profile, header: header,
            eventID: event.pointee.eventID.count > 0 ? event.pointee.eventID : nil,
            content: UnsafeRawBufferPointer(
                rebasing: self.work.pointee.contents.bytes[
                    event.pointee.storedStart ..< event.pointee.storedEnd]))
        let block = self.allocate(source.totalBytes)
        EventBlock.write(source, to: self.slab.pointer(block))
        return block
    }

    /// Handles per step of an events index: one unit of the slab.
    fileprivate static let eventCapacityMin: UInt32 = 4

    /// Gives an edit larger blocks where the events and counters that it adds need them.
    @inline(__always)
    private func prepareHeadroom(
        _ edit: UnsafeMutablePointer<ProfileEdit>, _ countersAdded: Int
    ) {
        let header = self.pool.header(edit.pointee.profile)
        let events = header.pointee.eventCount + edit.pointee.storedCount
        if events > header.pointee.eventCapacity {
            edit.pointee.parts.growEvents(of: header.pointee, to: events, self)
        }
        let counters = Int(header.pointee.counterCount) + countersAdded
        if counters > Int(header.pointee.counterCapacity) {
            edit.pointee.parts.growCounters(of: header.pointee, to: counters, self)
        }
    }

    @inline(__always)
    func install(_ parts: ReplacedParts, in header: UnsafeMutablePointer<ProfileHeader>) {
        if parts.events != 0 {
            header.pointee.events = parts.events
            header.pointee.eventCapacity = parts.eventCapacity
            header.pointee.eventHead = 0
        }
        if parts.counters != 0 {
            header.pointee.counters = parts.counters
            header.pointee.counterCapacity = parts.counterCapacity
        }
    }

    /// Puts the stored events into the profile's index and counters; under its lock, with capacity
    /// for all.
    @inline(__always)
    func addEvents(
        _ header: UnsafeMutablePointer<ProfileHeader>, _ edit: UnsafeMutablePointer<ProfileEdit>
    ) {
        for number in 0 ..< edit.pointee.eventCount {
            let event = self.work.pointee.pending + number
            guard edit.pointee.takes(event) else { continue }
            self.eventStore.insert(
                event.pointee.block, at: event.pointee.effectiveTime, into: header)
            self.eventStore.count(event.pointee.name, at: event.pointee.effectiveTime, in: header)
        }
        self.dropOverLimit(header)
    }

    /// Takes the oldest events over the limit out of a profile's index; under its lock, or of a
    /// header that is not visible yet.
    func dropOverLimit(_ header: UnsafeMutablePointer<ProfileHeader>) {
        while header.pointee.eventCount > self.eventsPerProfileMax { self.dropFirst(header) }
    }

    /// Takes the events that are past the retention out of a profile's index; under its lock.
    func dropPastDue(_ header: UnsafeMutablePointer<ProfileHeader>, now: Int64) {
        let since = self.retainedSince(now, in: self.project)
        // Mostly nothing is that old anywhere, and the profile's first event need not be looked at.
        guard self.project.counts.oldestEvent < since else { return }
        while let oldest = self.eventStore.oldest(header.pointee), oldest < since {
            self.dropFirst(header)
        }
    }

    private func dropFirst(_ header: UnsafeMutablePointer<ProfileHeader>) {
        self.work.pointee.dropped[self.work.pointee.droppedCount] =
            self.eventStore.removeFirst(header)
        self.work.pointee.droppedCount += 1
    }

    /// Frees the events that were dropped, which readers can no longer reach.
    @inline(__always)
    func forgetDropped() {
        if self.work.pointee.droppedCount > 0 { self.forgetAllDropped() }
    }

    @inline(never)
    private func forgetAllDropped() {
        for index in 0 ..< self.work.pointee.droppedCount {
            let handle = self.work.pointee.dropped[index]
            let block = EventBlock(self.slab.pointer(handle))
            self.noteDropped(block)
            self.removeEvent(self.eventStore.hash(of: block, self.project.id), handle)
            self.discard(handle, bytes: block.totalBytes)
        }
        self.work.pointee.droppedCount = 0
    }
}

extension ReplacedParts {
    /// A larger index with the events so far.
    @inline(never)
    fileprivate mutating func growEvents(
        of header: ProfileHeader, to count: UInt32, _ store: Store
    ) {
        var capacity = max(header.eventCapacity, Store.eventCapacityMin)
        while count > capacity { capacity *= 2 }
        self.eventCapacity = capacity
        self.events = store.allocate(Int(capacity) * MemoryLayout<Handle>.stride)
        self.oldEvents = header.events
        self.oldEventBytes = Int(header.eventCapacity) * MemoryLayout<Handle>.stride
        guard header.eventCount > 0 else { return }
        let old =
            store.slab.pointer(header.events)
            + Int(header.eventHead) * MemoryLayout<Handle>.stride
        store.slab.pointer(self.events).copyMemory(
            from: old, byteCount: Int(header.eventCount) * MemoryLayout<Handle>.stride)
    }

    /// A larger block with the counters so far.
    @inline(never)
    fileprivate mutating func growCounters(
        of header: ProfileHeader, to count: Int, _ store: Store
    ) {
        let capacity = min(max(count, Int(header.counterCapacity) * 3 / 2), Int(UInt16.max))
        self.counterCapacity = UInt16(capacity)
        self.counters = store.allocate(capacity * MemoryLayout<CounterEntry>.stride)
        self.oldCounters = header.counters
        self.oldCounterBytes = Int(header.counterCapacity) * MemoryLayout<CounterEntry>.stride
        guard header.counterCount > 0 else { return }
        store.slab.pointer(self.counters).copyMemory(
            from: store.slab.pointer(header.counters),
            byteCount: Int(header.counterCount) * MemoryLayout<CounterEntry>.stride)
    }
}
