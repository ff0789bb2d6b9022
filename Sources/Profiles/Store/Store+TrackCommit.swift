import Bytes

// The second pass over a Track: everything was decided, nothing can fail. Blocks are made before the profile's lock
// is taken and freed after it is released; in between readers wait for a few hundred bytes to be written.

extension Store {
    /// Carries out what `judgeEvents` decided, and returns the profile; `nil` if there is none and none was made.
    func commit(_ target: TrackTarget, _ call: CallContext) -> ProfileRef? {
        let pending = self.work.pointee.pending
        let count = target.header.eventCount
        var stored: UInt32 = 0
        for number in 0 ..< count where pending[number].outcome == .stored { stored += 1 }
        guard let profile = target.profile else {
            guard stored > 0 else { return nil }
            let created = self.create(target, call)
            self.change(created, target, call, stored: stored, isNew: true)
            self.enter(created, target, call)
            return created
        }
        self.change(profile, target, call, stored: stored, isNew: false)
        return profile
    }

    private func create(_ target: TrackTarget, _ call: CallContext) -> ProfileRef {
        let identityBytes = IdentityPart.bytes(of: target.header.identifier)
        let identity = self.slab.allocate(identityBytes)
        IdentityPart.write(
            target.header.identifier, platform: target.header.platform, at: call.receivedAt,
            to: self.slab.pointer(identity))
        let id = self.ids.profile(receivedAt: call.receivedAt, lsn: call.lsn)
        let shard = Shards.shard(self.profileIDHash(target.header.project, id))
        let header = ProfileHeader(
            id: id, project: target.header.project, lsn: call.lsn, receivedAt: call.receivedAt,
            identity: identity, identityBytes: identityBytes)
        return self.pool.add(header, shard: shard, locks: self.profileLocks)
    }

    /// Makes a new profile known by its id and by what the call said.
    private func enter(_ profile: ProfileRef, _ target: TrackTarget, _ call: CallContext) {
        let idHash = self.profileIDHash(target.header.project, self.pool.header(profile).pointee.id)
        self.index.insert(idHash, target.identifierHash, profile) {
            self.publish(call.lsn)
        }
        self.state.pointee.profileCount += 1
        self.publishProfileCount(self.state.pointee.profileCount)
    }

    func profileIDHash(_ project: ProjectID, _ id: ProfileID) -> UInt64 {
        withUnsafeBytes(of: (id.high.bigEndian, id.low.bigEndian)) {
            self.hash.identifier(project, IdentifierView(kind: .profileID, bytes: $0))
        }
    }

    private func change(
        _ profile: ProfileRef, _ target: TrackTarget, _ call: CallContext, stored: UInt32, isNew: Bool
    ) {
        let header = self.pool.header(profile)
        let count = target.header.eventCount
        self.work.pointee.droppedCount = 0
        let blocks = withUnsafeTemporaryAllocation(of: Handle.self, capacity: count) { blocks in
            for number in 0 ..< count {
                blocks[number] = self.makeBlock(self.work.pointee.pending + number, profile, target.header, call)
            }
            let room = stored > 0 ? self.prepareRoom(header.pointee, stored, count) : ReplacedParts()
            self.profileLocks.with(profile.shard) {
                self.install(room, in: header)
                if stored > 0 {
                    self.dropPastDue(header, now: call.receivedAt)
                    self.addEvents(header, blocks, count)
                    if !isNew {
                        header.pointee.revision += 1
                        header.pointee.lsn = call.lsn
                        header.pointee.updatedAt = call.receivedAt
                    }
                }
                if !target.header.flags.contains(.historical) {
                    header.pointee.lastSeenAt = call.receivedAt
                    if target.header.identifier.kind == .installationID {
                        IdentityPart(self.slab.pointer(header.pointee.identity))
                            .installationSeen(target.header.identifier.bytes, at: call.receivedAt)
                    }
                }
                if !isNew { self.publish(call.lsn) }
            }
            for number in 0 ..< count where blocks[number] != 0 {
                let event = self.work.pointee.pending + number
                self.events.insert(event.pointee.hash, blocks[number])
                self.state.pointee.eventStored(at: event.pointee.effectiveTime)
            }
            return room
        }
        self.release(blocks)
        self.forgetDropped()
    }

    private func makeBlock(
        _ event: UnsafeMutablePointer<PendingEvent>, _ profile: ProfileRef, _ header: TrackHeader, _ call: CallContext
    ) -> Handle {
        guard event.pointee.outcome == .stored else { return 0 }
        let source = EventBlock.Source(
            effectiveTime: event.pointee.effectiveTime, lsn: event.pointee.lsn, receivedAt: call.receivedAt,
            holder: profile, header: header,
            eventID: event.pointee.eventID.count > 0 ? event.pointee.eventID : nil,
            content: UnsafeRawBufferPointer(
                rebasing: self.work.pointee.contents.bytes[event.pointee.storedStart ..< event.pointee.storedEnd]))
        let block = self.slab.allocate(source.totalBytes)
        EventBlock.write(source, to: self.slab.pointer(block))
        return block
    }

