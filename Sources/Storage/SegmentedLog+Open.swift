import Bytes
import IOCore

extension SegmentedLog {
    /// Makes the directory where it is missing and takes its lock, which must be held as long as
    /// the log is used (L14).
    package static func lock(_ environment: LogEnvironment) throws(StorageError)
        -> any DirectoryLock
    {
        try Recovery.storage { () throws(IOError) in
            try environment.fileSystem.lockDirectory(environment.directory)
        }
    }

    /// Opens the log of a locked directory: creates it when empty, else loads the newest whole
    /// snapshot and the log behind it, then makes what was read durable.
    ///
    /// Before this returns, everything that `target` was given is on stable storage (L21): the
    /// frames since the last seal are written to a new segment and synced, because after a kill the
    /// page cache can hold what the disk does not.
    ///
    /// - Parameters:
    ///   - genesis: Makes the first frame of an empty directory; the target gets it like any other.
    ///   - target: Takes the blocks of a snapshot and the frames of records.
    /// - Throws: Before anything is changed, if the log is damaged, foreign, newer, or rejected by
    ///   the target.
    /// - Complexity: O(bytes of the snapshot and of the log behind it).
    package static func open(
        _ environment: LogEnvironment, genesis: () -> LogGenesis, target: any RecoveryTarget
    ) throws(StorageError) -> (log: SegmentedLog, report: RecoveryReport) {
        let files = SegmentFiles(
            fileSystem: environment.fileSystem, directory: environment.directory)
        let names = try Recovery.storage { () throws(IOError) in
            try files.fileSystem.list(files.directory)
        }
        guard
            var recovery = try Recovery.read(
                files, names, accepting: environment.options.acceptedEndLSN, into: target)
        else {
            return try Self.create(
                environment, files, names, genesis: genesis(), target: target)
        }
        // A process killed between a rename and the sync of the directory leaves a name that only
        // the system's memory has. A newer segment beside it could otherwise outlive it.
        try Recovery.storage { () throws(IOError) in
            try files.fileSystem.syncDirectory(files.directory)
        }
        recovery.report.temporaryFilesRemoved = try Self.removeTemporaryFiles(files, names)
        let segment = try Self.settle(&recovery, environment)
        let log = try Self.make(
            environment, files, recovery.directoryID, segment, recovery.end.chain)
        return (log, recovery.report)
    }

    /// Everything that a start of this directory would read and refuse, and nothing that it would
    /// change.
    ///
    /// The caller holds the lock, or a server may be writing.
    ///
    /// - Returns: `nil` if there is no log and no snapshot.
    /// - Throws: As `open`.
    package static func inspect(
        _ environment: LogEnvironment, target: any RecoveryTarget
    ) throws(StorageError) -> RecoveryReport? {
        let files = SegmentFiles(
            fileSystem: environment.fileSystem, directory: environment.directory)
        let names = try Recovery.storage { () throws(IOError) in
            try files.fileSystem.list(files.directory)
        }
        return try Recovery.read(
            files, names, accepting: environment.options.acceptedEndLSN, into: target)?.report
    }

    private static func create(
        _ environment: LogEnvironment, _ files: SegmentFiles, _ names: [String],
        genesis: LogGenesis, target: any RecoveryTarget
    ) throws(StorageError) -> (log: SegmentedLog, report: RecoveryReport) {
        var report = RecoveryReport()
        report.temporaryFilesRemoved = try Self.removeTemporaryFiles(files, names)
        // The first segment gets its name only with the first frame in it: a directory is never
        // without its genesis.
        let header = SegmentHeader(
            directoryID: genesis.directoryID, number: 1, firstFrame: 1, firstLSN: 1,
            previousHeaderCRC: 0)
        var frames = ByteBuffer()
        let writer = FrameCopier(segment: 1, seed: genesis.directoryID.seed)
        let chain = writer.write(
            genesis.frame, kind: .records,
            after: Chain(nextFrame: 1, nextLSN: 1, previousHeaderCRC: 0), into: &frames)
        let bytes = frames.bytes
        let file = try Self.makeSegment(
            header, in: files, segmentBytes: environment.options.segmentBytes
        ) {
            file throws(StorageError) in
            try Recovery.storage { () throws(IOError) in
                try file.write(bytes, at: SegmentHeader.bytes)
            }
        }
        guard target.replay(ReplayedFrame(genesis.frame, number: 1)) else {
            throw .replayRejected(lsn: 1)
        }
        report.segments = 1
        report.frames = 1
        report.operations = UInt64(genesis.frame.operationCount)
        let segment = OpenSegment(file: file, number: 1, offset: SegmentHeader.bytes + frames.count)
        return (try Self.make(environment, files, genesis.directoryID, segment, chain), report)
    }

    /// Makes the end of the log durable and clean: continues behind a seal, else copies the tail
    /// since the last seal into a new segment.
    private static func settle(
        _ recovery: inout Recovery, _ environment: LogEnvironment
    ) throws(StorageError) -> OpenSegment {
        let files = recovery.files
        if recovery.isSealed { return try Self.reopen(recovery) }
        try Self.setTornTailAside(&recovery, environment.options)
        let header = SegmentHeader(
            directoryID: recovery.directoryID, number: recovery.end.segment + 1,
            firstFrame: recovery.sealed.chain.nextFrame, firstLSN: recovery.sealed.chain.nextLSN,
            previousHeaderCRC: recovery.sealed.chain.previousHeaderCRC)
        var end = recovery.end
        let file = try Self.makeSegment(
            header, in: files, segmentBytes: environment.options.segmentBytes
        ) {
            file throws(StorageError) in
            end = try Self.copyTail(&recovery, into: file, segment: header.number)
        }
        recovery.end.chain = end.chain
        try Self.removeSuperseded(recovery)
        return OpenSegment(file: file, number: header.number, offset: end.offset)
    }

