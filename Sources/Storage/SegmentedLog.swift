import Bytes
import IOCore

/// The log of one data directory: segments of frames, one frame in flight, one write and one sync
/// each.
///
/// `append` writes the frame, `advance` syncs it: both block, but only in the file. A second frame
/// in flight would gain nothing here, since one fdatasync covers whatever was gathered meanwhile,
/// and would make a torn tail more than one frame long. Used by one thread. A failed write or sync
/// is final (L8): the kernel may have dropped the pages, so a second sync would prove nothing.
package final class SegmentedLog: CommandLog {
    package let leadership = Leadership.leading(epoch: 1)
    package let isReplicated = false
    package let framesInFlightMax = 1
    package let metrics: LogMetrics
    package let preparer: SegmentPreparer
    private var endFile: LogEndFile
    /// Examined before anything is acknowledged; `nil`: the caller keeps others away.
    private let lock: (any DirectoryLock)?
    /// When the lock was last examined; monotonic, in nanoseconds.
    private var heldAt: UInt64 = 0

    private let files: SegmentFiles
    package let directoryID: DirectoryID
    private let seed: UInt32
    private let clock: any Clock
    private let options: LogOptions
    private var segmentBytes: Int { self.options.segmentBytes }
    private var file: any File
    private var segment: UInt64
    /// Where the next frame is written.
    private var offset: Int
    /// Whether the segment is filled with zeros up to its end, so that frames in it need no space.
    private var isFilled: Bool
    private var chain: Chain
    /// Why the log has failed; final.
    package private(set) var failure: StorageError?
    /// Whether the last frame written is a seal.
    package private(set) var endsWithSeal: Bool
    /// Whether every frame is known to be durable from what is on disk: a seal, or a segment that
    /// begins behind the last frame, says so.
    private var isSealed: Bool
    private var isSyncDue = false
    private var frame = ByteBuffer(capacity: 64 << 10)
    /// Storage that the frame buffer keeps, in bytes.
    private static let frameBytesKept = 1 << 20

    /// What the next frame must continue.
    struct Chain: Equatable {
        var nextFrame: UInt64
        var nextLSN: UInt64
        var previousHeaderCRC: UInt32
    }

    /// The segment that is written to.
    struct OpenSegment {
        var file: any File
        var number: UInt64
        var offset: Int
        var endsWithSeal = false
    }

    init(
        files: SegmentFiles, directoryID: DirectoryID, clock: any Clock, options: LogOptions,
        metrics: LogMetrics,
        preparer: SegmentPreparer, lock: (any DirectoryLock)?, endFile: LogEndFile,
        segment: OpenSegment, chain: Chain
    ) {
        self.lock = lock
        self.endFile = endFile
        self.files = files
        self.directoryID = directoryID
        self.seed = directoryID.seed
        self.clock = clock
        self.options = options
        self.metrics = metrics
        self.preparer = preparer
        self.file = segment.file
        self.segment = segment.number
        self.offset = segment.offset
        self.endsWithSeal = segment.endsWithSeal
        self.isSealed = segment.endsWithSeal
        self.isFilled = ((try? segment.file.size()) ?? 0) >= options.segmentBytes
        self.chain = chain
    }

    /// The number that the next frame gets.
    package var nextFrameNumber: UInt64 { self.chain.nextFrame }
    /// The last lsn of the last frame.
    package var lastLSN: UInt64 { self.chain.nextLSN - 1 }

    /// - Complexity: One statvfs, and that only while no spare segment waits.
    package func headroom(isStopped: Bool) -> LogHeadroom {
        if self.preparer.isReady { return .high }
        let isAtEnd = self.segmentBytes - self.offset < self.options.reserveBytes
        // A segment filled with zeros has its space already.
        if self.isFilled, !isAtEnd, !isStopped { return .middle }
        // A file system that cannot say how much it has will say so when it is written to.
        guard let free = try? self.files.fileSystem.freeBytes(self.files.directory) else {
            return .middle
        }
        let kept = self.preparer.keptBytes
        if free >= UInt64(self.options.headroomBytes + kept) { return .high }
        // A segment that grows takes what it needs from the same space.
        if !self.isFilled, free < UInt64(self.options.reserveBytes + kept) { return .low }
        return isAtEnd && free < UInt64(self.segmentBytes + kept) ? .low : .middle
    }

    package func append(_ frame: LogFrame) throws(AppendError) -> UInt64 {
        // First: after a failed sync neither the offset of the next frame nor its lsn is known.
        guard self.failure == nil, self.isHeld(at: self.clock.monotonicNanoseconds()) else {
            throw .failed
        }
        precondition(frame.firstLSN == self.chain.nextLSN, "lsns have no gap")
        try self.write(.records, frame)
        return self.chain.nextFrame - 1
    }

    package func advance() -> LogEvent {
        guard self.failure == nil else { return .failed }
        guard self.isSyncDue else { return .pending(.whenWoken) }
        guard self.sync() else { return .failed }
        return .committed(through: self.chain.nextFrame - 1)
    }

    /// Makes what was written durable.
    private func sync() -> Bool {
        let start = self.clock.monotonicNanoseconds()
        self.metrics.setSyncing(true)
        defer { self.metrics.setSyncing(false) }
        do throws(IOError) {
            try self.file.sync()
        } catch {
            self.failure = .io(error)
            return false
        }
        self.isSyncDue = false
        let now = self.clock.monotonicNanoseconds()
        self.metrics.syncNanoseconds.record(now - start)
        // Before the frame is reported: a write to a directory that another server serves now must
        // not be acknowledged.
        return self.isHeld(at: now)
    }

    /// Looks whether the directory is still the one at its path, and only this process's; not more
    /// often than every `holdNanoseconds`.
    ///
    /// - Parameter now: Monotonic, in nanoseconds; `nil`: look at once.
    /// - Returns: False if it is not. The log has failed then.
    private func isHeld(at now: UInt64?) -> Bool {
        guard let lock = self.lock else { return true }
        if let now {
            guard now &- self.heldAt >= self.options.holdNanoseconds else { return true }
            self.heldAt = now
        }
        let hold = lock.examine()
        guard hold != .held else { return true }
        self.failure = .directoryLost(path: self.files.directory, hold)
        return false
    }

    package func rest(
        idleNanoseconds: UInt64, results: ResultsMark
    ) throws(AppendError) -> NextStep {
        guard self.failure == nil, self.isHeld(at: self.clock.monotonicNanoseconds()) else {
            throw .failed
        }
        guard !self.isSealed else { return self.atRest }
        guard idleNanoseconds >= self.options.idleSealNanoseconds else {
            return .after(nanoseconds: self.options.idleSealNanoseconds - idleNanoseconds)
        }
        try self.seal(results)
        try self.noteEnd(isSynced: false)
        return self.atRest
    }

    /// A sealed log has nothing to do but to look after its directory.
    private var atRest: NextStep {
        self.lock == nil ? .whenWoken : .after(nanoseconds: self.options.idleHoldNanoseconds)
    }

    /// Writes and syncs a seal: everything before it is durable, so that damage there can never be
    /// taken for a torn tail.
    private func seal(_ results: ResultsMark) throws(AppendError) {
        try self.write(
            .seal,
            LogFrame(
                firstLSN: self.chain.nextLSN, operationCount: 0, receivedAt: 0, rulesVersion: 0,
                results: results, payload: UnsafeRawBufferPointer(start: nil, count: 0)))
        guard self.sync() else { throw .failed }
        self.isSealed = true
    }

    /// Ends the segment, so that a snapshot of the state as it is now makes everything before
    /// removable.
    ///
    /// The position is the beginning of a segment, which is durable with its name: the header
    /// before it is never written anew, and a log that does not reach the position is incomplete.
    ///
    /// - Throws: `.noSpace` if nothing was changed, except that a seal may have been written.
    package func checkpoint(results: ResultsMark) throws(AppendError) -> LogPosition {
        guard self.failure == nil else { throw .failed }
        precondition(!self.isSyncDue, "no frame is in flight at a checkpoint")
        if self.offset > SegmentHeader.bytes {
            // A seal that does not fit would begin the next segment, whose presence says the same.
            if !self.endsWithSeal, self.offset + FrameHeader.bytes <= self.segmentBytes {
                try self.seal(results)
            }
            // The snapshot is what frees space: its segment may be made where there is space for
            // little more than the snapshot.
            try self.roll(freeBytesMin: self.options.reserveBytes)
            self.isSealed = true
        }
        return LogPosition(self.chain)
    }

    package func close(results: ResultsMark) {
        if self.failure == nil, !self.isSyncDue {
            do throws(AppendError) {
                if !self.isSealed { try self.seal(results) }
                try self.noteEnd(isSynced: true)
            } catch {
                // No response depends on a seal or a note: the next start treats the tail as
                // unsealed.
            }
        }
        self.closeFile()
    }

    /// Gives the file back and writes nothing more to it.
    package func closeFile() {
        self.file.close()
    }

    private func write(_ kind: FrameKind, _ contents: LogFrame) throws(AppendError) {
        // One frame in flight: the one before is durable, or this one could survive without it.
        precondition(!self.isSyncDue, "a frame is committed before the next one")
        // The format has no field for the frame that the digest belongs to.
        precondition(
            contents.results.lsn == contents.firstLSN - 1, "the digest is the last frame's")
        precondition(contents.payload.count <= FrameHeader.payloadBytesMax, "a frame has a bound")
        var header = FrameHeader(
            kind: kind, segment: self.segment, number: self.chain.nextFrame,
            payloadBytes: contents.payload.count,
            operationCount: contents.operationCount, firstLSN: contents.firstLSN,
            receivedAt: contents.receivedAt,
            rulesVersion: contents.rulesVersion, previousHeaderCRC: self.chain.previousHeaderCRC,
            previousResultsDigest: contents.results.digest,
            payloadCRC: crc32c(contents.payload))
        // A seal must fit also where there is no next segment: a start on a full disk has nothing
        // to copy then.
        let sealBytes = kind == .seal ? 0 : FrameHeader.bytes
        if self.offset + header.totalBytes + sealBytes > self.segmentBytes,
            self.offset > SegmentHeader.bytes
        {
            try self.roll(freeBytesMin: self.segmentBytes + self.preparer.keptBytes)
            header.segment = self.segment
        }
        self.frame.removeAll()
        self.frame.shrink(toCapacity: Self.frameBytesKept)
        let crc = header.write(into: &self.frame, seed: self.seed)
        self.frame.append(contents.payload)
        self.frame.pad(to: FrameHeader.alignmentBytes)
        try self.writeFrame()
        self.offset += self.frame.count
        self.chain = Chain(
            nextFrame: header.number + 1,
            nextLSN: contents.firstLSN + UInt64(contents.operationCount),
            previousHeaderCRC: crc)
        self.endsWithSeal = kind == .seal
        self.isSealed = false
        self.isSyncDue = true
        self.metrics.wrote(operations: contents.operationCount, bytes: self.frame.count)
    }

    private func writeFrame() throws(AppendError) {
        do throws(IOError) {
            try self.file.write(self.frame.bytes, at: self.offset)
        } catch {
            guard error.kind == .noSpace, self.rollBack() else {
                throw self.fail(error)
            }
            throw .noSpace
        }
    }

    private func fail(_ error: IOError) -> AppendError {
        self.failure = .io(error)
        return .failed
    }

    /// Cuts off a frame that was written in part for want of space; false if that failed too.
    private func rollBack() -> Bool {
        self.isFilled = false
        do throws(IOError) {
            try self.file.truncate(to: self.offset)
            try self.file.sync()
            return true
        } catch {
            return false
        }
    }

    /// Continues in the next segment: the prepared one, or one made now if the disk has at least so
    /// much free space.
    private func roll(freeBytesMin: Int) throws(AppendError) {
        guard self.isHeld(at: nil) else { throw .failed }
        let header = SegmentHeader(
            directoryID: self.directoryID, number: self.segment + 1,
            firstFrame: self.chain.nextFrame,
            firstLSN: self.chain.nextLSN, previousHeaderCRC: self.chain.previousHeaderCRC)
        let next = try self.finishedSegment(header, freeBytesMin: freeBytesMin)
        do throws(IOError) {
            try self.files.name(next.name, as: header.number)
            try self.files.syncNames()
        } catch {
            next.file.close()
            // A rename that fails leaves the new name unaffected (POSIX, rename). Once it is done,
            // not even want of space is harmless: the new segment may have its name, and would then
            // supersede what the old one gets from here on.
            if error.kind == .noSpace, error.operation.description == "rename" {
                if next.isSpare { self.preparer.wakeForNext() }
                throw .noSpace
            }
            throw self.fail(error)
        }
        if next.isSpare { self.preparer.wakeForNext() }
        self.preparer.leave(self.file)
        self.file = next.file
        self.segment = header.number
        self.offset = SegmentHeader.bytes
        self.isFilled = next.isSpare
        self.metrics.beganSegment()
        try self.noteEnd(isSynced: true)
    }

    /// Notes how far the log has come, now that all of it is durable.
    private func noteEnd(isSynced: Bool) throws(AppendError) {
        do throws(IOError) {
            try self.endFile.note(
                self.directoryID, segment: self.segment, self.chain, isSynced: isSynced)
        } catch {
            throw self.fail(error)
        }
    }

    /// A segment with its header, under its temporary name.
    private struct FinishedSegment {
        var file: any File
        var name: String
        var isSpare: Bool
    }

    private func finishedSegment(_ header: SegmentHeader, freeBytesMin: Int) throws(AppendError)
        -> FinishedSegment
    {
        let spare = self.preparer.take()
        var file: (any File)?
        do throws(IOError) {
            let name: String
            if let spare {
                (file, name) = (spare.file, spare.name)
            } else {
                name = SegmentFiles.name(of: header.number) + SegmentFiles.temporarySuffix
                file = try self.makeFile(name, freeBytesMin: freeBytesMin)
            }
            guard let file else { preconditionFailure("a segment has a file") }
            try self.files.finish(file, header: header)
            return FinishedSegment(file: file, name: name, isSpare: spare != nil)
        } catch {
            file?.close()
            if spare != nil { self.preparer.wakeForNext() }
            // Nothing of a frame was written, so the old segment remains the last one.
            if error.kind == .noSpace || error.kind == .tooManyOpenFiles { throw .noSpace }
            throw self.fail(error)
        }
    }

    /// Makes an empty file: the preparer was too slow, and the log must not wait for it.
    ///
    /// - Throws: `.noSpace` before anything is made if there is less space: frames need a whole
    ///   segment, or the reserve is gone (L9).
    private func makeFile(_ name: String, freeBytesMin: Int) throws(IOError) -> any File {
        let files = self.files
        if try files.fileSystem.list(files.directory).contains(name) {
            try files.fileSystem.remove(files.path(name))
        }
        guard try files.fileSystem.freeBytes(files.directory) >= UInt64(freeBytesMin) else {
            throw IOError(.noSpace, operation: "statvfs", subject: files.directory, code: 0)
        }
        return try files.fileSystem.open(files.path(name), .create)
    }
}
