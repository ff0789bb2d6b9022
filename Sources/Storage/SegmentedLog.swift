import Bytes
import IOCore

/// The log of one data directory: segments of frames, one frame in flight, one write and one sync
/// each.
///
/// Used by the log thread. A failed write or sync is final (L8): the kernel may have dropped the
/// pages, so a second sync would prove nothing.
package final class SegmentedLog: SynchronousLog {
    package let epoch: UInt64 = 1
    package let metrics: LogMetrics
    package let preparer: SegmentPreparer

    private let files: SegmentFiles
    package let directoryID: DirectoryID
    private let seed: UInt32
    private let clock: any Clock
    private let options: LogOptions
    private var segmentBytes: Int { self.options.segmentBytes }
    private var file: any File
    private var segment: UInt64
    /// Where the next frame goes.
    private var offset: Int
    /// Whether the segment has its zeros up to its end, so that frames in it need no space.
    private var isFilled: Bool
    private var chain: Chain
    private var isPoisoned = false
    /// Whether the last frame written is a seal.
    package private(set) var endsWithSeal: Bool
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
        preparer: SegmentPreparer, segment: OpenSegment, chain: Chain
    ) {
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
        self.isFilled = ((try? segment.file.size()) ?? 0) >= options.segmentBytes
        self.chain = chain
    }

    /// The number that the next frame gets.
    package var nextFrameNumber: UInt64 { self.chain.nextFrame }

    /// - Complexity: One statvfs, and that only while no spare segment waits.
    package func headroom(isStopped: Bool) -> LogHeadroom {
        if self.preparer.isReady { return .high }
        let isAtEnd = self.segmentBytes - self.offset < self.options.reserveBytes
        // What is filled with zeros has its space already.
        if self.isFilled, !isAtEnd, !isStopped { return .middle }
        // A file system that cannot say how much it has will say so when it is written to.
        guard let free = try? self.files.fileSystem.freeBytes(self.files.directory) else {
            return .middle
        }
        let kept = self.preparer.keptBytes
        if free >= UInt64(self.options.headroomBytes + kept) { return .high }
        // A segment that grows takes what it has not yet from the same space.
        if !self.isFilled, free < UInt64(self.options.reserveBytes + kept) { return .low }
        return isAtEnd && free < UInt64(self.segmentBytes + kept) ? .low : .middle
    }

    package func append(_ contents: FrameContents) throws(StorageError) {
        // First: after a failed sync the place of the next frame is unknown, and so is what the
        // caller believes it to be.
        guard !self.isPoisoned else { throw .poisoned }
        precondition(contents.firstLSN == self.chain.nextLSN, "lsns have no gap")
        try self.write(.records, contents)
    }

    package func commit() throws(StorageError) -> UInt64 {
        guard !self.isPoisoned else { throw .poisoned }
        guard self.isSyncDue else { return self.chain.nextFrame - 1 }
        let start = self.clock.monotonicNanoseconds()
        do throws(IOError) {
            try self.file.sync()
        } catch {
            self.isPoisoned = true
            throw .io(error)
        }
        self.isSyncDue = false
        self.metrics.syncNanoseconds.record(self.clock.monotonicNanoseconds() - start)
        return self.chain.nextFrame - 1
    }

    package func seal(previousResultsDigest: UInt64) throws(StorageError) {
        try self.write(
            .seal,
            FrameContents(
                firstLSN: self.chain.nextLSN, operationCount: 0, receivedAt: 0, rulesVersion: 0,
                previousResultsDigest: previousResultsDigest,
                payload: UnsafeRawBufferPointer(start: nil, count: 0)))
        _ = try self.commit()
    }

    /// Ends the segment, so that a snapshot of the state as it is now makes everything before
    /// removable.
    ///
    /// The position is the beginning of a segment, which is durable with its name: the header
    /// before it is never written anew, and a log that does not reach the position is not whole.
    ///
    /// - Parameters: Of the last frame of records; they stand in the snapshot, for whoever goes on
    ///   behind it.
    /// - Throws: `.noSpace` if nothing was changed but perhaps a seal written: the log goes on.
    ///   `.poisoned` or `.io` as `append`.
    package func cut(
        receivedAt: Int64, previousResultsDigest: UInt64, rulesVersion: UInt32
    ) throws(StorageError) -> SnapshotPosition {
        guard !self.isPoisoned else { throw .poisoned }
        precondition(!self.isSyncDue, "commit comes before a cut")
        if self.offset > SegmentHeader.bytes {
            // A seal that does not fit would begin the next segment; that one's presence says as
            // much.
            if !self.endsWithSeal, self.offset + FrameHeader.bytes <= self.segmentBytes {
                try self.seal(previousResultsDigest: previousResultsDigest)
            }
            // The snapshot is what frees space: its segment is made where there is room for little
            // more than the snapshot.
            try self.roll(freeBytesMin: self.options.reserveBytes)
        }
        return SnapshotPosition(
            nextFrame: self.chain.nextFrame, nextLSN: self.chain.nextLSN,
            previousHeaderCRC: self.chain.previousHeaderCRC,
            receivedAt: receivedAt, rulesVersion: rulesVersion, resultsDigest: previousResultsDigest
        )
    }

    /// Closes the file; the caller seals first.
    package func close() {
        self.file.close()
    }

    private func write(_ kind: FrameKind, _ contents: FrameContents) throws(StorageError) {
        guard !self.isPoisoned else { throw .poisoned }
        // One frame in flight: the one before is durable, or this one could survive without it.
        precondition(!self.isSyncDue, "commit comes between two frames")
        precondition(contents.payload.count <= FrameHeader.payloadBytesMax, "a frame has a bound")
        var header = FrameHeader(
            kind: kind, segment: self.segment, number: self.chain.nextFrame,
            payloadBytes: contents.payload.count,
            operationCount: contents.operationCount, firstLSN: contents.firstLSN,
            receivedAt: contents.receivedAt,
            rulesVersion: contents.rulesVersion, previousHeaderCRC: self.chain.previousHeaderCRC,
            previousResultsDigest: contents.previousResultsDigest,
            payloadCRC: crc32c(contents.payload))
        // A seal must find its place also where there is no next segment: a start on a full disk
        // has nothing to copy then.
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
        self.isSyncDue = true
        self.metrics.wrote(operations: contents.operationCount, bytes: self.frame.count)
    }

    private func writeFrame() throws(StorageError) {
        do throws(IOError) {
            try self.file.write(self.frame.bytes, at: self.offset)
        } catch {
            guard error.kind == .noSpace, self.rollBack() else {
                self.isPoisoned = true
                throw .io(error)
            }
            throw .noSpace
        }
    }

    /// Undoes a frame that was written in part for want of space; false if that failed too.
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

    /// Goes on in the next segment: the prepared one, or one made now where the disk has at least
    /// so much room.
    private func roll(freeBytesMin: Int) throws(StorageError) {
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
            // replace what the old one got from here on.
            if error.kind == .noSpace, error.operation.description == "rename" {
                if next.isSpare { self.preparer.wakeForNext() }
                throw .noSpace
            }
            self.isPoisoned = true
            throw .io(error)
        }
        if next.isSpare { self.preparer.wakeForNext() }
        self.file.close()
        self.file = next.file
        self.segment = header.number
        self.offset = SegmentHeader.bytes
        self.isFilled = next.isSpare
        self.metrics.beganSegment()
    }

    /// A segment with its header, under its temporary name.
    private struct FinishedSegment {
        var file: any File
        var name: String
        var isSpare: Bool
    }

    private func finishedSegment(_ header: SegmentHeader, freeBytesMin: Int) throws(StorageError)
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
            // Nothing of a frame was written: the old segment stays the last one.
            if error.kind == .noSpace || error.kind == .tooManyOpenFiles { throw .noSpace }
            self.isPoisoned = true
            throw .io(error)
        }
    }

    /// Makes an empty file: the preparer was too slow, and the log must not wait for it.
    ///
    /// - Throws: `.noSpace` before anything is made where there is not so much room: for frames a
    ///   whole segment, or the reserve is gone (L9).
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
