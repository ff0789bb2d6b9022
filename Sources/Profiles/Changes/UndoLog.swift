import Bytes

// An atomic batch is applied operation by operation, later ones seeing earlier ones, while every
// lock is held. If one is rejected, the others are rolled back from this log. Outside of a batch
// nothing is logged.
//
// SAFETY: `undo`, `changes` and `state` are one element each that `Store` owns; only the applier
// follows them. Every shard lock is held while a batch is open, so headers and blocks that are
// changed or rolled back have no reader.

/// The steps of an open atomic batch, and the blocks to free when it ends.
struct UndoLog {
    enum Step {
        case header(ProfileRef, ProfileHeader)
        case created(ProfileRef)
        /// A profile was made in a vacant slot, whose header this is.
        case reused(ProfileRef, ProfileHeader)
        case index(IdentifierIndex.Change)
        case address(IdentifierIndex.Change)
        case eventEntered(UInt64, Handle)
        case eventRemoved(UInt64, Handle)
        case eventMoved(Handle, ProfileRef)
        case mergeEntered(Handle)
        case mergeRemoved(Handle)
        case mergeChanged(Handle, MergeEntry)
    }

    var isActive = false
    var steps: [Step] = []
    /// Blocks made in the batch: freed when it is rolled back.
    var allocated: [(block: Handle, bytes: Int)] = []
    /// Blocks that it replaced: freed when it is committed.
    var freed: [(block: Handle, bytes: Int)] = []
    /// Profiles whose blocks that change in place are copies of this batch.
    var preserved: Set<UInt32> = []
    /// The state before the batch; `nil`: none is open.
    var state: AppliedState?
    /// What its project held.
    var counts = ProjectCounts()
    var nameCount = 0

    /// Notes the index entries of a commit; its headers were noted before they were replaced.
    mutating func note(_ changes: borrowing ChangeSet) {
        for change in changes.index { self.steps.append(.index(change)) }
        for change in changes.addresses { self.steps.append(.address(change)) }
    }
}

extension Store {
    func noteForUndo(_ profile: ProfileRef) {
        guard self.undo.pointee.isActive else { return }
        self.undo.pointee.steps.append(.header(profile, self.pool.header(profile).pointee))
    }

    /// To be called before a profile is changed in place: writes its pre-image for a running
    /// snapshot, and inside a batch gives it copies of the blocks that change, once per batch.
    @inline(__always)
    func preserve(_ profile: ProfileRef) {
        self.snapshot.willChange(profile)
        if self.undo.pointee.isActive { self.copyBlocks(of: profile) }
    }

    @inline(never)
    private func copyBlocks(of profile: ProfileRef) {
        self.noteForUndo(profile)
        guard self.undo.pointee.preserved.insert(profile.rawValue).inserted else { return }
        let header = self.pool.header(profile)
        header.pointee.identity = self.copy(
            header.pointee.identity, Int(header.pointee.identityBytes))
        header.pointee.counters = self.copy(
            header.pointee.counters,
            Int(header.pointee.counterCapacity) * MemoryLayout<CounterEntry>.stride)
        header.pointee.events = self.copy(
            header.pointee.events, Int(header.pointee.eventCapacity) * MemoryLayout<Handle>.stride)
    }

    private func copy(_ block: Handle, _ bytes: Int) -> Handle {
        guard block != 0 else { return 0 }
        self.discard(block, bytes: bytes)
        return self.allocate(
            copying: UnsafeRawBufferPointer(start: self.slab.pointer(block), count: bytes))
    }

    /// Runs a batch: all of it is committed if `body` returns true, nothing of it otherwise. No
    /// reader sees anything in between.
    func atomically(_ body: () -> Bool) -> Bool {
        self.addresses.holdingAll {
            self.index.holdingAll {
                self.profileLocks.holding(mask: .max) { self.commitOrRollBack(body) }
            }
        }
    }

    private func commitOrRollBack(_ body: () -> Bool) -> Bool {
        self.undo.pointee.isActive = true
        self.undo.pointee.state = self.state.pointee
        self.undo.pointee.counts = self.project.counts
        self.undo.pointee.nameCount = self.project.names.count
        self.changes.pointee.records.beginBatch()
        let isCommitted = body()
        self.undo.pointee.isActive = false
        if !isCommitted { self.rollBack() }
        let blocks = isCommitted ? self.undo.pointee.freed : self.undo.pointee.allocated
        for (block, bytes) in blocks { self.slab.deallocate(block, bytes: bytes) }
        self.undo.pointee = UndoLog()
        return isCommitted
    }

    private func rollBack() {
        self.changes.pointee.removeAll()
        self.changes.pointee.list.removeAll()
        self.changes.pointee.records.rollBack()
        for step in self.undo.pointee.steps.reversed() {
            switch step {
            case .header(let profile, let header): self.pool.header(profile).pointee = header
            case .created(let profile):
                self.pool.removeLast(shard: profile.shard, locks: self.profileLocks)
            case .reused(let profile, let header):
                self.pool.header(profile).pointee = header
                self.pool.setVacant(profile.shard, profile.rawValue)
            case .index(var change):
                change.isRemoval.toggle()
                self.index.apply([change]) {}
            case .address(var change):
                change.isRemoval.toggle()
                self.addresses.apply([change]) {}
            case .eventEntered(let hash, let block): self.events.remove(hash, block)
            case .eventRemoved(let hash, let block): self.events.insert(hash, block)
            case .eventMoved(let block, let holder):
                EventBlock(self.slab.pointer(block)).move(to: holder)
            case .mergeEntered(let block): self.rollBack(entered: block)
            case .mergeRemoved(let block): self.rollBack(removed: block)
            case .mergeChanged(let block, let entry): self.merges.change(block) { $0 = entry }
            }
        }
        self.project.names.truncate(to: self.undo.pointee.nameCount)
        if let state = self.undo.pointee.state { self.state.pointee = state }
        self.project.counts = self.undo.pointee.counts
        self.publishProfileCount(self.state.pointee.profileCount)
    }
}

// MARK: The table of retained events

extension Store {
    func enterEvent(_ hash: UInt64, _ block: Handle) {
        self.events.insert(hash, block)
        self.project.record.pointee.counts.events += 1
        if self.undo.pointee.isActive { self.undo.pointee.steps.append(.eventEntered(hash, block)) }
    }

    func removeEvent(_ hash: UInt64, _ block: Handle) {
        self.events.remove(hash, block)
        self.project.record.pointee.counts.events -= 1
        if self.undo.pointee.isActive { self.undo.pointee.steps.append(.eventRemoved(hash, block)) }
    }

    func moveEvent(_ block: Handle, to holder: ProfileRef) {
        let event = EventBlock(self.slab.pointer(block))
        if self.undo.pointee.isActive {
            self.undo.pointee.steps.append(.eventMoved(block, event.holder))
        }
        event.move(to: holder)
    }
}
