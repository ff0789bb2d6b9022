import Bytes

// SAFETY: records of projects stay at their places until the store ends; `snapshotIndex` is the
// applier's alone, which makes the blocks.

/// The progress of a running snapshot, and its blocks that await the writer.
///
/// The store keeps changing meanwhile. A profile that is about to change and is not written yet is
/// written before it changes, and so is an entry of a list before it is removed. Hence every item
/// shows the lsn at which the snapshot began, and no copy is kept in memory: pre-images go into the
/// stream.
struct SnapshotWork: ~Copyable {
    /// What is written next; the cases follow each other.
    enum Phase {
        case suppressions
        case requests
        case merges
        case blocks
        case keys
        case triggers
        case profiles
        case end
    }

    private(set) var isActive = false
    /// The lsn of the state that is written.
    private(set) var lsn: UInt64 = 0
    /// Of this snapshot among those of the process; entries that were written out of their turn
    /// have it. 0: none was begun.
    private(set) var number: UInt32 = 0
    var phase = Phase.suppressions
    /// The block that items are appended to.
    private var block = SnapshotBlock()
    /// Full blocks that were not taken yet, oldest first.
    private var full: [SnapshotBlock] = []
    /// Bytes of `full`.
    private(set) var fullBytes = 0
    /// Whether the last block is full and everything is in one.
    private(set) var isComplete = false
    var requests = ListCursors()
    var merges = ListCursors()
    var blocks = ListCursors()
    /// Shards of the suppression table that are written: bit `1 << shard`.
    var suppressionsWritten: UInt64 = 0
    private var profiles = ProfileCursor()

    /// How far a list is written: its next entry, and the number of entries that are left.
    struct ListCursor {
        var next: Handle = 0
        var left: UInt64 = 0
    }

    /// How far one list of each project is written; projects that came later have none.
    struct ListCursors {
        /// In the order of `Project.snapshotIndex`, which the snapshot gives.
        private var projects: [Project] = []
        private var cursors: [ListCursor] = []
        /// Those before it are written.
        private var first = 0

        init() {}

        init(_ projects: [Project], _ list: (Project) -> EntryList) {
            self.projects = projects
            self.cursors = projects.map {
                let list = list($0)
                return ListCursor(next: list.head, left: list.count)
            }
        }

        subscript(project: Project) -> ListCursor? {
            get {
                let index = project.record.pointee.snapshotIndex
                return index < self.cursors.count ? self.cursors[index] : nil
            }
            set {
                guard let newValue else { return }
                self.cursors[project.record.pointee.snapshotIndex] = newValue
            }
        }

        /// A project of whose list something is left to write; `nil`: of none.
        mutating func next() -> Project? {
            while self.first < self.cursors.count, self.cursors[self.first].left == 0 {
                self.first += 1
            }
            return self.first < self.cursors.count ? self.projects[self.first] : nil
        }

        /// Entries that are left, of all projects; for tests.
        var left: UInt64 { self.cursors.reduce(0) { $0 + $1.left } }
    }

    /// Which profiles are written: those before the cursor, and those whose bit is set.
    private struct ProfileCursor {
        var shard = 0
        var slot = 0
        /// Profiles of each shard when the snapshot began.
        var counts = [Int](repeating: 0, count: Shards.count)
        /// One bit for each of them, shard by shard, from `firstWords[shard]` on.
        var early: [UInt64] = []
        var firstWords = [Int](repeating: 0, count: Shards.count)
    }

    /// Begins: `counts` are the profiles of each shard.
    mutating func begin(lsn: UInt64, counts: [Int], projects: [Project]) {
        precondition(!self.isActive, "one snapshot at a time")
        self.isActive = true
        self.lsn = lsn
        self.number &+= 1
        self.phase = .suppressions
        self.isComplete = false
        self.suppressionsWritten = 0
        for (index, project) in projects.enumerated() {
            project.record.pointee.snapshotIndex = index
        }
        self.requests = ListCursors(projects) { $0.requests.entries }
        self.merges = ListCursors(projects) { $0.merges }
        self.blocks = ListCursors(projects) { $0.blocks }
        self.profiles = ProfileCursor()
        self.profiles.counts = counts
        var words = 0
        for shard in 0 ..< Shards.count {
            self.profiles.firstWords[shard] = words
            words += (counts[shard] + 63) / 64
        }
        self.profiles.early = [UInt64](repeating: 0, count: words)
    }

    /// Ends the snapshot and drops blocks that were not taken.
    mutating func end() {
        self.isActive = false
        self.block = SnapshotBlock()
        self.full.removeAll()
        self.fullBytes = 0
        self.profiles = ProfileCursor()
        (self.requests, self.merges, self.blocks) = (ListCursors(), ListCursors(), ListCursors())
    }

    // MARK: Blocks

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
        if block.buffer.count >= SnapshotFormat.blockBytes { self.closeBlock() }
        return bytes
    }

    /// Closes the last block.
    mutating func complete() {
        self.closeBlock()
        self.isComplete = true
    }

    private mutating func closeBlock() {
        self.full.append(self.block)
        self.fullBytes += self.block.buffer.count
        self.block = SnapshotBlock()
    }

    /// The oldest full block.
    mutating func takeBlock() -> SnapshotBlock? {
        guard !self.full.isEmpty else { return nil }
        let block = self.full.removeFirst()
        self.fullBytes -= block.buffer.count
        return block
    }

    // MARK: Profiles

    /// Whether a profile must be written before it changes.
    func owes(_ profile: ProfileRef) -> Bool {
        let (shard, slot) = (profile.shard, profile.slot)
        guard slot < self.profiles.counts[shard] else { return false }
        guard
            shard > self.profiles.shard
                || (shard == self.profiles.shard && slot >= self.profiles.slot)
        else { return false }
        return self.profiles.early[self.profiles.firstWords[shard] + slot / 64] & 1
            << UInt64(slot % 64) == 0
    }

    /// Notes that a profile was written out of its turn.
    mutating func wroteEarly(_ profile: ProfileRef) {
        let word = self.profiles.firstWords[profile.shard] + profile.slot / 64
        self.profiles.early[word] |= 1 << UInt64(profile.slot % 64)
    }

    /// The next profile in turn that is not written, which counts as written from now on; `nil`:
    /// all are.
    mutating func nextProfile() -> ProfileRef? {
        while self.profiles.shard < Shards.count {
            guard self.profiles.slot < self.profiles.counts[self.profiles.shard] else {
                self.profiles.shard += 1
                self.profiles.slot = 0
                continue
            }
            let profile = ProfileRef(shard: self.profiles.shard, slot: self.profiles.slot)
            let isOwed = self.owes(profile)
            self.profiles.slot += 1
            if isOwed { return profile }
        }
        return nil
    }
}
