import Bytes
import IOCore

/// Reads the files of a data directory one by one, each to its end, and tells what is in them;
/// changes nothing.
///
/// A start reads only what it needs. This reads also what it would pass over: older snapshots, and
/// segments that a snapshot covers.
package struct LogSurvey {
    /// What a segment holds.
    package struct Segment: Equatable, Sendable {
        package var number: UInt64
        package var firstFrame: UInt64
        /// Good frames, seals included.
        package var frames = 0
        package var firstLSN: UInt64
        /// Of the first operation behind the last good frame.
        package var nextLSN: UInt64
        /// Of header and good frames.
        package var usedBytes = SegmentHeader.bytes
        package var endsWithSeal = false
        /// Behind the last good frame, up to the last byte that is not zero: in the last segment a
        /// torn tail, else superseded.
        package var tailBytes = 0
    }

    package enum Finding: Equatable, Sendable {
        case segment(Segment)
        case snapshot(SnapshotFile)
        /// Bytes of a torn tail that were set aside.
        case tornTail
        /// Left by a crash; the next start removes it.
        case temporary
        case lock
        /// Notes how far the log had come.
        case logEnd
        /// The directory of the feed: derived data, which a start makes again from the log.
        case feed
        /// Not of this program; left alone.
        case other
    }

    /// Names of all files, in ascending byte order.
    package let names: [String]
    private let files: SegmentFiles
    private let segments: [UInt64]
    /// First frames by segment, of those whose header is whole.
    private var firstFrames: [UInt64: UInt64] = [:]
    private(set) var directoryID: DirectoryID?

    package init(_ environment: LogEnvironment) throws(StorageError) {
        let files = SegmentFiles(
            fileSystem: environment.fileSystem, directory: environment.directory)
        self.files = files
        self.names = try Recovery.storage { () throws(IOError) in
            try files.fileSystem.list(files.directory)
        }
        self.segments = self.names.compactMap(SegmentFiles.number(of:))
        for number in self.segments {
            guard
                let header = try? Recovery.header(
                    of: number, in: files, expecting: self.directoryID)
            else { continue }
            self.directoryID = self.directoryID ?? header.directoryID
            self.firstFrames[number] = header.firstFrame
        }
    }

    /// Whether the segments that a start reads, the last ones without a gap, begin with the first
    /// frame of all.
    package var beginsAtFirstFrame: Bool {
        guard var first = self.segments.last else { return false }
        while first > 0, self.segments.contains(first - 1) { first -= 1 }
        return self.firstFrames[first] == 1
    }

    /// Whether a name is that of a snapshot, whatever is in it.
    package static func isSnapshot(_ name: String) -> Bool { SnapshotNames.lsn(of: name) != nil }

    /// Length of a file, in bytes.
    package func bytes(of name: String) throws(StorageError) -> Int {
        let files = self.files
        return try Recovery.storage { () throws(IOError) in
            let file = try files.fileSystem.open(files.path(name), .read)
            defer { file.close() }
            return try file.size()
        }
    }

    /// Reads a whole file.
    ///
    /// - Throws: `.corruption`, `.snapshotDamaged`, `.newerFormat`, `.foreign`, `.io`.
    /// - Complexity: O(bytes of the file); holds one frame or block.
    package func read(_ name: String) throws(StorageError) -> Finding {
        if let number = SegmentFiles.number(of: name) {
            return .segment(try self.readSegment(number))
        }
        if SnapshotNames.lsn(of: name) != nil {
            return .snapshot(
                try SnapshotReader.verify(self.files, name, directoryID: self.directoryID))
        }
        if name == LockFile.name { return .lock }
        if name == LogEndFile.name { return .logEnd }
        if name == FeedFiles.directoryName { return .feed }
        if name.hasPrefix(SegmentFiles.tornPrefix) { return .tornTail }
        return name.hasSuffix(SegmentFiles.temporarySuffix) ? .temporary : .other
    }

    private func readSegment(_ number: UInt64) throws(StorageError) -> Segment {
        let header = try Recovery.header(of: number, in: self.files, expecting: self.directoryID)
        let path = self.files.path(SegmentFiles.name(of: number))
        var found = Segment(
            number: number, firstFrame: header.firstFrame, firstLSN: header.firstLSN,
            nextLSN: header.firstLSN)
        let file = try Recovery.storage { () throws(IOError) in
            try self.files.fileSystem.open(path, .read)
        }
        defer { file.close() }
        var chain = header.chain
        do throws(IOError) {
            var reader = try SegmentReader(file)
            while case .frame(let frame, let crc, _) = try reader.frame(
                at: found.usedBytes, segment: number, seed: header.directoryID.seed),
                frame.continues(chain)
            {
                chain = frame.chain(crc: crc)
                found.frames += 1
                found.usedBytes += frame.totalBytes
                found.endsWithSeal = frame.kind == .seal
            }
            found.nextLSN = chain.nextLSN
            found.tailBytes = try reader.endOfData(after: found.usedBytes) - found.usedBytes
        } catch {
            throw .io(error)
        }
        // A later segment continues behind the last frame of this one; anything after that frame is
        // superseded. Segments before a gap are leftovers of a removal, which no start reads.
        guard self.segments.contains(number &+ 1) else { return found }
        let limit = self.firstFrames.filter { $0.key > number }.map(\.value).min()
        guard let limit, chain.nextFrame < limit, header.firstFrame < limit else { return found }
        throw .corruption(
            file: path, offsetBytes: found.usedBytes, lsn: chain.nextLSN,
            found:
                "frame \(chain.nextFrame) is not whole, and a later segment goes on at frame "
                + "\(limit)"
        )
    }
}
