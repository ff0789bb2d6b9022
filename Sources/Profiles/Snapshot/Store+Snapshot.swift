import Bytes

// The writing side of a snapshot. All of it runs on the applier: a piece between two frames, and
// whatever a record is about to change. A reader of the store notices nothing, and no lock is
// taken.

extension Store {
    // MARK: The applier

    /// Begins a snapshot of the state as it is now, after everything that was applied.
    ///
    /// - Complexity: O(names + profiles / 64).
    package func beginSnapshot() {
        let merges = self.state.pointee.merges
        self.snapshot.pointee.begin(
            lsn: self.appliedLSN, counts: (0 ..< Shards.count).map { self.pool.count($0) },
            requests: self.project.requests.snapshotCursor,
            merges: SnapshotWork.ListCursor(next: merges.head, left: merges.count),
            blocks: self.blocks.snapshotCursor)
        self.writeStateItem()
        self.writeNamesItem()
    }

    /// Whether a snapshot is being written.
    package var isSnapshotting: Bool { self.snapshot.pointee.isActive }

    /// Whether the snapshot's last item is in a block.
    package var isSnapshotComplete: Bool { self.snapshot.pointee.isComplete }

    /// Bytes in blocks that were not taken yet.
    package var snapshotBytesWaiting: Int { self.snapshot.pointee.fullBytes }

    /// Writes the next items, about `bytes` of them and at least one.
    package func advanceSnapshot(bytes: Int) {
        var written = 0
        while written < bytes, !self.snapshot.pointee.isComplete { written += self.writeNextItem() }
    }

    /// The oldest full block; the last one is handed out once the snapshot is complete.
    package func takeSnapshotBlock() -> SnapshotBlock? { self.snapshot.pointee.takeBlock() }

    /// Ends the snapshot: everything was taken, or it is given up.
    package func endSnapshot() { self.snapshot.pointee.end() }

    // MARK: Before something changes

    /// To be called before a profile's header or one of its blocks is changed: a running snapshot
    /// still needs what it was.
    @inline(__always)
    func willChange(_ profile: ProfileRef) {
        if self.snapshot.pointee.isActive { self.writeBeforeChange(profile) }
    }

    private func writeBeforeChange(_ profile: ProfileRef) {
        guard self.snapshot.pointee.owes(profile) else { return }
        self.snapshot.pointee.wroteEarly(profile)
        _ = self.writeProfileItem(profile)
    }

    /// To be called before an address is suppressed or no longer.
    func willChangeSuppression(of address: AddressHash) {
        let shard = SuppressionTable.shard(address)
        guard self.snapshot.pointee.isActive,
            self.snapshot.pointee.suppressionsWritten & 1 << UInt64(shard) == 0
        else { return }
        _ = self.writeSuppressionsItem(shard)
    }

    /// To be called before the oldest merge is forgotten.
    func willForgetOldestMerge() {
        guard self.snapshot.pointee.isActive, self.snapshot.pointee.merges.left > 0,
            self.snapshot.pointee.merges.next == self.state.pointee.merges.head
        else { return }
        _ = self.writeNextMerge()
    }

    /// To be called before a merge is taken out of the list from wherever it stands; one that is
    /// owed is written before its turn.
    ///
    /// - Parameter next: The one behind it.
    func willRemove(_ merge: MergeEntry, _ block: Handle, next: Handle) {
        let owed = self.snapshot.pointee.merges
        // Lsns ascend along the list.
        guard self.snapshot.pointee.isActive, owed.left > 0, merge.lsn <= self.snapshot.pointee.lsn,
            merge.lsn >= MergeEntry(self.slab.pointer(owed.next)).lsn
        else { return }
        self.snapshot.pointee.merges = SnapshotWork.ListCursor(
            next: owed.next == block ? next : owed.next, left: owed.left - 1)
        self.snapshot.pointee.writeItem(.merge) { merge.write(into: &$0, slab: self.slab) }
    }

    /// To be called before a remembered response is changed: all that are still owed are written.
    /// An erasure is rare enough for that.
    func willChangeRequests() {
        guard self.snapshot.pointee.isActive else { return }
        while self.project.requests.writeNext() > 0 {}
    }

    /// To be called before the oldest block is forgotten.
    func willForgetOldestBlock() {
        guard self.snapshot.pointee.isActive, self.snapshot.pointee.blocks.left > 0,
            self.snapshot.pointee.blocks.next == self.blocks.snapshotCursor.next
        else { return }
        _ = self.writeNextBlocks()
    }

    // MARK: Items

    /// Writes one item, whichever is next, and returns about how many bytes it has.
    private func writeNextItem() -> Int {
        switch self.snapshot.pointee.phase {
        case .suppressions:
            let missing = ~self.snapshot.pointee.suppressionsWritten
            if missing != 0 { return self.writeSuppressionsItem(missing.trailingZeroBitCount) }
            self.snapshot.pointee.phase = .requests
        case .requests:
            let written = self.project.requests.writeNext()
            if written > 0 { return written }
            self.snapshot.pointee.phase = .merges
        case .merges:
            if self.snapshot.pointee.merges.left > 0 { return self.writeNextMerge() }
            self.snapshot.pointee.phase = .blocks
        case .blocks:
            if self.snapshot.pointee.blocks.left > 0 { return self.writeNextBlocks() }
            self.snapshot.pointee.phase = .profiles
        case .profiles:
            if let profile = self.snapshot.pointee.nextProfile() {
                return self.writeProfileItem(profile)
            }
            self.snapshot.pointee.phase = .end
        case .end:
            self.snapshot.pointee.writeItem(.end) { _ in }
            self.snapshot.pointee.complete()
        }
        return 0
    }

