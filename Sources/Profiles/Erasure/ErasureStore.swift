import Bytes
import Synchronization

/// What remains of erasures: the identifiers of erased people, blocked for a while as keyed hashes,
/// and the lsn up to which the log holds data of erased people.
///
/// A blocked identifier names no profile. Hence `apply` looks a block up only for an identifier
/// that it does not find, and a loop does so before it appends a record, so that the identifier
/// does not enter the log again.
struct ErasureStore: ~Copyable {
    private let blocks: BlockList
    private let hash: KeyedHash
    private let blocksMax: UInt64
    // SAFETY: owned by `Store`, which outlives its parts; only the applier's methods follow it.
    private let snapshot: UnsafeMutablePointer<SnapshotWork>
    private let blockCountCell = Atomic<Int>(0)
    private let lastEraseLSNCell = Atomic<UInt64>(0)

    init(
        slab: Slab, hash: KeyedHash, limits: StoreLimits,
        snapshot: UnsafeMutablePointer<SnapshotWork>
    ) {
        self.blocks = BlockList(slab: slab, limits: limits)
        self.hash = hash
        self.blocksMax = limits.blocksPerProject
        self.snapshot = snapshot
    }

    func destroy() {
        self.blocks.destroy()
    }

    // MARK: Any thread

    /// The lsn of the last erasure that removed something, or of the last call that was rejected
    /// because of one and is in the log; 0: none. Snapshots are due until the log before it is
    /// gone.
    var lastEraseLSN: UInt64 { self.lastEraseLSNCell.load(ordering: .acquiring) }

    /// Blocked identifiers, including blocks that have ended and await a tick.
    var blockCount: Int { self.blockCountCell.load(ordering: .relaxed) }

    /// Until when an identifier is blocked, in microseconds; `nil`: it is not.
    ///
    /// A loop may see a state that is behind the log, so `apply` checks again. A profile id is
    /// never blocked, because it is never assigned twice.
    ///
    /// - Parameter now: In microseconds since 1970.
    func blockedUntil(_ project: ProjectID, _ identifier: IdentifierView, now: Int64) -> Int64? {
        // Most stores block nothing, which spares the hash.
        guard self.blockCount > 0, identifier.kind != .profileID, identifier.bytes.count > 0 else {
            return nil
        }
        return self.blocks.blockedUntil(
            project, self.hash.identifierHash(project, identifier), now: now)
    }

    /// Until when an identifier that a record names is blocked, in microseconds; `nil`: none is.
    ///
    /// Batches are not examined here: each item gets its own outcome from `apply`.
    func blockedUntil(_ record: RecordView, now: Int64) -> Int64? {
        guard self.blockCount > 0 else { return nil }
        var reader = ByteReader(record.payload)
        switch RecordKind(rawValue: record.kind) {
        case .track:
            return TrackHeader(from: &reader).flatMap {
                self.blockedUntil($0.project, $0.identifier, now: now)
            }
        case .identify:
            guard let header = IdentifyHeader(from: &reader) else { return nil }
            let device = IdentifierView(kind: .installationID, bytes: header.installationID)
            let person = IdentifierView(kind: .customID, bytes: header.customID)
            return self.blockedUntil(header.project, device, now: now)
                ?? self.blockedUntil(header.project, person, now: now)
        case .updateSubscription:
            return SubscriptionHeader(from: &reader).flatMap {
                self.blockedUntil($0.project, $0.identifier, now: now)
            }
        case .detach:
            return DetachCommand(record.payload).flatMap {
                self.blockedUntil($0.project, $0.identifier, now: now)
            }
        case .merge:
            guard let command = MergeCommand(record.payload) else { return nil }
            return self.blockedUntil(command.project, command.loser, now: now)
                ?? self.blockedUntil(command.project, command.survivor, now: now)
        default: return nil
        }
    }

    // MARK: The applier

    /// Bytes of the tables of blocks; the entries are in the slab.
    var tableBytes: Int { self.blocks.tableBytes }
    /// When a block of this time ends, in microseconds.
    func due(_ erasedAt: Int64) -> Int64 { self.blocks.due(erasedAt) }

