import Bytes

// How the applier changes what readers see, everywhere but in a plain Track: new blocks are made
// beside the old ones, and one commit puts them in place under the locks of all shards that take
// part. No reader sees half of a merge.

/// What one call changes, gathered before any lock is taken. Its storage is kept.
struct ChangeSet {
    var headers: [(profile: ProfileRef, header: ProfileHeader)] = []
    var index: [IdentifierIndex.Change] = []
    /// Of `Store.addresses`.
    var addresses: [IdentifierIndex.Change] = []
    /// Blocks that nobody refers to once the change is made.
    var freed: [(block: Handle, bytes: Int)] = []

    mutating func removeAll() {
        self.headers.removeAll(keepingCapacity: true)
        self.index.removeAll(keepingCapacity: true)
        self.addresses.removeAll(keepingCapacity: true)
        self.freed.removeAll(keepingCapacity: true)
    }
}

extension Store {
    /// A new block, of which a refused batch gives back what it took.
    func allocate(_ bytes: Int) -> Handle {
        let block = self.slab.allocate(bytes)
        if self.undo.pointee.isActive { self.undo.pointee.allocated.append((block, bytes)) }
        return block
    }

    /// A new block with a copy of `bytes`; 0 for none.
    func allocate(copying bytes: UnsafeRawBufferPointer) -> Handle {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return 0 }
        let block = self.allocate(bytes.count)
        self.slab.pointer(block).copyMemory(from: source, byteCount: bytes.count)
        return block
    }

    /// Frees a block that readers cannot reach any more; inside a batch once the batch stands.
    func discard(_ block: Handle, bytes: Int) {
        guard block != 0 else { return }
        if self.undo.pointee.isActive {
            self.undo.pointee.freed.append((block, bytes))
        } else {
            self.slab.deallocate(block, bytes: bytes)
        }
    }

    /// Frees a block once the gathered change is made.
    func free(_ block: Handle, bytes: Int) {
        guard block != 0 else { return }
        self.changes.pointee.freed.append((block, bytes))
    }

    /// Gathers a profile's new header; the last one given for a profile counts.
    func replace(_ profile: ProfileRef, with header: ProfileHeader) {
        self.changes.pointee.headers.append((profile, header))
    }

    /// Gathers that an identifier names a profile from now on.
    func name(_ profile: ProfileRef, _ hash: UInt64) {
        self.changes.pointee.index.append(
            IdentifierIndex.Change(hash: hash, profile: profile, isRemoval: false))
    }

    /// Gathers that an identifier names a profile no more.
    func unname(_ profile: ProfileRef, _ hash: UInt64) {
        self.changes.pointee.index.append(
            IdentifierIndex.Change(hash: hash, profile: profile, isRemoval: true))
    }

    /// A profile that nobody can find yet: its id is gathered to name it, its header may be
    /// replaced before the commit.
    func createProfile(
        _ call: CallContext, project: ProjectID, identity: Handle, identityBytes: Int
    ) -> ProfileRef {
        let id = self.ids.profile(receivedAt: call.receivedAt, lsn: call.lsn)
        let hash = self.profileIDHash(project, id)
        let header = ProfileHeader(
            id: id, project: project, lsn: call.lsn, receivedAt: call.receivedAt,
            identity: identity,
            identityBytes: identityBytes)
        let profile = self.pool.add(header, shard: Shards.shard(hash), locks: self.profileLocks)
        if self.undo.pointee.isActive { self.undo.pointee.steps.append(.created(profile)) }
        self.name(profile, hash)
        self.addToProfileCount(1)
        return profile
    }

    func addToProfileCount(_ count: Int) {
        self.state.pointee.profileCount += count
        self.publishProfileCount(self.state.pointee.profileCount)
    }

    /// Makes everything that was gathered visible at once, and frees what it replaced.
    ///
    /// - Parameters:
    ///   - lsn: Of the call; shown to readers inside the locks.
    ///   - keepsReplaced: The answer still quotes what was replaced; `freeReplaced` follows.
    func commitChanges(_ lsn: UInt64, keepsReplaced: Bool = false) {
        var mask: UInt64 = 0
        for change in self.changes.pointee.headers { self.willChange(change.profile) }
        for change in self.changes.pointee.headers { mask |= 1 << UInt64(change.profile.shard) }
        self.addresses.apply(self.changes.pointee.addresses) {
            self.index.apply(self.changes.pointee.index) {
                self.profileLocks.holding(mask: mask) {
                    for change in self.changes.pointee.headers {
                        let header = self.pool.header(change.profile)
                        self.noteForUndo(change.profile)
                        header.pointee = change.header
                    }
                    self.publish(lsn)
                }
            }
        }
        if self.undo.pointee.isActive {
            self.undo.pointee.note(self.changes.pointee.index)
            for change in self.changes.pointee.addresses {
                self.undo.pointee.steps.append(.address(change))
            }
        }
        if !keepsReplaced { self.freeReplaced() }
    }

    /// Frees what the last commit replaced.
    func freeReplaced() {
        for (block, bytes) in self.changes.pointee.freed { self.discard(block, bytes: bytes) }
        self.changes.pointee.removeAll()
    }

    // MARK: The table of retained events

    func enterEvent(_ hash: UInt64, _ block: Handle) {
        self.events.insert(hash, block)
        if self.undo.pointee.isActive { self.undo.pointee.steps.append(.eventEntered(hash, block)) }
    }

    func removeEvent(_ hash: UInt64, _ block: Handle) {
        self.events.remove(hash, block)
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
