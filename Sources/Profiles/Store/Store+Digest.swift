import Bytes

// SAFETY: runs on the applier or while nothing is applied, so headers and blocks do not change;
// values are hashed as bytes only where their types have no padding.

extension Store {
    /// A digest of the whole logical state: equal for equal states, whatever their layout in
    /// memory. For the applier, or while nothing is applied.
    ///
    /// Tables are summed, so that their order does not count; lists are hashed in their order.
    ///
    /// - Complexity: O(bytes of the store).
    package func digest() -> UInt64 {
        let key = self.genesis.hashKey
        var buffer = ByteBuffer(capacity: 4_096)
        var sum: UInt64 = 0
        for shard in 0 ..< Shards.count {
            for slot in 0 ..< self.pool.count(shard) {
                buffer.removeAll()
                self.appendProfile(ProfileRef(shard: shard, slot: slot), to: &buffer)
                sum &+= SipHash.hash64(buffer.bytes, key: key)
            }
        }
        self.index.forEach { shard, tag, profile in
            let id = self.pool.header(profile).pointee.id
            sum &+= self.digest(key, 1, UInt64(shard) << 32 | UInt64(tag), id.high, id.low)
        }
        self.addresses.forEach { shard, tag, profile in
            let id = self.pool.header(profile).pointee.id
            let tag = IdentifierIndex.gathered(tag, of: profile)
            sum &+= self.digest(key, 5, UInt64(shard) << 32 | UInt64(tag), id.high, id.low)
        }
        self.events.forEach { shard, tag, handle in
            let lsn = EventBlock(self.slab.pointer(handle)).lsn
            sum &+= self.digest(key, 2, UInt64(shard) << 32 | UInt64(tag), lsn, 0)
        }
        self.requests.forEachTableEntry { shard, tag, receivedAt in
            sum &+= self.digest(
                key, 3, UInt64(shard) << 32 | UInt64(tag), UInt64(bitPattern: receivedAt), 0)
        }
        // The hash of an address is one of its project too.
        self.suppressions.forEach { _, address, reasons in
            sum &+= self.digest(key, 4, address.low, address.high, UInt64(reasons.rawValue))
        }
        self.keys.forEach { entry in
            buffer.removeAll()
            buffer.append(entry.key.project.rawValue)
            entry.write(into: &buffer)
            sum &+= SipHash.hash64(buffer.bytes, key: key)
        }
        for trigger in self.triggers.projects.flatMap(\.all) {
            buffer.removeAll()
            self.triggers.append(trigger, to: &buffer)
            sum &+= SipHash.hash64(buffer.bytes, key: key)
        }
        // What a store of one project has stands as it did before there were others; each other
        // project is a summand of its own.
        buffer.removeAll()
        let first = self.projects.find(ProjectTable.defaultID)
        self.appendCursors(first, to: &buffer)
        if let first { self.appendLists(of: first, key, to: &buffer) }
        sum &+= SipHash.hash64(buffer.bytes, key: key)
        for project in [self.projects.instance] + self.projects.all {
            buffer.removeAll()
            self.appendProject(project, key, to: &buffer)
            if buffer.count > 0 { sum &+= SipHash.hash64(buffer.bytes, key: key) }
        }
        return sum &+ self.digestOfProjectCursors(key)
    }

    /// What only stores with more than one project have: 0 for any other.
    private func digestOfProjectCursors(_ key: SipHashKey) -> UInt64 {
        let purge = self.state.pointee.purge
        var sum: UInt64 = 0
        if self.projects.nextID != 2 {
            sum &+= self.digest(key, 6, UInt64(self.projects.nextID), 0, 0)
        }
        if purge.phase != .idle {
            sum &+= self.digest(
                key, 7, UInt64(purge.phase.rawValue), UInt64(purge.shard), UInt64(purge.slot))
        }
        for shard in 0 ..< Shards.count where self.pool.vacant(shard) != 0 {
            sum &+= self.digest(key, 8, UInt64(shard), UInt64(self.pool.vacant(shard)), 0)
        }
        return sum
    }

