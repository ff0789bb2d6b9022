import Bytes

// The second pass over a Track: everything was decided, nothing can fail. Blocks are made before
// the profile's lock is taken and freed after it is released; in between readers wait for a few
// hundred bytes to be written.

extension Store {
    /// Carries out what `evaluateEvents` decided, and returns the present holder; `nil` if there is
    /// none and none was made.
    func commit(_ target: TrackTarget, _ call: CallContext) -> ProfileRef? {
        let pending = self.work.pointee.pending
        let count = target.header.eventCount
        var isAnyStored = false
        var others: UInt64 = 0
        for number in 0 ..< count where pending[number].outcome == .stored {
            isAnyStored = true
            let holder = pending[number].target
            if holder != 0 { others |= 1 << UInt64(ProfileRef(rawValue: holder).shard) }
        }
        guard let profile = target.profile else {
            guard isAnyStored else { return nil }
            let created = self.create(target, call)
            self.change(created, target, call, isNew: true)
            self.commitChanges(call.lsn)
            return created
        }
        guard others != 0 else {
            self.change(profile, target, call, isNew: false)
            return profile
        }
        // Late events of former holders: all of the call can be seen at once.
        self.profileLocks.holding(mask: others | 1 << UInt64(profile.shard)) {
            self.change(profile, target, call, isNew: false)
            for number in 0 ..< count
            where pending[number].outcome == .stored && pending[number].target != 0 {
                let holder = pending[number].target
                let isFirst = !(0 ..< number).contains {
                    pending[$0].outcome == .stored && pending[$0].target == holder
                }
                if isFirst { self.change(ProfileRef(rawValue: holder), target, call, isNew: false) }
            }
        }
        return profile
    }

    private func create(_ target: TrackTarget, _ call: CallContext) -> ProfileRef {
        let identityBytes = IdentityPart.bytes(of: target.header.identifier)
        let identity = self.allocate(identityBytes)
        IdentityPart.write(
            target.header.identifier, platform: target.header.platform, at: call.receivedAt,
            to: self.slab.pointer(identity))
        let profile = self.createProfile(
            call, project: target.header.project, identity: identity, identityBytes: identityBytes)
        self.name(profile, target.identifierHash)
        return profile
    }

    func profileIDHash(_ project: ProjectID, _ id: ProfileID) -> UInt64 {
        withUnsafeBytes(of: (id.high.bigEndian, id.low.bigEndian)) {
            self.hash.identifier(project, IdentifierView(kind: .profileID, bytes: $0))
        }
    }

    /// Stores the events that belong to one profile: the present holder of the identifier, or one
    /// who held it then.
    private func change(
        _ profile: ProfileRef, _ target: TrackTarget, _ call: CallContext, isNew: Bool
    ) {
        self.preserve(profile)
        let header = self.pool.header(profile)
        let count = target.header.eventCount
        let isPresent = isNew || profile == target.profile
        let wanted: UInt32 = isPresent ? 0 : profile.rawValue
        var stored: UInt32 = 0
        for number in 0 ..< count {
            let event = self.work.pointee.pending + number
            if event.pointee.outcome == .stored, event.pointee.target == wanted { stored += 1 }
        }
        self.work.pointee.droppedCount = 0
        let blocks = withUnsafeTemporaryAllocation(of: Handle.self, capacity: count) { blocks in
            for number in 0 ..< count {
                let event = self.work.pointee.pending + number
                blocks[number] =
                    event.pointee.outcome == .stored && event.pointee.target == wanted
                    ? self.makeBlock(event, profile, target.header, call) : 0
            }
            let headroom =
                stored > 0 ? self.prepareHeadroom(header.pointee, stored, blocks) : ReplacedParts()
            self.profileLocks.applying(profile.shard) {
                self.install(headroom, in: header)
                if stored > 0 {
                    self.dropPastDue(header, now: call.receivedAt)
                    self.addEvents(header, blocks, count)
                    if !isNew { header.pointee.raiseRevision(call) }
                }
                if isPresent, !target.header.flags.contains(.historical) {
                    header.pointee.lastSeenAt = call.receivedAt
                    if target.header.identifier.kind == .installationID {
                        IdentityPart(self.slab.pointer(header.pointee.identity))
                            .installation(target.header.identifier.bytes)?.seen(at: call.receivedAt)
                    }
                }
                if !isNew { self.publish(call.lsn) }
            }
            for number in 0 ..< count where blocks[number] != 0 {
                let event = self.work.pointee.pending + number
                self.enterEvent(event.pointee.hash, blocks[number])
                self.state.pointee.eventStored(at: event.pointee.effectiveTime)
            }
            return headroom
        }
        self.release(blocks)
        self.forgetDropped()
    }

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