    /// Goes on behind a seal.
    ///
    /// Every frame before it was synced before it was written, but the seal itself may be in the
    /// page cache only, and after a failed sync no later one would write it: a frame behind it
    /// would then follow a hole. So it is written once more (L21).
    private static func reopen(_ recovery: Recovery) throws(StorageError) -> OpenSegment {
        let files = recovery.files
        let seal = recovery.sealed.offset - FrameHeader.bytes
        let file = try Recovery.storage { () throws(IOError) in
            let file = try files.fileSystem.open(
                files.path(SegmentFiles.name(of: recovery.end.segment)), .update)
            do throws(IOError) {
                var bytes = ByteBuffer(capacity: FrameHeader.bytes)
                bytes.truncate(
                    to: try file.read(into: bytes.appendUninitialized(FrameHeader.bytes), at: seal))
                try file.write(bytes.bytes, at: seal)
                try file.sync()
            } catch {
                file.close()
                throw error
            }
            return file
        }
        return OpenSegment(
            file: file, number: recovery.end.segment, offset: recovery.end.offset,
            endsWithSeal: true)
    }

    /// Makes a segment full of zeros, lets `body` write its first frames, syncs it, and gives it
    /// its name.
    private static func makeSegment(
        _ header: SegmentHeader, in files: SegmentFiles, segmentBytes: Int,
        _ body: (any File) throws(StorageError) -> Void
    ) throws(StorageError) -> any File {
        let name = SegmentFiles.name(of: header.number) + SegmentFiles.temporarySuffix
        let file = try Recovery.storage { () throws(IOError) in
            try files.fileSystem.open(files.path(name), .create)
        }
        do throws(StorageError) {
            try Recovery.storage { () throws(IOError) in
                try Self.fillWithinSpace(file, upTo: segmentBytes)
            }
            try body(file)
            try Recovery.storage { () throws(IOError) in
                try files.finish(file, header: header)
            }
        } catch {
            file.close()
            // A rejected start leaves nothing behind. What cannot be removed goes at the next one.
            try? files.fileSystem.remove(files.path(name))
            throw error
        }
        do throws(StorageError) {
            try Recovery.storage { () throws(IOError) in
                try files.publish(named: name, as: header.number)
            }
            return file
        } catch {
            file.close()
            throw error
        }
    }

    /// Fills a new file with zeros, or leaves it empty where the disk has no space for them: a full
    /// disk must not keep a start from serving reads, and the frames to be copied take less.
    private static func fillWithinSpace(_ file: any File, upTo bytes: Int) throws(IOError) {
        do throws(IOError) {
            try Self.fill(file, upTo: bytes)
        } catch {
            guard error.kind == .noSpace else { throw error }
            try file.truncate(to: 0)
        }
    }

    private static func removeTemporaryFiles(_ files: SegmentFiles, _ names: [String])
        throws(StorageError) -> Int
    {
        let temporary = names.filter { $0.hasSuffix(SegmentFiles.temporarySuffix) }
        try Recovery.storage { () throws(IOError) in
            for name in temporary { try files.fileSystem.remove(files.path(name)) }
        }
        return temporary.count
    }

    /// Notes the end, which is durable by now, and makes the log.
    private static func make(
        _ environment: LogEnvironment, _ files: SegmentFiles, _ directoryID: DirectoryID,
        _ segment: OpenSegment,
        _ chain: Chain
    ) throws(StorageError) -> SegmentedLog {
        let endFile: LogEndFile
        do throws(StorageError) {
            endFile = try Recovery.storage { () throws(IOError) in
                var endFile = try LogEndFile(files)
                try endFile.note(
                    directoryID, segment: segment.number, chain, isSynced: true)
                return endFile
            }
        } catch {
            segment.file.close()
            throw error
        }
        return SegmentedLog(
            files: files, directoryID: directoryID, clock: environment.clock,
            options: environment.options,
            metrics: LogMetrics(),
            preparer: SegmentPreparer(
                files: files, options: environment.options, waker: environment.preparerWaker),
            lock: environment.lock, endFile: endFile, segment: segment, chain: chain)
    }
}

extension SegmentedLog {
    /// Bytes that a start may have to read: the newest snapshot, and the segments behind it, zeros
    /// included; 0 where there is nothing.
    package static func bytesToRecover(_ environment: LogEnvironment) -> UInt64 {
        let files = SegmentFiles(
            fileSystem: environment.fileSystem, directory: environment.directory)
        guard let names = try? files.fileSystem.list(files.directory) else { return 0 }
        let snapshot = SnapshotCatalogue.names(in: names).first
        let position = snapshot.flatMap {
            try? SnapshotReader(files, $0, directoryID: nil).position
        }
        var needed = snapshot.map { [$0] } ?? []
        for number in names.compactMap(SegmentFiles.number(of:)).reversed() {
            needed.append(SegmentFiles.name(of: number))
            guard let position,
                let header = try? Recovery.header(of: number, in: files, expecting: nil)
            else { continue }
            if header.firstFrame <= position.nextFrame { break }
        }
        return needed.reduce(0) { total, name in
            guard let file = try? files.fileSystem.open(files.path(name), .read) else {
                return total
            }
            defer { file.close() }
            return total + UInt64((try? file.size()) ?? 0)
        }
    }
}