    private func appendProject(_ project: Project, _ key: SipHashKey, to buffer: inout ByteBuffer) {
        let details = project.record.pointee.details
        switch project.id {
        case ProjectTable.defaultID:
            guard details.createdAt != 0 || details.deleteDue != 0 || details.revision != 1 else {
                return
            }
            project.writeHead(into: &buffer)
        case ProjectID(rawValue: 0):
            self.requests.forEachEntry(of: project) { buffer.append(SipHash.hash64($0, key: key)) }
        default:
            project.writeHead(into: &buffer)
            self.appendLists(of: project, key, to: &buffer)
        }
    }

    /// The names and lists of a project, in their order.
    private func appendLists(of project: Project, _ key: SipHashKey, to buffer: inout ByteBuffer) {
        for number in 0 ..< project.names.count {
            buffer.appendPrefixed(project.names.name(number))
        }
        self.erasure.forEach(of: project) { block in
            buffer.append(block.identifier.low)
            buffer.append(block.identifier.high)
            buffer.append(block.erasedAt)
        }
        self.forEachMerge(of: project) { self.append($0, to: &buffer) }
        self.requests.forEachEntry(of: project) { buffer.append(SipHash.hash64($0, key: key)) }
    }

    private func digest(_ key: SipHashKey, _ a: UInt64, _ b: UInt64, _ c: UInt64, _ d: UInt64)
        -> UInt64
    {
        withUnsafeBytes(of: (a, b, c, d)) { SipHash.hash64($0, key: key) }
    }

    private func appendCursors(_ first: Project?, to buffer: inout ByteBuffer) {
        let state = self.state.pointee
        self.genesis.encode(into: &buffer, omitting: [.projectsMax])
        buffer.append(self.appliedLSN)
        buffer.append(state.lastReceivedAt)
        buffer.append(state.profileCount)
        withUnsafeBytes(of: first?.options ?? ProjectOptions()) { buffer.append($0) }
        buffer.append(first?.counts.oldestEvent ?? .max)
        buffer.append(state.sweep.isRunning ? UInt8(1) : 0)
        buffer.append(state.sweep.shard)
        buffer.append(state.sweep.slot)
        buffer.append(state.sweep.startedAt)
        buffer.append(state.sweep.lastTickAt)
        buffer.append(first?.counts.oldestBehind ?? .max)
        buffer.append(self.erasure.lastEraseLSN)
    }

    private func append(_ merge: MergeEntry, to buffer: inout ByteBuffer) {
        buffer.append(merge.loser.rawValue)
        buffer.append(merge.survivor.rawValue)
        buffer.append(merge.receivedAt)
        buffer.append(merge.lsn)
        self.append(merge.events, merge.eventsBytes, to: &buffer)
        self.append(merge.survivorAttributes, Int(merge.survivorAttributesBytes), to: &buffer)
        self.append(merge.survivorConsent, Int(merge.survivorConsentBytes), to: &buffer)
        merge.writeUndo(into: &buffer, slab: self.slab)
    }

    private func appendProfile(_ profile: ProfileRef, to buffer: inout ByteBuffer) {
        let header = self.pool.header(profile).pointee
        buffer.append(profile.rawValue)
        buffer.append(header.id.high)
        buffer.append(header.id.low)
        buffer.append(header.revision)
        buffer.append(header.lsn)
        buffer.append(header.createdAt)
        buffer.append(header.updatedAt)
        buffer.append(header.lastSeenAt)
        buffer.append(header.eventsTruncatedBefore)
        buffer.append(header.project.rawValue)
        buffer.append(header.mergedInto)
        self.append(header.identity, Int(header.identityBytes), to: &buffer)
        self.append(header.attributes, Int(header.attributesBytes), to: &buffer)
        self.append(header.consent, Int(header.consentBytes), to: &buffer)
        self.slab.appendLedger(header.ledger, to: &buffer)
        buffer.append(header.counterCount)
        if header.counterCount > 0 {
            buffer.append(
                UnsafeRawBufferPointer(
                    start: self.slab.pointer(header.counters),
                    count: Int(header.counterCount) * MemoryLayout<CounterEntry>.stride))
        }
        buffer.append(header.eventCount)
        guard header.eventCount > 0 else { return }
        let events = self.eventStore.list(header)
        for number in 0 ..< Int(header.eventCount) {
            let block = EventBlock(self.slab.pointer(events[number]))
            buffer.append(block.effectiveTime)
            buffer.append(block.lsn)
            buffer.append(block.receivedAt)
            buffer.append(block.holder.rawValue)
            buffer.append(block.bytesAfterHolder)
        }
    }
}
