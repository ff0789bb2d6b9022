import Bytes
import IOCore

/// Reads what a start would need, but nobody reads meanwhile: sealed segments and snapshots, from
/// the disk and not from memory (L19).
///
/// It finds what has rotted while the other copy is still whole: a damaged segment while memory and
/// snapshots have what is in it, a damaged snapshot while there is an older one. It reads only;
/// what to do is for a person to decide. Used by one thread, beside the log's.
package struct Scrubber {
    private let files: SegmentFiles
    private let directoryID: DirectoryID

    package init(_ environment: LogEnvironment, directoryID: DirectoryID) {
        self.files = SegmentFiles(
            fileSystem: environment.fileSystem, directory: environment.directory)
        self.directoryID = directoryID
    }

    /// What a run has read.
    package struct Figures: Equatable, Sendable {
        package var files = 0
        package var bytes = 0
        /// Files with something wrong.
        package var damaged = 0
    }

    /// Bytes of a segment that are read between two pauses.
    private static let pieceBytes = 1 << 20

    /// Reads every sealed segment and every snapshot once, each to its end or to the first place
    /// that is wrong.
    ///
    /// - Parameters:
    ///   - pause: Called after each piece, about 1 MiB, with its bytes; rests as long as it likes,
    ///     and ends the run with false.
    ///   - damaged: Called for each file with something wrong.
    /// - Returns: `nil` if the run was ended.
    /// - Throws: `.io` if the directory cannot be listed.
    /// - Complexity: O(bytes of the directory); holds one block or frame.
    package func run(
        pause: (_ bytes: Int) -> Bool, damaged: (StorageError) -> Void
    ) throws(StorageError) -> Figures? {
        let files = self.files
        let names = try Recovery.storage { () throws(IOError) in
            try files.fileSystem.list(files.directory)
        }
        var figures = Figures()
        let found = { (error: StorageError) in
            figures.damaged += 1
            damaged(error)
        }
        for name in SnapshotCatalogue.names(in: names) {
            guard
                self.examine(
                    found,
                    { () throws(StorageError) in try self.read(snapshot: name, pause, &figures) })
            else { return nil }
        }
        let headers = self.headers(names.compactMap(SegmentFiles.number(of:)), found)
        // The last segment is still written to. One before a header that is not whole ends nobody
        // knows where.
        for (index, header) in headers.enumerated().dropLast() {
            guard let header, headers[index + 1] != nil,
                let limit = headers[(index + 1)...].compactMap({ $0?.firstFrame }).min()
            else { continue }
            guard
                self.examine(
                    found,
                    { () throws(StorageError) in try self.read(header, upTo: limit, pause, &figures)
                    })
            else { return nil }
        }
        return figures
    }

    /// The header of each segment; `nil` for one that is gone or damaged.
    private func headers(_ numbers: [UInt64], _ damaged: (StorageError) -> Void) -> [SegmentHeader?]
    {
        numbers.map { number in
            var header: SegmentHeader?
            _ = self.examine(damaged) { () throws(StorageError) in
                header = try Recovery.header(
                    of: number, in: self.files, expecting: self.directoryID)
                return true
            }
            return header
        }
    }

    /// - Returns: Whether the run goes on.
    private func examine(
        _ damaged: (StorageError) -> Void, _ body: () throws(StorageError) -> Bool
    ) -> Bool {
        do throws(StorageError) {
            return try body()
        } catch {
            // Removed since the directory was listed: a newer snapshot has made it superfluous.
            if case .io(let cause) = error, cause.kind == .notFound { return true }
            damaged(error)
            return true
        }
    }

    private func read(
        snapshot name: String, _ pause: (Int) -> Bool, _ figures: inout Figures
    ) throws(StorageError) -> Bool {
        figures.files += 1
        var reader = try SnapshotReader(self.files, name, directoryID: self.directoryID)
        reader.dropCache()
        while let block = try reader.next() {
            figures.bytes += block.count
            guard pause(block.count) else { return false }
        }
        return true
    }

    /// Reads the frames of a segment that no later one replaces.
    private func read(
        _ header: SegmentHeader, upTo limit: UInt64, _ pause: (Int) -> Bool,
        _ figures: inout Figures
    ) throws(StorageError) -> Bool {
        guard header.firstFrame < limit else { return true }
        figures.files += 1
        let path = self.files.path(SegmentFiles.name(of: header.number))
        let file = try Recovery.storage { () throws(IOError) in
            try self.files.fileSystem.open(path, .read)
        }
        defer { file.close() }
        file.dropCache()
        var reader = try Recovery.reader(file)
        var (chain, offset, sincePause) = (header.chain, SegmentHeader.bytes, 0)
        while chain.nextFrame < limit {
            guard
                case .frame(let frame, let crc, _) = try Recovery.frame(
                    &reader, offset, header.number, self.directoryID.seed),
                frame.continues(chain)
            else {
                throw .corruption(
                    file: path, offsetBytes: offset, lsn: chain.nextLSN,
                    found: "frame \(chain.nextFrame) is not whole any more")
            }
            chain = frame.chain(crc: crc)
            offset += frame.totalBytes
            sincePause += frame.totalBytes
            figures.bytes += frame.totalBytes
            guard sincePause >= Self.pieceBytes || chain.nextFrame == limit else { continue }
            guard pause(sincePause) else { return false }
            sincePause = 0
        }
        return true
    }
}
