import Bytes

// Events, counters and times of an un-merge. Events that the loser had at the merge, and those that
// came since through its identifiers, go back to it; counters follow them, those of events that are
// no longer retained included.
//
// SAFETY: runs on the applier, which reads headers and blocks without a lock since only it changes
// them. A block of events has handles only, a block of counters `CounterEntry`s, as many as the
// header or the entry says; new ones are written whole.

extension Store {
    // MARK: Events

    /// Divides the events of the merged profile among the two.
    func splitEvents(_ work: inout UnmergeWork) {
        let moved = Set(self.lsns(of: work.merge))
        let kept = IdentityPart(self.slab.pointer(work.restored.identity))
        let list = work.header.eventCount > 0 ? self.eventStore.list(work.header) : nil
        let events = (0 ..< Int(work.header.eventCount)).compactMap { list?[$0] }
        self.findForeign(events, &work)
        for handle in events {
            let event = EventBlock(self.slab.pointer(handle))
            let isSince = event.lsn > work.merge.lsn
            let isTaken =
                isSince
                ? !work.foreign.contains(event.lsn)
                    && self.isThrough(event.parts.identifier, work.loser, kept, of: work.survivor)
                : moved.contains(event.lsn)
            if isTaken { work.taken.append(handle) } else { work.left.append(handle) }
            guard isTaken, isSince else { continue }
            work.since.count(event.parts.content.integer(at: 0), at: event.effectiveTime)
        }
        let dropped = self.counters(work.merge.dropped, Int(work.merge.droppedCount))
        let whole = self.counters(work.header)
        for counter in dropped {
            // Events that another un-merge took out of them have left their times.
            let counted = whole.first { $0.name == counter.name }
            work.since.add(counted.map(counter.within) ?? counter)
        }
        self.free(
            work.header.events, bytes: Int(work.header.eventCapacity) * MemoryLayout<Handle>.stride)
        self.setEvents(work.left, in: &work.header)
        self.setEvents(work.taken, in: &work.restored)
        for handle in work.taken { self.moveEvent(handle, to: work.loser) }
        self.takeEvents(work)
    }

    /// Finds the events that were not the merged profile's when they came: what a device did is
    /// credited to whoever had it then.
    private func findForeign(_ events: [Handle], _ work: inout UnmergeWork) {
        for stage in work.stages {
            switch stage {
            case .present: break
            case .absorbs(let block):
                work.foreign.formUnion(self.lsns(of: self.merges.entry(block)))
            case .isAbsorbed(let block):
                let merge = self.merges.entry(block)
                let moved = Set(self.lsns(of: merge))
                for handle in events {
                    let lsn = EventBlock(self.slab.pointer(handle)).lsn
                    if lsn < merge.lsn, !moved.contains(lsn) { work.foreign.insert(lsn) }
                }
            }
        }
    }

    private func lsns(of merge: MergeEntry) -> [UInt64] {
        (0 ..< Int(merge.eventCount)).map {
            self.slab.pointer(merge.events).load(
                fromByteOffset: $0 * MemoryLayout<UInt64>.stride, as: UInt64.self)
        }
    }

    /// Whether an identifier of a stored event is one of the loser's.
    ///
    /// - Parameter kept: What the loser had at the merge: a device may have left since.
    private func isThrough(
        _ identifier: IdentifierView, _ loser: ProfileRef, _ kept: IdentityPart,
        of survivor: ProfileRef
    ) -> Bool {
        if identifier.kind == .installationID {
            let present = IdentityPart(
                self.slab.pointer(self.pool.header(survivor).pointee.identity)
            ).installation(identifier.bytes)
            guard let present else { return kept.installation(identifier.bytes) != nil }
            return self.isPart(present.part, of: loser)
        }
        return self.isPart(self.part(of: identifier, survivor), of: loser)
    }

    /// The part that an identifier of a stored event belongs to, as a `ProfileRef`; 0: the
    /// profile's own, or unknown.
    func part(of identifier: IdentifierView, _ profile: ProfileRef) -> UInt32 {
        let identity = self.pool.header(profile).pointee.identity
        if identifier.kind == .installationID {
            return IdentityPart(self.slab.pointer(identity)).installation(identifier.bytes)?.part
                ?? 0
        }
        let hash = self.hash.identifier(self.project.id, identifier)
        let subject = CommandHead.Subject(identifier: identifier, hash: hash)
        if identifier.kind == .customID {
            return self.part(ofCustom: subject, of: profile)?.rawValue ?? 0
        }
        let holder = self.identities.holder(self.project.id, identifier, hash: hash)
        return holder == profile ? 0 : holder?.rawValue ?? 0
    }

