import Bytes

// The merges that can still be undone: one list per project, the oldest first, and the tables that
// find its entries. What is oldest becomes final, after 30 days or over a number.
//
// SAFETY: an entry is a block of `blockBytes` that the list owns until it is unlinked and freed;
// only the applier touches the list and `state`.

/// Numbers of the lists of merges.
enum MergeMemory {
    /// Merges that one tick makes final.
    static let perTick = 1_024
}

extension Store {
    /// Keeps what an undo of the merge needs; over the limit the oldest merges become final.
    func remember(_ merge: MergeEntry) -> ProfileID {
        let block = self.allocate(MergeEntry.blockBytes)
        merge.write(to: self.slab.pointer(block))
        self.enter(block, in: self.project, receivedAt: merge.receivedAt)
        if self.undo.pointee.isActive { self.undo.pointee.steps.append(.mergeEntered(block)) }
        self.state.pointee.oldest.merge = min(self.state.pointee.oldest.merge, merge.receivedAt)
        while self.project.merges.count > self.limits.mergesPerProject { self.forgetOldestMerge() }
        return self.merges.id(of: merge, self.project.id)
    }

    /// Puts a merge whose block is written at the end of a project's list.
    func enter(_ block: Handle, in project: Project, receivedAt: Int64) {
        var list = project.merges
        if list.head == 0 {
            list.head = block
            list.oldest = receivedAt
        } else {
            self.merges.change(list.tail) { $0.next = block }
        }
        self.merges.change(block) { ($0.next, $0.previous) = (0, list.tail) }
        list.tail = block
        list.count += 1
        project.merges = list
        self.merges.insert(block)
    }

    /// Takes a merge of the selected project out of its list and the tables; the block and what it
    /// refers to are the caller's.
    func unlink(_ block: Handle) {
        self.snapshot.willRemove(block, of: self.project)
        if self.undo.pointee.isActive { self.undo.pointee.steps.append(.mergeRemoved(block)) }
        self.merges.remove(block)
        let entry = self.merges.entry(block)
        var list = self.project.merges
        list.count -= 1
        if entry.previous == 0 {
            list.head = entry.next
        } else {
            self.merges.change(entry.previous) { $0.next = entry.next }
        }
        if entry.next == 0 {
            list.tail = entry.previous
        } else {
            self.merges.change(entry.next) { $0.previous = entry.previous }
        }
        if list.head != 0 { list.oldest = self.merges.entry(list.head).receivedAt }
        self.project.merges = list
    }

    /// Changes an entry in place, for good or until an open batch is rolled back.
    func changeMerge(_ block: Handle, _ body: (inout MergeEntry) -> Void) {
        self.snapshot.willChange(merge: block, of: self.project)
        if self.undo.pointee.isActive {
            self.undo.pointee.steps.append(.mergeChanged(block, self.merges.entry(block)))
        }
        self.merges.change(block, body)
    }

    // MARK: Rolling back

    /// Rolls back that a merge was entered; the head, the tail and the count of the list are
    /// restored by the caller.
    func rollBack(entered block: Handle) {
        self.merges.remove(block)
        let previous = self.merges.entry(block).previous
        if previous != 0 { self.merges.change(previous) { $0.next = 0 } }
    }

    /// Rolls back that a merge was unlinked, as above.
    func rollBack(removed block: Handle) {
        self.merges.restore(block)
        let entry = self.merges.entry(block)
        if entry.previous != 0 { self.merges.change(entry.previous) { $0.next = block } }
        if entry.next != 0 { self.merges.change(entry.next) { $0.previous = block } }
    }

    // MARK: What becomes final

    /// When a merge of this time becomes final, in microseconds.
    func mergeDue(_ receivedAt: Int64) -> Int64 {
        receivedAt == .max
            ? .max : receivedAt + Int64(self.limits.mergeSeconds) * 1_000_000 + 1
    }

    /// Makes merges of the selected project final that can no longer be undone.
    ///
    /// - Parameters:
    ///   - most: Of them; a commit of its own, whose staged headers are searched for each of them.
    ///   - isAnyAge: Also those that could still be undone.
    /// - Returns: How many.
    func forgetMerges(_ call: CallContext, most: Int, ofAnyAge isAnyAge: Bool = false) -> Int {
        var forgotten = 0
        while forgotten < most, self.project.merges.head != 0,
            isAnyAge || self.mergeDue(self.project.merges.oldestTime) <= call.clock
        {
            self.forgetOldestMerge()
            forgotten += 1
        }
        if forgotten > 0 { self.finish(call, isLast: false) }
        return forgotten
    }

    /// Every merge of a project, oldest first: for the digest.
    func forEachMerge(of project: Project, _ body: (MergeEntry) -> Void) {
        var block = project.merges.head
        while block != 0 {
            let entry = self.merges.entry(block)
            body(entry)
            block = entry.next
        }
    }

    /// Frees an entry and the blocks that are its own, once the staged change is made; the blocks
    /// at the loser's header are the caller's.
    func freeMerge(_ block: Handle) {
        let merge = self.merges.entry(block)
        self.free(merge.events, bytes: merge.eventsBytes)
        self.free(merge.survivorAttributes, bytes: Int(merge.survivorAttributesBytes))
        self.free(merge.survivorConsent, bytes: Int(merge.survivorConsentBytes))
        self.free(merge.counters, bytes: merge.countersBytes)
        self.free(merge.left, bytes: Int(merge.leftBytes))
        self.free(merge.dropped, bytes: merge.droppedBytes)
        self.free(block, bytes: MergeEntry.blockBytes)
    }

    /// Removes the oldest merge from the list, and stages a header of the loser that keeps only its
    /// ids.
    private func forgetOldestMerge() {
        let block = self.project.merges.head
        let merge = self.merges.entry(block)
        self.unlink(block)
        // With a limit of 0 a merge becomes final at once, while it is staged itself.
        var header = self.stagedHeader(merge.loser)
        self.keepCustomID(of: &header)
        self.free(header.attributes, bytes: Int(header.attributesBytes))
        self.free(header.consent, bytes: Int(header.consentBytes))
        self.free(
            header.counters, bytes: Int(header.counterCapacity) * MemoryLayout<CounterEntry>.stride)
        (header.attributes, header.attributesBytes) = (0, 0)
        (header.consent, header.consentBytes) = (0, 0)
        (header.counters, header.counterCount, header.counterCapacity) = (0, 0, 0)
        self.replace(merge.loser, with: header)
        self.freeMerge(block)
    }

    /// Reduces an identity to its custom id, which remains an alias for ever.
    private func keepCustomID(of header: inout ProfileHeader) {
        guard header.identity != 0 else { return }
        var kept = IdentityDraft()
        let identity = IdentityPart(self.slab.pointer(header.identity))
        kept.customID = identity.customID
        kept.customPart = identity.customPart
        guard kept.customID.count > 0 else {
            self.free(header.identity, bytes: Int(header.identityBytes))
            (header.identity, header.identityBytes) = (0, 0)
            return
        }
        self.setIdentity(kept, in: &header)
    }
}