    /// Larger blocks for a profile's counters and events, filled before the lock; 0: the present one is kept.
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

    private func prepareRoom(_ header: ProfileHeader, _ stored: UInt32, _ count: Int) -> ReplacedParts {
        var parts = ReplacedParts()
        if header.eventCount + stored > header.eventCapacity {
            var capacity = max(header.eventCapacity, Self.eventCapacityMin)
            while header.eventCount + stored > capacity { capacity *= 2 }
            parts.eventCapacity = capacity
            parts.events = self.slab.allocate(Int(capacity) * MemoryLayout<Handle>.stride)
            parts.oldEvents = header.events
            parts.oldEventBytes = Int(header.eventCapacity) * MemoryLayout<Handle>.stride
            if header.eventCount > 0 {
                let old = self.slab.pointer(header.events)
                    + Int(header.eventHead) * MemoryLayout<Handle>.stride
                self.slab.pointer(parts.events).copyMemory(
                    from: old, byteCount: Int(header.eventCount) * MemoryLayout<Handle>.stride)
            }
        }
        let needed = Int(header.counterCount) + self.countersAdded(count)
        if needed > Int(header.counterCapacity) {
            let capacity = min(max(needed, Int(header.counterCapacity) * 3 / 2), Int(UInt16.max))
            parts.counterCapacity = UInt16(capacity)
            parts.counters = self.slab.allocate(capacity * MemoryLayout<CounterEntry>.stride)
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

    private func countersAdded(_ count: Int) -> Int {
        var added = 0
        for number in 0 ..< count {
            let event = self.work.pointee.pending + number
            if event.pointee.addsCounter, event.pointee.outcome == .stored { added += 1 }
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
        if parts.oldEvents != 0 { self.slab.deallocate(parts.oldEvents, bytes: parts.oldEventBytes) }
        if parts.oldCounters != 0 { self.slab.deallocate(parts.oldCounters, bytes: parts.oldCounterBytes) }
    }

    /// Puts the stored events into the profile's index and counters; under its lock, with room for all.
    private func addEvents(
        _ header: UnsafeMutablePointer<ProfileHeader>, _ blocks: UnsafeMutableBufferPointer<Handle>, _ count: Int
    ) {
        for number in 0 ..< count where blocks[number] != 0 {
            let event = self.work.pointee.pending + number
            self.insertInOrder(header, blocks[number], event.pointee.effectiveTime)
            self.countEvent(header, event.pointee.name, event.pointee.effectiveTime)
        }
        while header.pointee.eventCount > UInt32(self.limits.eventsPerProfile) { self.dropFirst(header) }
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
        // The lsn is the greatest of all, so it goes behind every event of the same time; most go to the end.
        var (low, high) = (0, count)
        if count > 0, EventBlock(self.slab.pointer(events[count - 1])).effectiveTime <= effectiveTime { low = count }
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

    private func countEvent(_ header: UnsafeMutablePointer<ProfileHeader>, _ name: UInt16, _ time: Int64) {
        let entries = self.slab.pointer(header.pointee.counters).assumingMemoryBound(to: CounterEntry.self)
        if let index = self.counterIndex(header.pointee, name) {
            entries[index].add(time)
        } else {
            entries[Int(header.pointee.counterCount)] = CounterEntry(name: name, count: 1, first: time, last: time)
            header.pointee.counterCount += 1
        }
    }

    /// Takes the events that are past the retention out of a profile's index; under its lock.
    func dropPastDue(_ header: UnsafeMutablePointer<ProfileHeader>, now: Int64) {
        let since = self.retainedSince(now)
        while header.pointee.eventCount > 0 {
            let events = self.slab.pointer(header.pointee.events).assumingMemoryBound(to: Handle.self)
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

    /// Forgets and frees the events that were dropped; readers cannot reach them any more.
    func forgetDropped() {
        for index in 0 ..< self.work.pointee.droppedCount {
            let handle = self.work.pointee.dropped[index]
            let block = EventBlock(self.slab.pointer(handle))
            let parts = block.parts
            let project = self.pool.header(block.holder).pointee.project
            let identifierHash = self.hash.identifier(project, parts.identifier)
            let hash = self.withEventID(block, parts) { self.hash.event(identifierHash: identifierHash, id: $0) }
            self.events.remove(hash, handle)
            self.slab.deallocate(handle, bytes: block.totalBytes)
        }
        self.work.pointee.droppedCount = 0
    }
}
