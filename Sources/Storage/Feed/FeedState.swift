/// What the feed has in memory and in files; kept under its lock.
///
/// Positions are lsns. What is in files ends where memory begins, or overlaps with it:
/// ```
/// earliest ... segments ... syncedThrough ... writtenThrough ... head
///                       blocks[0] ......................... blocks.last
/// ```
struct FeedState: Sendable {
    var blocks: [HeldBlock] = []
    private var nextNumber: UInt64 = 1
    /// In ascending order.
    var segments: [FeedSegment] = []
    /// Names of segments that are in use no more, for the writer to remove.
    var discarded: [UInt64] = []
    /// The feed is whole from here on.
    var earliest: UInt64 = 1
    /// The last operation of the last frame, whether it has changed anything or not.
    var head: UInt64 = 0
    /// Of the last frame that has changed something.
    var lastChange: UInt64 = 0
    var writtenThrough: UInt64 = 0
    var syncedThrough: UInt64 = 0
    /// In memory only.
    var unsyncedBytes = 0
    /// Storage of all blocks.
    var heldBytes = 0
    /// Why readers have lost something, until the operator is told.
    var lossReason: String?
    /// Whether the log waits for less unsynced bytes.
    var isHeadroomAwaited = false

    /// The position behind the last block of a segment.
    private func end(ofSegment index: Int) -> UInt64 {
        if index + 1 < self.segments.count { return self.segments[index + 1].firstLSN }
        return self.writtenThrough + 1
    }

    /// The position up to which a segment is read: what is in memory is never read from a file.
    func limit(ofSegment index: Int) -> UInt64 {
        min(self.end(ofSegment: index), self.blocks.first?.firstLSN ?? .max)
    }

    var segmentBytes: Int { self.segments.reduce(0) { $0 + $1.bytes } }

    // MARK: The log's side

    /// Makes sure that the last block has space for a frame.
    ///
    /// - Returns: Whether the block before it is full now.
    mutating func makeSpace(
        bytes: Int, at: Int64, options: FeedOptions, memory: FeedMemory
    ) -> Bool {
        if let last = self.blocks.last, last.end + bytes <= last.block.capacity,
            abs(at - last.oldestAt) <= options.segmentMicrosecondsMax
        {
            return false
        }
        self.add(
            FeedBlock(capacity: max(bytes, options.blockBytes), from: memory),
            from: self.blocks.isEmpty ? self.writtenThrough + 1 : self.head + 1, at: at)
        return self.blocks.count > 1
    }

    mutating func add(_ block: FeedBlock, from first: UInt64, at: Int64) {
        self.blocks.append(
            HeldBlock(
                block: block, number: self.nextNumber, firstLSN: first, lastLSN: first,
                oldestAt: at))
        self.nextNumber += 1
        self.heldBytes += block.capacity
    }

    /// Counts a frame that was written to the last block.
    mutating func publish(bytes: Int, lastLSN: UInt64, at: Int64) {
        let last = self.blocks.count - 1
        self.blocks[last].end += bytes
        self.blocks[last].lastLSN = lastLSN
        self.blocks[last].unwrittenOldestAt = min(at, self.blocks[last].unwrittenOldestAt ?? at)
        self.unsyncedBytes += bytes
        self.head = lastLSN
        self.lastChange = lastLSN
    }

    // MARK: The writer's side

    /// Takes what is to be written next.
    ///
    /// - Parameter partial: Whether a block that is not full is written, too.
    mutating func takeRange(partial: Bool) -> FeedRange? {
        guard let index = self.blocks.firstIndex(where: { $0.written < $0.end }) else { return nil }
        let isLast = index == self.blocks.count - 1
        guard partial || !isLast else { return nil }
        let range = FeedRange(
            self.blocks[index], from: self.writtenThrough + 1,
            through: isLast ? self.head : self.blocks[index + 1].firstLSN - 1)
        self.blocks[index].didTakeUnwritten()
        return range
    }

    mutating func didWrite(_ range: FeedRange, bytes: Int) {
        if let index = self.blocks.firstIndex(where: { $0.number == range.number }) {
            self.blocks[index].written = range.offsets.upperBound
        }
        self.writtenThrough = max(self.writtenThrough, range.throughLSN)
        if !self.segments.isEmpty { self.segments[self.segments.count - 1].bytes += bytes }
    }

    /// Everything that was written is durable.
    mutating func didSync() {
        for index in self.blocks.indices {
            let bytes = self.blocks[index].written - self.blocks[index].synced
            self.unsyncedBytes -= bytes
            self.blocks[index].synced = self.blocks[index].written
            self.blocks[index].unsyncedOldestAt = nil
        }
        self.syncedThrough = self.writtenThrough
    }

    /// What is not synced is as if it had never been written.
    ///
    /// - Parameter syncedBytes: Of the last segment; `nil`: it was not written to.
    mutating func revert(syncedBytes: Int?) {
        for index in self.blocks.indices { self.blocks[index].revert() }
        self.writtenThrough = self.syncedThrough
        guard let syncedBytes, !self.segments.isEmpty else { return }
        self.segments[self.segments.count - 1].bytes = syncedBytes
    }

    /// Drops the oldest blocks that are durable, down to a number of bytes; never the last one.
    mutating func evict(to bytes: Int) {
        while self.heldBytes > bytes, self.blocks.count > 1, self.blocks[0].unsyncedBytes == 0 {
            self.dropFirstBlock()
        }
    }

    private mutating func dropFirstBlock() {
        let held = self.blocks.removeFirst()
        self.heldBytes -= held.block.capacity
        self.unsyncedBytes -= held.unsyncedBytes
    }

    // MARK: The beginning

    /// Forgets what is before a position.
    mutating func raise(to lsn: UInt64) {
        self.earliest = max(self.earliest, lsn)
        while let first = self.blocks.first, first.lastLSN < self.earliest, first.unsyncedBytes == 0
        {
            self.dropFirstBlock()
        }
    }

    /// Removes the oldest segment from the table.
    mutating func discardFirstSegment() {
        let end = self.end(ofSegment: 0)
        // What only this file has need not be synced any more.
        if self.segments.count == 1 { self.didSync() }
        self.discarded.append(self.segments.removeFirst().firstLSN)
        self.raise(to: end)
    }

    /// Begins anew behind the files, and behind the oldest of what is in memory only, so that no
    /// more than `bytes` of it are left.
    ///
    /// - Parameter bytes: 0: everything goes.
    mutating func beginAnew(keeping bytes: Int) {
        self.discarded += self.segments.map(\.firstLSN)
        self.segments = []
        for index in self.blocks.indices {
            self.unsyncedBytes += self.blocks[index].synced
            self.blocks[index].synced = 0
            self.blocks[index].revert()
            self.blocks[index].unwrittenOldestAt = self.blocks[index].oldestAt
        }
        while !self.blocks.isEmpty, self.unsyncedBytes > bytes { self.dropFirstBlock() }
        let first = self.blocks.first?.firstLSN ?? self.head + 1
        self.earliest = max(self.earliest, first)
        self.writtenThrough = first - 1
        self.syncedThrough = first - 1
    }
}
