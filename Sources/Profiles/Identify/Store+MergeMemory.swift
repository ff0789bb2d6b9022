import Bytes

// SAFETY: an entry is a block of `blockBytes`, written whole by `write(to:)`, that the list owns
// until it is unlinked and freed; only the applier touches the list and `state`.

/// A merge that can still be undone.
///
/// Layout of its block:
/// `next: UInt32 | loser, survivor: UInt32 | eventCount: UInt32 | receivedAt: Int64 µs | lsn:
/// UInt64 | events: UInt32 | survivorAttributes, bytes, survivorConsent, bytes:
/// UInt32`. The rest of the loser's state stays at its header.
struct MergeEntry {
    static let blockBytes = 4 * 4 + 8 + 8 + 5 * 4

    var loser: ProfileRef
    var survivor: ProfileRef
    var receivedAt: Int64
    var lsn: UInt64
    /// The lsns of the events that moved, a block of `UInt64`.
    var events: Handle = 0
    var eventCount: UInt32 = 0
    /// What the survivor had before.
    var survivorAttributes: (block: Handle, bytes: UInt32) = (0, 0)
    var survivorConsent: (block: Handle, bytes: UInt32) = (0, 0)

    init(loser: ProfileRef, survivor: ProfileRef, call: CallContext) {
        self.loser = loser
        self.survivor = survivor
        self.receivedAt = call.receivedAt
        self.lsn = call.lsn
    }

    init(_ base: UnsafeMutableRawPointer) {
        self.loser = ProfileRef(rawValue: base.load(fromByteOffset: 4, as: UInt32.self))
        self.survivor = ProfileRef(rawValue: base.load(fromByteOffset: 8, as: UInt32.self))
        self.eventCount = base.load(fromByteOffset: 12, as: UInt32.self)
        self.receivedAt = base.load(fromByteOffset: 16, as: Int64.self)
        self.lsn = base.load(fromByteOffset: 24, as: UInt64.self)
        self.events = base.load(fromByteOffset: 32, as: UInt32.self)
        self.survivorAttributes = (
            base.load(fromByteOffset: 36, as: UInt32.self),
            base.load(fromByteOffset: 40, as: UInt32.self)
        )
        self.survivorConsent = (
            base.load(fromByteOffset: 44, as: UInt32.self),
            base.load(fromByteOffset: 48, as: UInt32.self)
        )
    }

    func write(to target: UnsafeMutableRawPointer) {
        var writer = RawWriter(target)
        writer.write(Handle(0))
        writer.write(self.loser.rawValue)
        writer.write(self.survivor.rawValue)
        writer.write(self.eventCount)
        writer.write(self.receivedAt)
        writer.write(self.lsn)
        writer.write(self.events)
        writer.write(self.survivorAttributes.block)
        writer.write(self.survivorAttributes.bytes)
        writer.write(self.survivorConsent.block)
        writer.write(self.survivorConsent.bytes)
    }
}

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
        self.state.pointee.oldest.merge = min(self.state.pointee.oldest.merge, merge.receivedAt)
        while self.project.merges.count > self.limits.mergesPerProject { self.forgetOldestMerge() }
        return self.ids.merge(receivedAt: merge.receivedAt, lsn: merge.lsn)
    }

    /// Puts a merge whose block is written at the end of a project's list.
    func enter(_ block: Handle, in project: Project, receivedAt: Int64) {
        var merges = project.merges
        if merges.head == 0 {
            merges.head = block
            merges.oldest = receivedAt
        } else {
            self.slab.pointer(merges.tail).storeBytes(of: block, as: Handle.self)
        }
        merges.tail = block
        merges.count += 1
        project.merges = merges
    }

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
            body(MergeEntry(self.slab.pointer(block)))
            block = self.slab.pointer(block).load(as: Handle.self)
        }
    }

    /// Frees an entry and the blocks that are its own, once the staged change is made; the blocks
    /// at the loser's header are the caller's.
    func free(_ merge: MergeEntry, _ block: Handle) {
        self.free(merge.events, bytes: Int(merge.eventCount) * MemoryLayout<UInt64>.stride)
        self.free(merge.survivorAttributes.block, bytes: Int(merge.survivorAttributes.bytes))
        self.free(merge.survivorConsent.block, bytes: Int(merge.survivorConsent.bytes))
        self.free(block, bytes: MergeEntry.blockBytes)
    }

    /// Removes the oldest merge from the list, and stages a header of the loser that keeps only its
    /// id.
    private func forgetOldestMerge() {
        let block = self.project.merges.head
        let merge = MergeEntry(self.slab.pointer(block))
        let next = self.slab.pointer(block).load(as: Handle.self)
        self.snapshot.willForgetOldest(block, of: self.project)
        // With a limit of 0 a merge becomes final at once, while it is staged itself.
        var header = self.stagedHeader(merge.loser)
        self.free(header.identity, bytes: Int(header.identityBytes))
        self.free(header.attributes, bytes: Int(header.attributesBytes))
        self.free(header.consent, bytes: Int(header.consentBytes))
        self.free(
            header.counters, bytes: Int(header.counterCapacity) * MemoryLayout<CounterEntry>.stride)
        (header.identity, header.identityBytes) = (0, 0)
        (header.attributes, header.attributesBytes) = (0, 0)
        (header.consent, header.consentBytes) = (0, 0)
        (header.counters, header.counterCount, header.counterCapacity) = (0, 0, 0)
        self.replace(merge.loser, with: header)
        self.free(merge, block)
        var merges = self.project.merges
        merges.head = next
        merges.count -= 1
        if next == 0 {
            merges.tail = 0
        } else {
            merges.oldest = MergeEntry(self.slab.pointer(next)).receivedAt
        }
        self.project.merges = merges
    }
}
