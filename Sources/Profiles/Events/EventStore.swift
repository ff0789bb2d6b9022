import Bytes

/// The retained events: each profile's list by (effective time, lsn), and the table that finds an
/// event by its id.
///
/// Lists are changed under the profile's lock, or in a header that is not visible yet; the table is
/// the applier's alone.
struct EventStore {
    /// Retained events by (identifier as sent, event id).
    let table = ShardedTable()
    let slab: Slab
    let hash: KeyedHash
    let ids: DerivedIDs
    let pool: ProfilePool

    init(slab: Slab, hash: KeyedHash, ids: DerivedIDs, pool: ProfilePool) {
        self.slab = slab
        self.hash = hash
        self.ids = ids
        self.pool = pool
    }

    func destroy() {
        self.table.destroy()
    }

    // MARK: By id

    /// The retained event with the same identifier as sent and the same id.
    ///
    /// - Parameters:
    ///   - hash: Of the id under the identifier.
    ///   - since: The oldest effective time that is retained, in microseconds.
    func find(
        _ project: ProjectID, _ identifier: IdentifierView, id: UnsafeRawBufferPointer,
        hash: UInt64, since: Int64
    ) -> EventBlock? {
        let table = self.table.table(hash)
        let tag = Shards.tag(hash)
        var position = table.start(tag)
        while true {
            let handle = table.next(tag, from: &position)
            guard handle != 0 else { return nil }
            let block = EventBlock(self.slab.pointer(handle))
            guard block.effectiveTime >= since else { continue }
            let parts = block.parts
            guard self.pool.header(block.holder).pointee.project == project,
                parts.identifier.kind == identifier.kind,
                parts.identifier.bytes.equals(identifier.bytes)
            else { continue }
            if self.withID(of: block, parts, { $0.equals(id) }) { return block }
        }
    }

    /// The hash that a retained event is found by.
    func hash(of block: EventBlock, _ project: ProjectID) -> UInt64 {
        let parts = block.parts
        let identifierHash = self.hash.identifier(project, parts.identifier)
        return self.withID(of: block, parts) {
            self.hash.event(identifierHash: identifierHash, id: $0)
        }
    }

    /// Calls `body` with the id of a retained event.
    func withID<Result>(
        of block: EventBlock, _ parts: EventBlock.Parts, _ body: (UnsafeRawBufferPointer) -> Result
    ) -> Result {
        if let id = parts.eventID { return body(id) }
        return self.ids.event(receivedAt: block.receivedAt, lsn: block.lsn).withText(body)
    }

    // MARK: The list of one profile

    /// The handles of a profile's events, oldest first; `eventCount` of them.
    @inline(__always)
    func list(_ header: ProfileHeader) -> UnsafeMutablePointer<Handle> {
        // SAFETY: the index of a profile's events has `eventCapacity` handles, of which
        // `eventCount` from `eventHead` on are set; it lives as long as the header refers to it.
        self.slab.pointer(header.events).assumingMemoryBound(to: Handle.self)
            + Int(header.eventHead)
    }

    /// Puts an event behind those of the same effective time; the list has capacity for it.
    ///
    /// The lsn is the greatest of all, so most events go to the end.
    ///
    /// - Complexity: O(log events) comparisons, and a move of those behind it.
    func insert(
        _ block: Handle, at effectiveTime: Int64, into header: UnsafeMutablePointer<ProfileHeader>
    ) {
        // SAFETY: `eventCapacity` handles; the caller made sure that one of them is free, and
        // moving the set ones to the front frees the last.
        let base = self.slab.pointer(header.pointee.events).assumingMemoryBound(to: Handle.self)
        let count = Int(header.pointee.eventCount)
        if header.pointee.eventHead + header.pointee.eventCount == header.pointee.eventCapacity {
            base.update(from: base + Int(header.pointee.eventHead), count: count)
            header.pointee.eventHead = 0
        }
        let events = base + Int(header.pointee.eventHead)
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

    /// Takes the oldest event out of the list, which must have one; its block is the caller's.
    func removeFirst(_ header: UnsafeMutablePointer<ProfileHeader>) -> Handle {
        let block = self.list(header.pointee)[0]
        let time = EventBlock(self.slab.pointer(block)).effectiveTime
        header.pointee.eventsTruncatedBefore = max(header.pointee.eventsTruncatedBefore, time + 1)
        header.pointee.eventHead += 1
        header.pointee.eventCount -= 1
        return block
    }

    /// The effective time of the oldest event, in microseconds; `nil` without one.
    func oldest(_ header: ProfileHeader) -> Int64? {
        guard header.eventCount > 0 else { return nil }
        return EventBlock(self.slab.pointer(self.list(header)[0])).effectiveTime
    }

    /// One past the newest event that was removed or is older than `since`; 0: there is none.
    ///
    /// - Complexity: O(log events).
    func truncatedBefore(_ header: ProfileHeader, since: Int64) -> Int64 {
        guard let oldest = self.oldest(header), oldest < since else {
            return header.eventsTruncatedBefore
        }
        let events = self.list(header)
        var (low, high) = (0, Int(header.eventCount))
        while low < high {
            let middle = (low + high) / 2
            if EventBlock(self.slab.pointer(events[middle])).effectiveTime < since {
                low = middle + 1
            } else {
                high = middle
            }
        }
        let newest = EventBlock(self.slab.pointer(events[low - 1])).effectiveTime
        return max(header.eventsTruncatedBefore, newest + 1)
    }

    // MARK: Counters

    /// Counts one event of a name; the profile has the counter or capacity for it.
    func count(
        _ name: UInt16, at time: Int64, in header: UnsafeMutablePointer<ProfileHeader>
    ) {
        // SAFETY: `counterCapacity` counters, of which `counterCount` are set; the caller made sure
        // that one is free or the name is among them.
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

    /// The position of a name's counter; `nil`: the profile has none.
    ///
    /// - Complexity: O(counters).
    func counterIndex(_ header: ProfileHeader, _ name: UInt16) -> Int? {
        guard header.counterCount > 0 else { return nil }
        // SAFETY: `counterCount` counters are set, and no other is read.
        let entries = self.slab.pointer(header.counters).assumingMemoryBound(to: CounterEntry.self)
        for index in 0 ..< Int(header.counterCount) where entries[index].name == name {
            return index
        }
        return nil
    }
}