    /// Blocks an identifier from `now` on; over the limit the oldest blocks of the project end
    /// early.
    ///
    /// - Parameter now: In microseconds since 1970; never before the time of an earlier call.
    func block(_ project: Project, _ identifier: IdentifierView, now: Int64) {
        let id = project.id
        let block = BlockList.Block(
            identifier: self.hash.identifierHash(id, identifier), erasedAt: now)
        // Several profiles of one person can list the same former device.
        guard
            self.blocks.blockedUntil(id, block.identifier, now: now) != self.blocks.end(of: block)
        else { return }
        self.blocks.append(block, to: project)
        self.addCount(1)
        while project.blocks.count > self.blocksMax { self.dropOldest(of: project) }
    }

    /// Drops blocks of a project that have ended at `now`, at most `most`, and returns how many.
    func dropPastDue(of project: Project, now: Int64, most: Int) -> Int {
        var dropped = 0
        while dropped < most, self.due(project.blocks.oldestTime) <= now {
            self.dropOldest(of: project)
            dropped += 1
        }
        return dropped
    }

    /// Drops blocks of whatever age, at most `most`, and returns how many.
    func drop(of project: Project, most: Int) -> Int {
        var dropped = 0
        while dropped < most, project.blocks.head != 0 {
            self.dropOldest(of: project)
            dropped += 1
        }
        return dropped
    }

    /// Notes that the record at `lsn` erased a person, or names an erased one and is in the log.
    func noteInLog(_ lsn: UInt64) {
        self.lastEraseLSNCell.store(lsn, ordering: .releasing)
    }

    /// Every block of a project, oldest first: for the digest.
    func forEach(of project: Project, _ body: (BlockList.Block) -> Void) {
        self.blocks.forEach(of: project, body)
    }

    private func dropOldest(of project: Project) {
        // A running snapshot that has not written the oldest block yet does so now.
        if self.snapshot.pointee.isActive,
            let cursor = self.snapshot.pointee.blocks[project], cursor.left > 0,
            cursor.next == project.blocks.head
        {
            _ = self.writeNext(of: project)
        }
        self.blocks.dropOldest(of: project)
        self.addCount(-1)
    }

    private func addCount(_ change: Int) {
        self.blockCountCell.store(
            self.blockCountCell.load(ordering: .relaxed) + change, ordering: .relaxed)
    }

    // MARK: Snapshots

    /// Writes the next blocks that a running snapshot still needs as one item, and returns its
    /// bytes; 0: all blocks are written.
    func writeNext() -> Int {
        guard let project = self.snapshot.pointee.blocks.next() else { return 0 }
        return self.writeNext(of: project)
    }

    private func writeNext(of project: Project) -> Int {
        guard var cursor = self.snapshot.pointee.blocks[project], cursor.left > 0 else {
            return 0
        }
        let written = self.snapshot.pointee.writeItem(.blocks) { buffer in
            buffer.append(project.id.rawValue)
            for _ in 0 ..< min(cursor.left, UInt64(SnapshotFormat.blocksPerItem)) {
                let (block, next) = self.blocks.entry(cursor.next)
                block.write(into: &buffer)
                cursor = SnapshotWork.ListCursor(next: next, left: cursor.left - 1)
            }
        }
        self.snapshot.pointee.blocks[project] = cursor
        return written
    }

    /// Adds the blocks of an item behind those of the project so far; `nil` if its bytes are
    /// malformed.
    ///
    /// - Returns: The number of blocks.
    func load(_ reader: inout ByteReader, of project: Project) -> Int? {
        var count = 0
        while reader.remaining > 0 {
            let block = BlockList.Block(from: &reader)
            guard !reader.overrun, SnapshotFormat.times.contains(block.erasedAt) else { return nil }
            self.blocks.append(block, to: project)
            count += 1
        }
        self.addCount(count)
        return project.blocks.count <= self.blocksMax ? count : nil
    }
}
