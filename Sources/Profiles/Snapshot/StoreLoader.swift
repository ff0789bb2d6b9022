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
    private var version = SnapshotFormat.version
    private var isEnded = false
    /// Entries of the three tables, staged.
    private var index = GatheredEntries()
    private var addresses = GatheredEntries()
    private var events = GatheredEntries()
    /// The blocks of the merges, which come by their lsns but for those that were removed
    /// meanwhile.
    private var merges: [(lsn: UInt64, block: Handle, project: Project)] = []
    /// One bit for each profile, shard by shard: while they come, whether it has; then, whether the
    /// chain of merges behind it is still to be followed.
    private var marks: [[UInt64]] = []
    private var appliedLSN: UInt64 = 0
    private var triggers = TriggerLoader()
    /// The profile that has more events, and the number of the next one.
    private var unfinished: (profile: ProfileRef, next: Int)?
    private var mergedAway: [ProfileRef] = []

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
        guard store.hasWholeVacantLists else {
            throw .malformed(item: SnapshotItem.state.rawValue)
        }
        guard self.chainsEnd(in: store) else {
            throw .malformed(item: SnapshotItem.profile.rawValue)
        }
        self.merges.sort { $0.lsn < $1.lsn }
        for (_, block, project) in self.merges {
            store.enter(
                block, in: project,
                receivedAt: store.merges.entry(block).receivedAt)
            guard store.isWhole(store.merges.entry(block), of: project),
                project.merges.count <= store.limits.mergesPerProject
            else {
                throw .malformed(item: SnapshotItem.merge.rawValue)
            }
        }
        guard self.triggers.finish(store) else {
            throw .malformed(item: SnapshotItem.firing.rawValue)
        }
        store.completeLoad()
        store.publishNextTick(store.nextTick(at: store.lastReceivedAt))
        store.publishCounted(self.appliedLSN)
        return store
    }

    private func load(_ item: SnapshotItem, _ body: UnsafeRawBufferPointer) throws(SnapshotError)
        -> Bool
    {
        guard let store = self.store else {
            guard item == .state else { return false }
            return try self.loadState(body)
        }
        guard self.found.projects == self.expected.projects else {
            return self.loadProject(item, body, store)
        }
        guard self.unfinished == nil || item == .events else { return false }
        switch item {
        case .state, .names, .project: return false
        case .suppressions: return self.loadSuppressions(body, store)
        case .request: return self.loadRequest(body, store)
        case .merge: return self.loadMerge(body, store)
        case .blocks: return self.loadBlocks(body, store)
        case .keys: return self.loadKeys(body, store)
        case .trigger, .firing, .firedTimes: return self.loadTriggers(item, body, store)
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
        guard version >= SnapshotFormat.oldestVersion,
            let genesis = try? Genesis(decoding: reader.readPrefixed())
        else { return false }
        self.version = version
        self.appliedLSN = reader.read()
        let store = Store(genesis: genesis)
        var lastEraseLSN: UInt64 = 0
        if version == 1 {
            var counts = ProjectCounts()
            let options = store.state.pointee.readVersion1(
                from: &reader, lastEraseLSN: &lastEraseLSN, &counts)
            guard let options, genesis.limits.allow(options), counts.hasStoredTimes else {
                return false
            }
            var details = ProjectDetails()
            details.options = options
            store.projects.change(store.project, to: details)
            store.project.counts = counts
        } else {
            var nextProject: UInt32 = 0
            store.removeDefaultProject()
            guard
                store.state.pointee.read(
                    from: &reader, lastEraseLSN: &lastEraseLSN, nextProject: &nextProject)
            else { return false }
            store.projects.nextID = nextProject
        }
        store.erasure.noteInLog(lastEraseLSN)
        guard let totals = SnapshotTotals(from: &reader, version: version),
            totals.areSupported(genesis.limits)
        else { return false }
        self.expected = totals
        if version == 1 { self.expected.projects = 1 }
        for shard in 0 ..< Shards.count {
            let counts = SnapshotTotals.ShardCounts(from: &reader, version: version)
            self.expected.add(counts)
            guard counts.profiles <= ProfileRef.slotsMax,
                self.expected.profiles <= self.bytes / SnapshotFormat.itemHeaderBytes
            else { return false }
            store.pool.load(
                shard, count: counts.profiles, vacant: counts.vacant, locks: store.profileLocks)
            self.marks.append([UInt64](repeating: 0, count: (counts.profiles + 63) / 64))
            self.index.reserve(shard, counts.identifiers)
            self.addresses.reserve(shard, counts.addresses)
            self.events.reserve(shard, counts.events)
        }
        self.store = store
        if version > 1, reader.remaining > 0 { self.expected.readTriggers(from: &reader) }
        return reader.isAtCleanEnd
    }

    /// Loads the next project: in version 1 the names of the only one.
    private func loadProject(
        _ item: SnapshotItem, _ body: UnsafeRawBufferPointer, _ store: Store
    ) -> Bool {
        self.found.projects += 1
        guard self.version == 1 else {
            return item == .project
                && Project.load(body, into: store.projects, limits: store.limits) != nil
        }
        var reader = ByteReader(body)
        self.found.names = self.expected.names
        return item == .names && store.project.loadNames(self.expected.names, from: &reader)
    }

    /// The project that an item is about: it begins with its number, but not in version 1.
    private func project(
        _ reader: inout ByteReader, _ store: Store, allowsInstance: Bool = false
    ) -> Project? {
        guard self.version > 1 else { return store.project }
        let id = ProjectID(rawValue: reader.read())
        return id.rawValue == 0 && allowsInstance
            ? store.projects.instance : store.projects.find(id)
    }

    // MARK: What comes many times

    private func loadSuppressions(_ body: UnsafeRawBufferPointer, _ store: Store) -> Bool {
        let count = store.suppressions.load(body, hasProjects: self.version > 1) {
            store.projects.find($0)
        }
        guard let count else { return false }
        self.found.suppressions += count
        return self.found.suppressions <= self.expected.suppressions
    }

    private func loadRequest(_ body: UnsafeRawBufferPointer, _ store: Store) -> Bool {
        var reader = ByteReader(body)
        guard let project = self.project(&reader, store, allowsInstance: true) else { return false }
        self.found.requests += 1
        let isLoaded = store.requests.load(reader.read(count: reader.remaining), of: project)
        store.countLoaded(for: project)
        return isLoaded && self.found.requests <= self.expected.requests
    }

    private func loadMerge(_ body: UnsafeRawBufferPointer, _ store: Store) -> Bool {
        var reader = ByteReader(body)
        guard let project = self.project(&reader, store),
            let merge = MergeEntry(from: &reader, slab: store.slab)
        else { return false }
        let block = store.slab.allocate(MergeEntry.blockBytes)
        merge.write(to: store.slab.pointer(block))
        store.countLoaded(for: project)
        self.merges.append((merge.lsn, block, project))
        self.found.merges += 1
        return self.found.merges <= self.expected.merges
    }

    private func loadBlocks(_ body: UnsafeRawBufferPointer, _ store: Store) -> Bool {
        var reader = ByteReader(body)
        guard let project = self.project(&reader, store),
            let count = store.erasure.load(&reader, of: project)
        else { return false }
        store.countLoaded(for: project)
        self.found.blocks += count
        return self.found.blocks <= self.expected.blocks
    }

    private func loadKeys(_ body: UnsafeRawBufferPointer, _ store: Store) -> Bool {
        var reader = ByteReader(body)
        guard self.project(&reader, store, allowsInstance: true) != nil,
            let count = store.keys.load(body)
        else { return false }
        self.found.keys += count
        return self.found.keys <= self.expected.keys
    }

    private func loadTriggers(
        _ item: SnapshotItem, _ body: UnsafeRawBufferPointer, _ store: Store
    ) -> Bool {
        var reader = ByteReader(body)
        guard self.version > 1, let project = self.project(&reader, store) else { return false }
        let isLoaded: Bool
        switch item {
        case .trigger:
            self.found.triggers += 1
            isLoaded = self.triggers.loadTrigger(
                &reader, of: project, store, appliedLSN: self.appliedLSN)
        case .firing:
            isLoaded = self.triggers.loadFiring(
                &reader, of: project, store, appliedLSN: self.appliedLSN)
        default: isLoaded = self.triggers.loadTimes(&reader, of: project, store)
        }
        store.countLoaded(for: project)
        self.found.firings = self.triggers.firingCount
        self.found.fired = self.triggers.firedCount
        return isLoaded && self.found.triggers <= self.expected.triggers
            && self.found.firings <= self.expected.firings
            && self.found.fired <= self.expected.fired
    }

    private func loadProfile(_ body: UnsafeRawBufferPointer, _ store: Store) -> Bool {
        var reader = ByteReader(body)
        var reference: UInt32 = 0
        var header = ProfileHeader(from: &reader, reference: &reference)
        guard self.isNew(ProfileRef(rawValue: reference)) else { return false }
        let profile = ProfileRef(rawValue: reference)
        guard header.isStored,
            header.isVacant
                || store.projects.find(header.project) != nil && header.lsn <= self.appliedLSN
        else { return false }
        let identity = reader.read(count: Int(header.identityBytes))
        let attributes = reader.read(count: Int(header.attributesBytes))
        let consent = reader.read(count: Int(header.consentBytes))
        let ledger = reader.read(count: Int(header.ledgerBytes))
        // Everyone who reads them relies on what they say of themselves.
        guard header.mergedInto == 0 || store.isPlace(header.mergedInto),
            identity.isEmpty || IdentityPart.isWhole(identity, store.isPlace),
            attributes.isEmpty || AttributePart.isWhole(attributes),
            ledger.isEmpty || LedgerPart.isWhole(ledger)
        else { return false }
        header.identity = store.slab.allocate(copying: identity)
        header.attributes = store.slab.allocate(copying: attributes)
        header.consent = store.slab.allocate(copying: consent)
        header.ledger = store.slab.allocateLedger(ledger)
        header.counters = store.slab.allocate(
            copying: reader.read(
                count: Int(header.counterCount) * MemoryLayout<CounterEntry>.stride))
        header.counterCapacity = header.counterCount
        guard !reader.overrun, self.loadEvents(of: profile, &header, &reader, store) else {
            return false
        }
        store.pool.header(profile).initialize(to: header)
        if header.mergedInto != 0 { self.mergedAway.append(profile) }
        self.gatherIdentifiers(of: profile, header, store)
        store.countLoaded(header)
        self.found.profiles += 1
        return true
    }

    /// Whether each merged-away profile leads to one that is not: whoever follows it relies on it.
    ///
    /// - Complexity: O(merged-away profiles): whatever was found to end is not followed again.
    private func chainsEnd(in store: Store) -> Bool {
        for profile in self.mergedAway {
            var next = profile
            var steps = 0
            while self.isMarked(next) {
                guard steps <= self.mergedAway.count else { return false }
                let mergedInto = store.pool.header(next).pointee.mergedInto
                guard mergedInto != 0 else { break }
                next = ProfileRef(rawValue: mergedInto)
                steps += 1
            }
            next = profile
            for _ in 0 ..< steps {
                self.mark(next, false)
                next = ProfileRef(rawValue: store.pool.header(next).pointee.mergedInto)
            }
        }
        return true
    }

    private func isNew(_ profile: ProfileRef) -> Bool {
        guard self.store?.isPlace(profile.rawValue) == true, !self.isMarked(profile) else {
            return false
        }
        self.mark(profile, true)
        return true
    }

    // MARK: A bit of each profile

    private func isMarked(_ profile: ProfileRef) -> Bool {
        self.marks[profile.shard][profile.slot / 64] >> UInt64(profile.slot % 64) & 1 == 1
    }

    private func mark(_ profile: ProfileRef, _ isMarked: Bool) {
        let bit = UInt64(1) << UInt64(profile.slot % 64)
        if isMarked {
            self.marks[profile.shard][profile.slot / 64] |= bit
        } else {
            self.marks[profile.shard][profile.slot / 64] &= ~bit
        }
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
        if let project = store.projects.find(header.project) { store.countLoaded(for: project) }
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
        guard header.identity != 0 else { return }
        let identity = IdentityPart(store.slab.pointer(header.identity))
        if identity.customID.count > 0 {
            // Of a profile that was merged away it is an alias.
            let custom = IdentifierView(kind: .customID, bytes: identity.customID)
            self.index.append(store.hash.identifier(header.project, custom), profile.rawValue)
        }
        guard header.isLive else { return }
        identity.forEachInstallation {
            let installation = IdentifierView(kind: .installationID, bytes: $0.id)
            self.index.append(store.hash.identifier(header.project, installation), profile.rawValue)
        }
        guard header.attributes != 0 else { return }
        let names = store.projects.names(of: header.project)
        for (native, channel) in [
            (NativeAttribute.emailAddress, Channel.email), (.phoneNumber, .sms),
        ] {
            guard let number = names.find(native.nameBytes),
                let address = store.address(in: header, number)
            else { continue }
            let hash = store.addressIndexHash(header.project, channel, address)
            self.addresses.append(IdentifierIndex.spread(hash, for: profile), profile.rawValue)
        }
    }
}
