import Bytes

/// Writes the profiles and the merges of a running snapshot, in their turn or as pre-images before
/// they change; the applier's alone.
///
/// It owns the progress of the snapshot, which the other parts share for their own items:
/// `SuppressionStore`, `RequestDeduplication` and `ErasureStore`.
struct SnapshotSource {
    // SAFETY: allocated here, freed by `destroy`, which `Store` calls after its other parts are
    // gone; one element, which only the applier touches.
    let work: UnsafeMutablePointer<SnapshotWork>
    private let slab: Slab
    private let pool: ProfilePool
    private let merges: MergeTables

    init(slab: Slab, pool: ProfilePool, merges: MergeTables) {
        self.slab = slab
        self.pool = pool
        self.merges = merges
        self.work = .allocate(capacity: 1)
        self.work.initialize(to: SnapshotWork())
    }

    func destroy() {
        self.work.deinitialize(count: 1)
        self.work.deallocate()
    }

    /// Begins a snapshot of the state after `lsn`: every profile that exists now, and the merges
    /// and request ids that each of these projects has.
    ///
    /// - Complexity: O(projects + profiles / 64).
    func begin(lsn: UInt64, projects: [Project]) {
        self.work.pointee.begin(
            lsn: lsn, counts: (0 ..< Shards.count).map { self.pool.count($0) }, projects: projects)
    }

    // MARK: Pre-images

    /// Writes the pre-image of a profile whose header or blocks are about to change, if a running
    /// snapshot still needs it.
    @inline(__always)
    func willChange(_ profile: ProfileRef) {
        if self.work.pointee.isActive { self.writeBeforeChange(profile) }
    }

    @inline(never)
    private func writeBeforeChange(_ profile: ProfileRef) {
        guard self.work.pointee.owes(profile) else { return }
        self.work.pointee.wroteEarly(profile)
        _ = self.writeProfileItem(profile)
    }

    /// Writes a merge whose entry is about to change, if a running snapshot still needs it.
    func willChange(merge block: Handle, of project: Project) {
        let merge = self.merges.entry(block)
        // Lsns ascend along the list.
        guard self.work.pointee.isActive, let owed = self.work.pointee.merges[project],
            owed.left > 0, merge.lsn <= self.work.pointee.lsn,
            merge.lsn >= self.merges.entry(owed.next).lsn,
            merge.snapshotNumber != self.work.pointee.number
        else { return }
        self.work.pointee.merges[project] = SnapshotWork.ListCursor(
            next: owed.next, left: owed.left - 1)
        self.merges.change(block) { $0.snapshotNumber = self.work.pointee.number }
        self.writeItem(of: merge, project)
    }

    /// The same for a merge that is about to leave its project's list, whose cursor moves on.
    func willRemove(_ block: Handle, of project: Project) {
        self.willChange(merge: block, of: project)
        guard self.work.pointee.isActive, let owed = self.work.pointee.merges[project],
            owed.next == block
        else { return }
        self.work.pointee.merges[project] = SnapshotWork.ListCursor(
            next: self.merges.entry(block).next, left: owed.left)
    }

    // MARK: Items in their turn

    /// Writes the next merge, and returns the bytes of its item; 0: all merges are written.
    func writeNextMerge() -> Int {
        guard let project = self.work.pointee.merges.next() else { return 0 }
        return self.writeNextMerge(of: project)
    }

    private func writeNextMerge(of project: Project) -> Int {
        guard var cursor = self.work.pointee.merges[project], cursor.left > 0 else { return 0 }
        var merge = self.merges.entry(cursor.next)
        // What changed meanwhile was written before.
        while merge.snapshotNumber == self.work.pointee.number {
            merge = self.merges.entry(merge.next)
        }
        cursor.next = merge.next
        cursor.left -= 1
        self.work.pointee.merges[project] = cursor
        return self.writeItem(of: merge, project)
    }

    @discardableResult
    private func writeItem(of merge: MergeEntry, _ project: Project) -> Int {
        self.work.pointee.writeItem(.merge) {
            $0.append(project.id.rawValue)
            merge.write(into: &$0, slab: self.slab)
        }
    }

    /// Writes the next profile, and returns the bytes of its items; 0: all profiles are written.
    func writeNextProfile() -> Int {
        self.work.pointee.nextProfile().map { self.writeProfileItem($0) } ?? 0
    }

    /// Writes a profile, and what does not fit one item in further ones.
    private func writeProfileItem(_ profile: ProfileRef) -> Int {
        let header = self.pool.header(profile).pointee
        var next = 0
        var bytes = self.work.pointee.writeItem(.profile) { buffer in
            self.writeProfile(profile, header, into: &buffer)
            next = self.writeEvents(of: header, from: 0, into: &buffer)
        }
        while next < Int(header.eventCount) {
            bytes += self.work.pointee.writeItem(.events) { buffer in
                buffer.append(profile.rawValue)
                next = self.writeEvents(of: header, from: next, into: &buffer)
            }
        }
        return bytes
    }

    /// Layout: docs/formats/snapshot.md, "Profile"; the events follow.
    private func writeProfile(
        _ profile: ProfileRef, _ header: ProfileHeader, into buffer: inout ByteBuffer
    ) {
        let counterBytes = Int(header.counterCount) * MemoryLayout<CounterEntry>.stride
        let blockBytes =
            Int(header.identityBytes) + Int(header.attributesBytes) + Int(header.consentBytes)
            + Int(header.ledgerBytes)
        buffer.reserve(SnapshotFormat.profileFixedBytes + blockBytes + counterBytes)
        // SAFETY: the buffer has just made space for these bytes, and `write` writes all of them
        // before anything else is appended.
        var writer = RawWriter(
            buffer.appendUninitialized(SnapshotFormat.profileFixedBytes).baseAddress
                .unsafelyUnwrapped)
        header.write(profile, into: &writer)
        self.slab.append(header.identity, Int(header.identityBytes), to: &buffer)
        self.slab.append(header.attributes, Int(header.attributesBytes), to: &buffer)
        self.slab.append(header.consent, Int(header.consentBytes), to: &buffer)
        self.slab.appendLedger(header.ledger, to: &buffer)
        self.slab.append(header.counters, counterBytes, to: &buffer)
    }

    /// Writes events until the item has about a block's size, and returns the number of the next
    /// one.
    private func writeEvents(
        of header: ProfileHeader, from first: Int, into buffer: inout ByteBuffer
    ) -> Int {
        guard header.eventCount > 0 else { return 0 }
        let start = buffer.count
        // SAFETY: a profile's block of events holds handles only; `eventHead + eventCount` of them
        // are within its capacity.
        let events =
            self.slab.pointer(header.events).assumingMemoryBound(to: Handle.self)
            + Int(header.eventHead)
        for number in first ..< Int(header.eventCount) {
            guard buffer.count - start < SnapshotFormat.blockBytes else { return number }
            EventBlock(self.slab.pointer(events[number])).appendWithoutHolder(to: &buffer)
        }
        return Int(header.eventCount)
    }
}