    private func writeSuppressionsItem(_ shard: Int) -> Int {
        self.snapshot.pointee.suppressionsWritten |= 1 << UInt64(shard)
        return self.snapshot.pointee.writeItem(.suppressions) { buffer in
            self.suppressions.forEach(in: shard) { address, reasons in
                buffer.append(address.low)
                buffer.append(address.high)
                buffer.append(reasons.rawValue)
            }
        }
    }

    private func writeNextMerge() -> Int {
        let block = self.snapshot.pointee.merges.next
        let merge = MergeEntry(self.slab.pointer(block))
        self.snapshot.pointee.merges.next = self.slab.pointer(block).load(as: Handle.self)
        self.snapshot.pointee.merges.left -= 1
        return self.snapshot.pointee.writeItem(.merge) { merge.write(into: &$0, slab: self.slab) }
    }

    private func writeNextBlocks() -> Int {
        var cursor = self.snapshot.pointee.blocks
        let written = self.snapshot.pointee.writeItem(.blocks) { buffer in
            for _ in 0 ..< min(cursor.left, UInt64(SnapshotFormat.blocksPerItem)) {
                let (block, next) = self.blocks.entry(cursor.next)
                block.write(into: &buffer)
                cursor = SnapshotWork.ListCursor(next: next, left: cursor.left - 1)
            }
        }
        self.snapshot.pointee.blocks = cursor
        return written
    }

    private func writeStateItem() {
        let state = self.state.pointee
        self.snapshot.pointee.writeItem(.state) { buffer in
            var genesis = ByteBuffer(capacity: 512)
            self.genesis.encode(into: &genesis)
            buffer.append(SnapshotFormat.version)
            buffer.appendPrefixed(genesis.bytes)
            buffer.append(self.appliedLSN)
            state.write(into: &buffer)
            buffer.append(UInt32(self.project.names.count))
            buffer.append(UInt64(self.suppressions.count))
            buffer.append(UInt64(self.project.requests.count))
            buffer.append(state.merges.count)
            buffer.append(UInt64(self.blocks.count))
            for shard in 0 ..< Shards.count {
                buffer.append(UInt32(self.pool.count(shard)))
                buffer.append(UInt32(self.index.count(shard)))
                buffer.append(UInt32(self.addresses.count(shard)))
                buffer.append(UInt32(self.events.count(shard)))
            }
        }
    }

    private func writeNamesItem() {
        self.snapshot.pointee.writeItem(.names) { buffer in
            for number in 0 ..< self.project.names.count {
                buffer.appendPrefixed(self.project.names.name(number))
            }
        }
    }

    /// Writes a profile, and what does not fit one item in further ones.
    private func writeProfileItem(_ profile: ProfileRef) -> Int {
        let header = self.pool.header(profile).pointee
        var next = 0
        var bytes = self.snapshot.pointee.writeItem(.profile) { buffer in
            self.writeProfile(profile, header, into: &buffer)
            next = self.writeEvents(of: header, from: 0, into: &buffer)
        }
        while next < Int(header.eventCount) {
            bytes += self.snapshot.pointee.writeItem(.events) { buffer in
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
        var writer = RawWriter(
            buffer.appendUninitialized(SnapshotFormat.profileFixedBytes).baseAddress
                .unsafelyUnwrapped)
        header.write(profile, into: &writer)
        self.append(header.identity, Int(header.identityBytes), to: &buffer)
        self.append(header.attributes, Int(header.attributesBytes), to: &buffer)
        self.append(header.consent, Int(header.consentBytes), to: &buffer)
        self.append(header.ledger, Int(header.ledgerBytes), to: &buffer)
        self.append(header.counters, counterBytes, to: &buffer)
    }

    /// Writes events until the item has about a block's size, and returns the number of the next
    /// one.
    private func writeEvents(
        of header: ProfileHeader, from first: Int, into buffer: inout ByteBuffer
    ) -> Int {
        guard header.eventCount > 0 else { return 0 }
        let start = buffer.count
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

extension SnapshotWork {
    /// Appends one item whose body `write` appends, and returns its bytes.
    @discardableResult
    mutating func writeItem(_ kind: SnapshotItem, _ write: (inout ByteBuffer) -> Void) -> Int {
        // A name of its own: Swift 6.3 cannot compile the whole path for the thread sanitizer.
        let block = self.block
        let start = block.buffer.count
        block.buffer.append(UInt64(kind.rawValue))
        write(&block.buffer)
        let bytes = block.buffer.count - start
        precondition(
            bytes - SnapshotFormat.itemHeaderBytes <= Int(UInt32.max), "an item has a bound")
        block.buffer.patch(UInt32(bytes - SnapshotFormat.itemHeaderBytes), at: start + 4)
        self.closeBlockIfFull()
        return bytes
    }
}