    /// Larger blocks for a profile's counters and events, filled before the lock; 0: the present
    /// one is kept.
    struct ReplacedParts {
        var counters: Handle = 0
        var counterCapacity: UInt16 = 0
        var events: Handle = 0
        var eventCapacity: UInt32 = 0
        /// What they replace, and how many bytes that has.
        var oldCounters: Handle = 0
        var oldCounterBytes = 0
        var oldEvents: Handle = 0
        var oldEventBytes = 0
    }

    /// Handles per step of an events index: one unit of the slab.
    private static let eventCapacityMin: UInt32 = 4

    private func prepareHeadroom(
        _ header: ProfileHeader, _ stored: UInt32, _ blocks: UnsafeMutableBufferPointer<Handle>
    ) -> ReplacedParts {
        var parts = ReplacedParts()
        if header.eventCount + stored > header.eventCapacity {
            var capacity = max(header.eventCapacity, Self.eventCapacityMin)
            while header.eventCount + stored > capacity { capacity *= 2 }
            parts.eventCapacity = capacity
            parts.events = self.allocate(Int(capacity) * MemoryLayout<Handle>.stride)
            parts.oldEvents = header.events
            parts.oldEventBytes = Int(header.eventCapacity) * MemoryLayout<Handle>.stride
            if header.eventCount > 0 {
                let old =
                    self.slab.pointer(header.events)
                    + Int(header.eventHead) * MemoryLayout<Handle>.stride
                self.slab.pointer(parts.events).copyMemory(
                    from: old, byteCount: Int(header.eventCount) * MemoryLayout<Handle>.stride)
            }
        }
        let needed = Int(header.counterCount) + self.countersAdded(blocks)
        if needed > Int(header.counterCapacity) {
            let capacity = min(max(needed, Int(header.counterCapacity) * 3 / 2), Int(UInt16.max))
            parts.counterCapacity = UInt16(capacity)
            parts.counters = self.allocate(capacity * MemoryLayout<CounterEntry>.stride)
            parts.oldCounters = header.counters
            parts.oldCounterBytes = Int(header.counterCapacity) * MemoryLayout<CounterEntry>.stride
            if header.counterCount > 0 {
                self.slab.pointer(parts.counters).copyMemory(
                    from: self.slab.pointer(header.counters),
                    byteCount: Int(header.counterCount) * MemoryLayout<CounterEntry>.stride)
            }
        }
        return parts
    }

    private func countersAdded(_ blocks: UnsafeMutableBufferPointer<Handle>) -> Int {
        var added = 0
        for number in blocks.indices where blocks[number] != 0 {
            if self.work.pointee.pending[number].addsCounter { added += 1 }
        }
        return added
    }

