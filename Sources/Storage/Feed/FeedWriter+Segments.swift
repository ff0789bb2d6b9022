import Bytes
import IOCore

extension FeedWriter {
    /// Writes one block to the segment that takes it.
    func write(_ range: FeedRange) throws(IOError) {
        let options = self.feed.options
        let payload = range.bytes
        let oldestAt = range.oldestAt ?? self.clock.wallMicroseconds()
        let bytes = FeedBlockHeader.bytes + payload.count
        try self.makeSpace(for: bytes)
        if let current = self.current,
            current.bytes > FeedSegmentHeader.bytes
                && current.bytes + bytes > options.segmentBytes
                || oldestAt - current.oldestAt >= options.segmentMicrosecondsMax
                || current.oldestAt - oldestAt > FeedOptions.backMicrosecondsMax
        {
            // A closed segment is durable: then only the last one can be cut by a power failure.
            try self.sync()
            self.closeCurrent()
        }
        try self.beginSegment(at: range.firstLSN, oldestAt: oldestAt)
        guard var current = self.current else { return }
        let header = FeedBlockHeader(
            payloadBytes: payload.count, firstLSN: range.firstLSN, throughLSN: range.throughLSN,
            oldestAt: oldestAt, payloadCRC: crc32c(payload, continuing: current.seed))
        self.pieces.removeAll()
        header.write(into: &self.pieces, seed: current.seed)
        try current.file.write(self.pieces.bytes, at: current.bytes)
        if payload.count > 0 {
            try current.file.write(payload, at: current.bytes + FeedBlockHeader.bytes)
        }
        current.bytes += bytes
        self.current = current
        self.feed.change { $0.didWrite(range, bytes: bytes) }
        self.feed.metrics.wroteBlock()
    }

    /// Makes a segment if none is open. It gets its name, which may replace that of one that was
    /// cut or has failed, only when its header is synced.
    private func beginSegment(at lsn: UInt64, oldestAt: Int64) throws(IOError) {
        guard self.current == nil else { return }
        let header = FeedSegmentHeader(
            directoryID: self.feed.directoryID, firstLSN: lsn, oldestAt: oldestAt)
        let temporary = FeedFiles.temporaryName(of: lsn)
        try self.files.remove(temporary)
        let file = try self.files.fileSystem.open(self.files.path(temporary), .create)
        do throws(IOError) {
            self.pieces.removeAll()
            header.write(into: &self.pieces)
            try file.write(self.pieces.bytes, at: 0)
            try file.sync()
            try self.files.fileSystem.rename(
                self.files.path(temporary), to: self.files.path(FeedFiles.name(of: lsn)))
        } catch {
            file.close()
            self.leftovers.append(temporary)
            throw error
        }
        self.hasNewNames = true
        self.leftovers.removeAll { $0 == FeedFiles.name(of: lsn) }
        self.current = Current(
            file: file, firstLSN: lsn, seed: header.seed, oldestAt: oldestAt)
        let expiresAt = self.feed.options.expiry(
            of: oldestAt, wall: self.clock.wallMicroseconds(),
            now: self.clock.monotonicNanoseconds())
        self.feed.change { state in
            state.segments.removeAll { $0.firstLSN == lsn }
            state.segments.append(
                FeedSegment(
                    firstLSN: lsn, bytes: FeedSegmentHeader.bytes, oldestAt: oldestAt,
                    expiresAt: expiresAt))
        }
    }

    /// Makes everything that was written durable, names included. Segments that are closed are.
    func sync() throws(IOError) {
        if let current = self.current, current.bytes > current.syncedBytes {
            try current.file.sync()
            // Readers near the head have these blocks in memory. A day of them would push
            // everything else out of the page cache, and take a fresh page for every 4 KiB.
            current.file.dropCache()
            self.current?.syncedBytes = current.bytes
        }
        try self.syncNames()
        self.feed.change { state in
            state.didSync()
            state.evict(to: self.feed.options.memoryBytes)
        }
    }

    func syncNames() throws(IOError) {
        guard self.hasNewNames else { return }
        try self.files.fileSystem.syncDirectory(self.files.directory)
        self.hasNewNames = false
    }

    // MARK: Removal

    /// Leaves the last space of the disk to the log and the next snapshot: the oldest segments
    /// yield to the newest changes.
    private func makeSpace(for bytes: Int) throws(IOError) {
        let wanted = UInt64(bytes + self.feed.options.reserveBytes) + self.keptBytes()
        while let free = try? self.files.fileSystem.freeBytes(self.files.directory), free < wanted {
            guard self.feed.look({ $0.segments.count }) > 1 else {
                throw IOError(
                    .noSpace, operation: "statvfs", subject: self.files.directory, code: 0)
            }
            try self.removeFirstSegment()
        }
    }

    /// Removes the oldest segment if its age, the bytes of all, or a gap behind it say so.
    ///
    /// - Returns: Whether there may be another one.
    func removeSuperfluous(now: UInt64) throws(IOError) -> Bool {
        let options = self.feed.options
        let wall = self.clock.wallMicroseconds()
        let isSuperfluous = self.feed.look { state -> Bool in
            guard let first = state.segments.first else { return false }
            // By both clocks: the one may be set back, the other stands still in a suspended
            // machine.
            if now >= first.expiresAt || wall - first.oldestAt >= options.ageMicrosecondsMax {
                return true
            }
            guard state.segments.count > 1 else { return false }
            return state.segmentBytes > options.bytesMax
                || state.segments[1].firstLSN <= state.earliest
        }
        guard isSuperfluous else { return false }
        try self.removeFirstSegment()
        return true
    }

    /// Removes the oldest segment, durably. Whoever reads it goes on with what it has read.
    private func removeFirstSegment() throws(IOError) {
        let lsn = self.feed.change { state -> UInt64? in
            guard !state.segments.isEmpty else { return nil }
            state.discardFirstSegment()
            return state.discarded.popLast()
        }
        guard let lsn else { return }
        if self.current?.firstLSN == lsn { self.closeCurrent() }
        let name = FeedFiles.name(of: lsn)
        self.leftovers.append(name)
        try self.files.remove(name)
        self.hasNewNames = true
        try self.syncNames()
        self.leftovers.removeAll { $0 == name }
    }
}