    private func setEvents(_ events: [Handle], in header: inout ProfileHeader) {
        (header.events, header.eventHead) = (0, 0)
        header.eventCount = UInt32(events.count)
        header.eventCapacity = UInt32(events.count)
        guard !events.isEmpty else { return }
        header.events = events.withUnsafeBytes { self.allocate(copying: $0) }
    }

    /// Removes the taken events from what the merges since say that they moved or found.
    private func takeEvents(_ work: UnmergeWork) {
        guard !work.taken.isEmpty else { return }
        let taken = Set(work.taken.map { EventBlock(self.slab.pointer($0)).lsn })
        for stage in work.stages {
            switch stage {
            case .present: break
            case .absorbs(let block):
                let lsn = self.merges.entry(block).lsn
                let count = UInt32(taken.count { $0 < lsn })
                self.changeMerge(block) {
                    $0.survivorEventCount -= min($0.survivorEventCount, count)
                }
            case .isAbsorbed(let block):
                let merge = self.merges.entry(block)
                let left = self.lsns(of: merge).filter { !taken.contains($0) }
                self.free(merge.events, bytes: merge.eventsBytes)
                let events = left.withUnsafeBytes { self.allocate(copying: $0) }
                self.changeMerge(block) {
                    ($0.events, $0.eventCount) = (events, UInt32(left.count))
                }
            }
        }
    }

    // MARK: Counters

    func counters(_ block: Handle, _ count: Int) -> [CounterEntry] {
        guard count > 0 else { return [] }
        return (0 ..< count).map {
            self.slab.pointer(block).loadUnaligned(
                fromByteOffset: $0 * MemoryLayout<CounterEntry>.stride, as: CounterEntry.self)
        }
    }

    private func counters(_ header: ProfileHeader) -> [CounterEntry] {
        self.counters(header.counters, Int(header.counterCount))
    }

    /// Gives both profiles their counters, and those in between what is left to them.
    func splitCounters(_ work: inout UnmergeWork) {
        var restored = self.counters(work.restored)
        for counter in work.since {
            guard
                restored.contains(where: { $0.name == counter.name })
                    || restored.count < Int(self.limits.countersPerProfile)
            else {
                work.warnings.append((.counterLimit, self.project.names.name(Int(counter.name))))
                continue
            }
            restored.add(counter)
        }
        var had = self.counters(work.merge.counters, Int(work.merge.counterCount))
        var lsn = work.merge.lsn
        var dropped = self.counters(work.merge.dropped, Int(work.merge.droppedCount))
        for stage in work.stages {
            switch stage {
            case .absorbs(let block):
                let merge = self.merges.entry(block)
                had = self.left(
                    of: self.counters(merge.counters, Int(merge.counterCount)), had,
                    work, lsn ..< merge.lsn)
                self.free(merge.counters, bytes: merge.countersBytes)
                let counters = self.allocate(counters: had)
                self.changeMerge(block) {
                    ($0.counters, $0.counterCount) = (counters, UInt32(had.count))
                }
                for counter in self.counters(self.pool.header(merge.loser).pointee) {
                    had.add(counter)
                }
                lsn = merge.lsn
            case .isAbsorbed(let block):
                let merge = self.merges.entry(block)
                let header = work.header(between: merge.loser) ?? work.header
                dropped = self.takeDropped(dropped, from: block)
                had = self.left(
                    of: self.counters(header), had, work, lsn ..< merge.lsn, droppedLater: dropped)
                let own = had
                work.change(merge.loser) { self.setCounters(own, in: &$0) }
                had = self.counters(merge.counters, Int(merge.counterCount))
                for counter in own { had.add(counter) }
                lsn = merge.lsn
            case .present:
                had = self.left(of: self.counters(work.header), had, work, lsn ..< .max)
            }
        }
        self.setCounters(had, in: &work.header)
        self.setCounters(restored, in: &work.restored)
    }