    private func install(_ parts: ReplacedParts, in header: UnsafeMutablePointer<ProfileHeader>) {
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

    private func release(_ parts: ReplacedParts) {
        self.discard(parts.oldEvents, bytes: parts.oldEventBytes)
        self.discard(parts.oldCounters, bytes: parts.oldCounterBytes)
    }

    /// Puts the stored events into the profile's index and counters; under its lock, with room for
    /// all.
    private func addEvents(
        _ header: UnsafeMutablePointer<ProfileHeader>, _ blocks: UnsafeMutableBufferPointer<Handle>,
        _ count: Int
    ) {
        for number in 0 ..< count where blocks[number] != 0 {
            let event = self.work.pointee.pending + number
            self.insertInOrder(header, blocks[number], event.pointee.effectiveTime)
            self.countEvent(header, event.pointee.name, event.pointee.effectiveTime)
        }
        self.dropOverLimit(header)
    }

    /// Takes the oldest events over the limit out of a profile's index; under its lock, or of a
    /// header that is not visible yet.
    func dropOverLimit(_ header: UnsafeMutablePointer<ProfileHeader>) {
        while header.pointee.eventCount > self.eventsPerProfileMax { self.dropFirst(header) }
    }

    private func insertInOrder(
        _ header: UnsafeMutablePointer<ProfileHeader>, _ block: Handle, _ effectiveTime: Int64
    ) {
        let base = self.slab.pointer(header.pointee.events).assumingMemoryBound(to: Handle.self)
        let count = Int(header.pointee.eventCount)
        if header.pointee.eventHead + header.pointee.eventCount == header.pointee.eventCapacity {
            base.update(from: base + Int(header.pointee.eventHead), count: count)
            header.pointee.eventHead = 0
        }
        let events = base + Int(header.pointee.eventHead)
        // The lsn is the greatest of all, so it goes behind every event of the same time; most go
        // to the end.
        var (low, high) = (0, count)
        if count > 0,
            EventBlock(self.slab.pointer(events[count - 1])).effectiveTime <= effectiveTime
        {
            low = count
        }
        while low < high {
            let middle = (low + high) / 2
            if EventBlock(self.slab.pointer(events[middle])).effectiveTime <= effectiveTime {
                low = middle + 1
            } else {
                high = middle
            }
        }
        (events + low + 1).update(from: events + low, count: count - low)
        events[low] = block
        header.pointee.eventCount += 1
    }

    private func countEvent(
        _ header: UnsafeMutablePointer<ProfileHeader>, _ name: UInt16, _ time: Int64
    ) {
        let entries = self.slab.pointer(header.pointee.counters).assumingMemoryBound(
            to: CounterEntry.self)
        if let index = self.counterIndex(header.pointee, name) {
            entries[index].add(time)
        } else {
            entries[Int(header.pointee.counterCount)] = CounterEntry(
                name: name, count: 1, first: time, last: time)
            header.pointee.counterCount += 1
        }
    }

    /// Takes the events that are past the retention out of a profile's index; under its lock.
    func dropPastDue(_ header: UnsafeMutablePointer<ProfileHeader>, now: Int64) {
        let since = self.retainedSince(now)
        // Mostly nothing is that old anywhere, and the profile's first event need not be looked at.
        guard self.state.pointee.oldestEvent < since else { return }
        while header.pointee.eventCount > 0 {
            let events = self.slab.pointer(header.pointee.events).assumingMemoryBound(
                to: Handle.self)
            let first = EventBlock(self.slab.pointer(events[Int(header.pointee.eventHead)]))
            guard first.effectiveTime < since else { return }
            self.dropFirst(header)
        }
    }

    private func dropFirst(_ header: UnsafeMutablePointer<ProfileHeader>) {
        let events = self.slab.pointer(header.pointee.events).assumingMemoryBound(to: Handle.self)
        let block = events[Int(header.pointee.eventHead)]
        let time = EventBlock(self.slab.pointer(block)).effectiveTime
        header.pointee.eventsTruncatedBefore = max(header.pointee.eventsTruncatedBefore, time + 1)
        header.pointee.eventHead += 1
        header.pointee.eventCount -= 1
        self.work.pointee.dropped[self.work.pointee.droppedCount] = block
        self.work.pointee.droppedCount += 1
    }

    /// What a retained event is found by.
    func eventHash(_ block: EventBlock, _ project: ProjectID) -> UInt64 {
        let parts = block.parts
        let identifierHash = self.hash.identifier(project, parts.identifier)
        return self.withEventID(block, parts) {
            self.hash.event(identifierHash: identifierHash, id: $0)
        }
    }

    /// Forgets and frees the events that were dropped; readers cannot reach them any more.
    func forgetDropped() {
        for index in 0 ..< self.work.pointee.droppedCount {
            let handle = self.work.pointee.dropped[index]
            let block = EventBlock(self.slab.pointer(handle))
            self.removeEvent(
                self.eventHash(block, self.pool.header(block.holder).pointee.project), handle)
            self.discard(handle, bytes: block.totalBytes)
        }
        self.work.pointee.droppedCount = 0
    }
}
