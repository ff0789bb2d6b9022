import Bytes

// SAFETY: the loader alone has the store until `finish` returns it, so no lock is taken; a
// profile's header is initialised once, in a slot that the pool has allocated.

/// Why a snapshot whose checksums are right is rejected.
package enum SnapshotError: Error, Equatable {
    /// Written by a newer release.
    case newerVersion(UInt32)
    /// An item does not match its kind, is in the wrong place, or is repeated.
    case malformed(item: UInt8)
    /// The end came before everything that the first item announced.
    case incomplete
}

/// Builds a store from the blocks of a snapshot, in their order; one thread.
///
/// Identifiers are not in the snapshot as a table: the tables are made from the profiles, shard by
/// shard at the end, so that each is filled while it is in the cache.
///
/// - Complexity: O(bytes of the snapshot).
package final class StoreLoader {
    private var store: Store?
    private var expected = SnapshotTotals()
    private var found = SnapshotTotals()
    private var hasNames = false
    private var isEnded = false
    /// Entries of the three tables, staged.
    private var index = GatheredEntries()
    private var addresses = GatheredEntries()
    private var events = GatheredEntries()
    /// The blocks of the merges, which come by their lsns but for those that were removed
    /// meanwhile.
    private var merges: [(lsn: UInt64, block: Handle)] = []
    /// Which profiles have come: one bit each, shard by shard.
    private var seen: [[UInt64]] = []
    /// Numbers of the names of addresses.
    private var addressNames: [(number: Int, channel: Channel)] = []
    private var appliedLSN: UInt64 = 0
    /// The profile that has more events, and the number of the next one.
    private var unfinished: (profile: ProfileRef, next: Int)?

    /// Bytes of all blocks.
    private let bytes: Int

    /// - Parameter bytes: Of all blocks: what they announce cannot be more than has space in them,
    ///   and is rejected before memory is taken for it.
    package init(bytes: Int) {
        self.bytes = bytes
    }

    /// Takes the next block.
    package func load(_ block: UnsafeRawBufferPointer) throws(SnapshotError) {
        var reader = ByteReader(block)
        while reader.remaining > 0 {
            let kind = reader.read(UInt8.self)
            let zeros = (reader.read(UInt8.self), reader.read(UInt16.self))
            let body = reader.read(count: Int(reader.read(UInt32.self)))
            guard !reader.overrun, zeros == (0, 0), !self.isEnded,
                let item = SnapshotItem(rawValue: kind)
            else {
                throw .malformed(item: kind)
            }
            guard try self.load(item, body) else { throw .malformed(item: kind) }
        }
    }

    /// The store, once every block was taken.
    package func finish() throws(SnapshotError) -> Store {
        guard let store = self.store, self.isEnded, self.found == self.expected else {
            throw .incomplete
        }
        for shard in 0 ..< Shards.count {
            store.index.load(shard, self.index.table(shard))
            store.addresses.load(shard, self.addresses.table(shard))
            store.events.load(shard, self.events.table(shard))
        }
        self.merges.sort { $0.lsn < $1.lsn }
        for (_, block) in self.merges {
            store.enter(block, receivedAt: MergeEntry(store.slab.pointer(block)).receivedAt)
        }
        store.publishOptions()
        store.publishProfileCount(store.state.pointee.profileCount)
        store.publishRequestIDHorizon(now: store.lastReceivedAt)
        store.publishNextTick(store.nextTick(at: store.lastReceivedAt))
        store.publish(self.appliedLSN)
        return store
    }

    private func load(_ item: SnapshotItem, _ body: UnsafeRawBufferPointer) throws(SnapshotError)
        -> Bool
    {
        guard let store = self.store else {
            guard item == .state else { return false }
            return try self.loadState(body)
        }
        guard self.hasNames else { return item == .names && self.loadNames(body, store) }
        guard self.unfinished == nil || item == .events else { return false }
        switch item {
        case .state, .names: return false
        case .suppressions: return self.loadSuppressions(body, store)
        case .request:
            self.found.requests += 1
            return self.found.requests <= self.expected.requests
                && store.project.requests.load(body)
        case .merge: return self.loadMerge(body, store)
        case .blocks: return self.loadBlocks(body, store)
        case .profile: return self.loadProfile(body, store)
        case .events: return self.loadMoreEvents(body, store)
        case .end:
            self.isEnded = true
            return body.count == 0
        }
    }

    // MARK: What comes once

    private func loadState(_ body: UnsafeRawBufferPointer) throws(SnapshotError) -> Bool {
        var reader = ByteReader(body)
        let version = reader.read(UInt32.self)
        guard version <= SnapshotFormat.version else { throw .newerVersion(version) }
        guard version == SnapshotFormat.version,
            let genesis = try? Genesis(decoding: reader.readPrefixed())
        else { return false }
        self.appliedLSN = reader.read()
        var lastEraseLSN: UInt64 = 0
        guard let state = AppliedState(from: &reader, lastEraseLSN: &lastEraseLSN) else {
            return false
        }
        let store = Store(genesis: genesis)
        store.erasure.noteInLog(lastEraseLSN)
        store.state.pointee = state
        guard let totals = SnapshotTotals(from: &reader), totals.areSupported(genesis.limits) else {
            return false
        }
        self.expected = totals
        for shard in 0 ..< Shards.count {
            let counts = SnapshotTotals.ShardCounts(from: &reader)
            self.expected.add(counts)
            guard counts.profiles <= ProfileRef.slotsMax,
                self.expected.profiles <= self.bytes / SnapshotFormat.itemHeaderBytes
            else { return false }
            store.pool.load(shard, count: counts.profiles, locks: store.profileLocks)
            self.seen.append([UInt64](repeating: 0, count: (counts.profiles + 63) / 64))
            self.index.reserve(shard, counts.identifiers)
            self.addresses.reserve(shard, counts.addresses)
            self.events.reserve(shard, counts.events)
        }
        self.store = store
        return reader.isAtCleanEnd
    }

    private func loadNames(_ body: UnsafeRawBufferPointer, _ store: Store) -> Bool {
        var reader = ByteReader(body)
        for _ in 0 ..< self.expected.names {
            let name = reader.readPrefixed()
            guard 1 ... NameTable.nameBytesMax ~= name.count, store.project.names.find(name) == nil
            else { return false }
            _ = store.project.names.add(name)
        }
        self.found.names = self.expected.names
        self.hasNames = true
        for (native, channel) in [
            (NativeAttribute.emailAddress, Channel.email), (.phoneNumber, .sms),
        ] {
            if let number = store.project.names.find(native.nameBytes) {
                self.addressNames.append((number, channel))
            }
        }
        return reader.isAtCleanEnd
    }

    // MARK: What comes many times

    private func loadSuppressions(_ body: UnsafeRawBufferPointer, _ store: Store) -> Bool {
        guard let count = store.suppressions.load(body) else { return false }
        self.found.suppressions += count
        return self.found.suppressions <= self.expected.suppressions
    }

    private func loadMerge(_ body: UnsafeRawBufferPointer, _ store: Store) -> Bool {
        var reader = ByteReader(body)
        guard let merge = MergeEntry(from: &reader, slab: store.slab), reader.isAtCleanEnd else {
            return false
        }
        let block = store.slab.allocate(MergeEntry.blockBytes)
        merge.write(to: store.slab.pointer(block))
        self.merges.append((merge.lsn, block))
        self.found.merges += 1
        return self.found.merges <= self.expected.merges
    }

    private func loadBlocks(_ body: UnsafeRawBufferPointer, _ store: Store) -> Bool {
        guard let count = store.erasure.load(body) else { return false }
        self.found.blocks += count
        return self.found.blocks <= self.expected.blocks
    }

    private func loadProfile(_ body: UnsafeRawBufferPointer, _ store: Store) -> Bool {
        var reader = ByteReader(body)
        var reference: UInt32 = 0
        var header = ProfileHeader(from: &reader, reference: &reference)
        guard reference > 0, self.isNew(ProfileRef(rawValue: reference)) else { return false }
        let profile = ProfileRef(rawValue: reference)
        header.identity = store.slab.allocate(
            copying: reader.read(count: Int(header.identityBytes)))
        header.attributes = store.slab.allocate(
            copying: reader.read(count: Int(header.attributesBytes)))
        header.consent = store.slab.allocate(copying: reader.read(count: Int(header.consentBytes)))
        header.ledger = store.slab.allocate(copying: reader.read(count: Int(header.ledgerBytes)))
        header.counters = store.slab.allocate(
            copying: reader.read(
                count: Int(header.counterCount) * MemoryLayout<CounterEntry>.stride))
        header.counterCapacity = header.counterCount
        guard !reader.overrun, self.loadEvents(of: profile, &header, &reader, store) else {
            return false
        }
        store.pool.header(profile).initialize(to: header)
        self.gatherIdentifiers(of: profile, header, store)
        self.found.profiles += 1
        return true
    }

    private func isNew(_ profile: ProfileRef) -> Bool {
        let (word, bit) = (profile.slot / 64, UInt64(1) << UInt64(profile.slot % 64))
        guard let store = self.store, profile.slot < store.pool.count(profile.shard) else {
            return false
        }
        guard self.seen[profile.shard][word] & bit == 0 else { return false }
        self.seen[profile.shard][word] |= bit
        return true
    }

    /// Reads the events of a profile's item; those that are missing come in items behind it.
    private func loadEvents(
        of profile: ProfileRef, _ header: inout ProfileHeader, _ reader: inout ByteReader,
        _ store: Store
    ) -> Bool {
        guard header.eventCount > 0 else { return reader.isAtCleanEnd }
        guard UInt64(header.eventCount) <= store.limits.eventsPerProfile else { return false }
        header.eventCapacity = header.eventCount
        header.events = store.slab.allocate(Int(header.eventCount) * MemoryLayout<Handle>.stride)
        guard let next = self.loadEvents(from: 0, of: profile, header, &reader, store) else {
            return false
        }
        if next < Int(header.eventCount) { self.unfinished = (profile, next) }
        return true
    }

    /// Reads more events of the profile whose item came last.
    private func loadMoreEvents(_ body: UnsafeRawBufferPointer, _ store: Store) -> Bool {
        var reader = ByteReader(body)
        guard let (profile, first) = self.unfinished, reader.read(UInt32.self) == profile.rawValue
        else { return false }
        let header = store.pool.header(profile).pointee
        guard let next = self.loadEvents(from: first, of: profile, header, &reader, store),
            next > first
        else { return false }
        self.unfinished = next < Int(header.eventCount) ? (profile, next) : nil
        return true
    }

    /// - Returns: The number of the next event; `nil` if the bytes are malformed, or are too many
    ///   events.
    private func loadEvents(
        from first: Int, of profile: ProfileRef, _ header: ProfileHeader,
        _ reader: inout ByteReader, _ store: Store
    ) -> Int? {
        // SAFETY: the block was allocated for `eventCount` handles, which bounds `next`; no other
        // thread has the store before `finish`.
        let handles = store.slab.pointer(header.events).assumingMemoryBound(to: Handle.self)
        var next = first
        while reader.remaining > 0 {
            guard next < Int(header.eventCount),
                let block = EventBlock.load(from: &reader, holder: profile, slab: store.slab)
            else { return nil }
            handles[next] = block
            self.events.append(
                store.eventStore.hash(of: EventBlock(store.slab.pointer(block)), header.project),
                block)
            next += 1
        }
        return next
    }

    /// Notes under which hashes a profile is found.
    private func gatherIdentifiers(of profile: ProfileRef, _ header: ProfileHeader, _ store: Store)
    {
        // No identifier names an erased profile.
        guard !header.isTombstone else { return }
        self.index.append(
            store.identities.profileIDHash(header.project, header.id), profile.rawValue)
        guard header.isLive, header.identity != 0 else { return }
        let identity = IdentityPart(store.slab.pointer(header.identity))
        if identity.customID.count > 0 {
            let custom = IdentifierView(kind: .customID, bytes: identity.customID)
            self.index.append(store.hash.identifier(header.project, custom), profile.rawValue)
        }
        identity.forEachInstallation {
            let installation = IdentifierView(kind: .installationID, bytes: $0.id)
            self.index.append(store.hash.identifier(header.project, installation), profile.rawValue)
        }
        guard header.attributes != 0 else { return }
        for (number, channel) in self.addressNames {
            guard let address = store.address(in: header, number) else { continue }
            let hash = store.addressIndexHash(header.project, channel, address)
            self.addresses.append(IdentifierIndex.spread(hash, for: profile), profile.rawValue)
        }
    }
}
