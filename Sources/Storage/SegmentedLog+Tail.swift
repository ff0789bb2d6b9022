import Bytes
import IOCore

/// Writes frames under another segment's number: a copy must not be taken for the original, and its
/// checksums cover the number.
struct FrameCopier {
    let segment: UInt64
    let seed: UInt32

    /// Appends one frame and returns what the next one continues.
    func write(
        _ contents: LogFrame, kind: FrameKind, after chain: SegmentedLog.Chain,
        into buffer: inout ByteBuffer
    ) -> SegmentedLog.Chain {
        let header = FrameHeader(
            kind: kind, segment: self.segment, number: chain.nextFrame,
            payloadBytes: contents.payload.count,
            operationCount: contents.operationCount, firstLSN: contents.firstLSN,
            receivedAt: contents.receivedAt,
            rulesVersion: contents.rulesVersion, previousHeaderCRC: chain.previousHeaderCRC,
            previousResultsDigest: contents.results.digest,
            payloadCRC: crc32c(contents.payload))
        let crc = header.write(into: &buffer, seed: self.seed)
        buffer.append(contents.payload)
        let padding = header.totalBytes - FrameHeader.bytes - header.payloadBytes
        if padding > 0 {
            buffer.appendUninitialized(padding).initializeMemory(as: UInt8.self, repeating: 0)
        }
        return SegmentedLog.Chain(
            nextFrame: header.number + 1, nextLSN: header.firstLSN + UInt64(header.operationCount),
            previousHeaderCRC: crc)
    }
}

// What a start does to the end of a log that was not sealed. Each step leaves a directory that the
// next start understands: the new segment exists whole or not at all, and from then on its header
// says which older frames it replaces.
extension SegmentedLog {
    /// Bytes of copied frames that are gathered before they are written.
    private static let copyBytes = 1 << 20

    /// Copies the frames since the last seal, all of the last segment, into a new one.
    ///
    /// - Returns: Behind the last frame of the copy.
    /// - Complexity: O(bytes of one segment); holds `copyBytes` and one frame.
    static func copyTail(
        _ recovery: inout Recovery, into target: any File, segment: UInt64
    ) throws(StorageError) -> Recovery.Position {
        let copier = FrameCopier(segment: segment, seed: recovery.directoryID.seed)
        let path = recovery.files.path(SegmentFiles.name(of: recovery.end.segment))
        var copied = Recovery.Position(
            segment: segment, offset: SegmentHeader.bytes, chain: recovery.sealed.chain)
        try Recovery.storage { () throws(IOError) in
            let file = try recovery.files.fileSystem.open(path, .read)
            defer { file.close() }
            var reader = try SegmentReader(file)
            var frames = ByteBuffer(capacity: 64 << 10)
            var offset = recovery.sealed.offset
            while offset < recovery.end.offset,
                case .frame(let frame, _, let payload) = try reader.frame(
                    at: offset, segment: recovery.end.segment, seed: recovery.directoryID.seed)
            {
                copied.chain = copier.write(
                    LogFrame(
                        firstLSN: frame.firstLSN, operationCount: frame.operationCount,
                        receivedAt: frame.receivedAt, rulesVersion: frame.rulesVersion,
                        results: frame.results, payload: payload), kind: frame.kind,
                    after: copied.chain, into: &frames)
                offset += frame.totalBytes
                recovery.report.framesCopied += 1
                guard frames.count >= Self.copyBytes || offset >= recovery.end.offset else {
                    continue
                }
                try target.write(frames.bytes, at: copied.offset)
                copied.offset += frames.count
                frames.removeAll()
            }
        }
        guard copied.chain.nextFrame == recovery.end.chain.nextFrame else {
            throw .corruption(
                file: path, offsetBytes: recovery.sealed.offset, lsn: copied.chain.nextLSN,
                found: "frame \(copied.chain.nextFrame) was whole a moment ago and is not now")
        }
        return copied
    }

    /// Keeps the bytes of a torn tail for a person to look at; the oldest such files go.
    static func setTornTailAside(_ recovery: inout Recovery, _ options: LogOptions)
        throws(StorageError)
    {
        let bytes = recovery.endOfData - recovery.end.offset
        guard bytes > 0 else { return }
        let files = recovery.files
        let end = recovery.end
        let name = SegmentFiles.tornName(segment: end.segment, offset: end.offset)
        var isKept = true
        do throws(IOError) {
            try Self.keep(bytes, of: end, as: name, in: files, options)
        } catch {
            // No call got a response from it: on a full disk, a start that serves reads is worth
            // more than a copy for inspection.
            guard error.kind == .noSpace else { throw .io(error) }
            isKept = false
        }
        recovery.report.tornTail?.keptIn = isKept ? name : ""
    }

    /// Copies the first of `bytes` bytes behind the last good frame into a file of their own.
    ///
    /// - Throws: `.noSpace` with that file removed again, or what else the file system said.
    private static func keep(
        _ bytes: Int, of end: Recovery.Position, as name: String, in files: SegmentFiles,
        _ options: LogOptions
    ) throws(IOError) {
        let source = try files.fileSystem.open(
            files.path(SegmentFiles.name(of: end.segment)), .read)
        defer { source.close() }
        var kept = ByteBuffer()
        let target = kept.appendUninitialized(min(bytes, options.tornBytesKept))
        kept.truncate(to: try source.read(into: target, at: end.offset))
        let names = try files.fileSystem.list(files.directory)
        let torn = names.filter { $0.hasPrefix(SegmentFiles.tornPrefix) }
        for old in torn.dropLast(options.tornFilesKept - 1) {
            try files.fileSystem.remove(files.path(old))
        }
        if names.contains(name) { try files.fileSystem.remove(files.path(name)) }
        let copy = try files.fileSystem.open(files.path(name), .create)
        defer { copy.close() }
        do throws(IOError) {
            try copy.write(kept.bytes, at: 0)
            try copy.sync()
        } catch {
            if error.kind == .noSpace { try files.fileSystem.remove(files.path(name)) }
            throw error
        }
        try files.fileSystem.syncDirectory(files.directory)
    }

    /// Cuts off what the new segment replaces, and what was torn, so that no reader ever meets it
    /// again.
    static func removeSuperseded(_ recovery: Recovery) throws(StorageError) {
        let files = recovery.files
        try Recovery.storage { () throws(IOError) in
            let file = try files.fileSystem.open(
                files.path(SegmentFiles.name(of: recovery.end.segment)), .update)
            defer { file.close() }
            try file.truncate(to: recovery.sealed.offset)
            try file.sync()
        }
    }

    /// Fills a new file with zeros.
    static func fill(_ file: any File, upTo bytes: Int) throws(IOError) {
        var zeros = ByteBuffer(capacity: min(bytes, 1 << 20))
        zeros.appendUninitialized(min(bytes, 1 << 20)).initializeMemory(
            as: UInt8.self, repeating: 0)
        var filled = 0
        while filled < bytes {
            let count = min(zeros.count, bytes - filled)
            try file.write(UnsafeRawBufferPointer(rebasing: zeros.bytes[..<count]), at: filled)
            filled += count
        }
    }
}