    /// Takes what the loser counted since a later merge out of the dropped events that this merge
    /// noted, and returns it.
    ///
    /// How many of the loser's dropped events came before that merge is not known. As few as can be
    /// are taken to: the rest is in what the merged-away profile counted before, and whoever undoes
    /// that merge gives it the sum of both.
    ///
    /// - Parameter dropped: What the loser counted since the merge before.
    private func takeDropped(_ dropped: [CounterEntry], from block: Handle) -> [CounterEntry] {
        let merge = self.merges.entry(block)
        var taken: [CounterEntry] = []
        var left: [CounterEntry] = []
        for counter in self.counters(merge.dropped, Int(merge.droppedCount)) {
            let known = dropped.first { $0.name == counter.name }?.count ?? 0
            let count = min(known, counter.count)
            if count > 0 { taken.append(counter.counting(count)) }
            if counter.count > count { left.append(counter.counting(counter.count - count)) }
        }
        guard !taken.isEmpty else { return [] }
        self.free(merge.dropped, bytes: merge.droppedBytes)
        let changed = self.allocate(counters: left)
        self.changeMerge(block) { ($0.dropped, $0.droppedCount) = (changed, UInt32(left.count)) }
        return taken
    }

    /// What is left of the counters of a profile at the end of a stage, without the loser's.
    ///
    /// - Parameters:
    ///   - had: What it would have had at the beginning of the stage.
    ///   - lsns: Of the stage.
    ///   - droppedLater: The loser's dropped events that had not come yet.
    private func left(
        of merged: [CounterEntry], _ had: [CounterEntry], _ work: UnmergeWork,
        _ lsns: Range<UInt64>, droppedLater: [CounterEntry] = []
    ) -> [CounterEntry] {
        var gone = self.counters(self.pool.header(work.loser).pointee)
        for counter in work.since { gone.add(counter) }
        var gained: [CounterEntry] = []
        var later = droppedLater
        for handle in work.left + work.taken {
            let event = EventBlock(self.slab.pointer(handle))
            let name: UInt16 = event.parts.content.integer(at: 0)
            if event.lsn >= lsns.upperBound {
                // It had not come yet, so the profile's counters did not have it either.
                if event.holder == work.loser { later.count(name, at: event.effectiveTime) }
            } else if event.holder != work.loser, lsns.contains(event.lsn),
                !work.foreign.contains(event.lsn)
            {
                gained.count(name, at: event.effectiveTime)
            }
        }
        var left: [CounterEntry] = []
        for entry in had.filter({ entry in merged.contains { $0.name == entry.name } })
            + merged.filter({ entry in !had.contains { $0.name == entry.name } })
        {
            guard let all = merged.first(where: { $0.name == entry.name }) else { continue }
            let lost = gone.first { $0.name == entry.name }
            let notYet = later.first { $0.name == entry.name }?.count ?? 0
            let lostCount = (lost?.count ?? 0) - min(notYet, lost?.count ?? 0)
            guard all.count > lostCount else { continue }
            let known = [had, gained].compactMap { $0.first { $0.name == entry.name } }
            var first = known.map(\.first).min() ?? all.first
            var last = known.map(\.last).max() ?? all.last
            // What is not the loser's is this one's, also if the event is no longer retained.
            if all.first < lost?.first ?? .max { first = min(first, all.first) }
            if all.last > lost?.last ?? .min { last = max(last, all.last) }
            left.append(
                CounterEntry(
                    name: entry.name, count: all.count - lostCount, first: first, last: last))
        }
        // A name that found no capacity in the merged profile is had as it was.
        for entry in had where !merged.contains(where: { $0.name == entry.name }) {
            left.append(entry)
        }
        return left
    }

    private func allocate(counters: [CounterEntry]) -> Handle {
        counters.withUnsafeBytes { self.allocate(copying: $0) }
    }

    private func setCounters(_ counters: [CounterEntry], in header: inout ProfileHeader) {
        self.free(
            header.counters, bytes: Int(header.counterCapacity) * MemoryLayout<CounterEntry>.stride)
        header.counters = self.allocate(counters: counters)
        header.counterCount = UInt16(counters.count)
        header.counterCapacity = UInt16(counters.count)
    }
}

extension [CounterEntry] {
    /// Counts one event of a name.
    mutating func count(_ name: UInt16, at time: Int64) {
        self.add(CounterEntry(name: name, count: 1, first: time, last: time))
    }

    /// Adds a counter to that of its name, or behind all.
    mutating func add(_ counter: CounterEntry) {
        if let index = self.firstIndex(where: { $0.name == counter.name }) {
            self[index].add(counter)
        } else {
            self.append(counter)
        }
    }
}
