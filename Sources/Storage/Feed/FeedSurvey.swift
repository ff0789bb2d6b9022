import Bytes
import IOCore

/// Reads the segments of a feed one by one, each to its end, and tells how far the feed is whole;
/// changes nothing.
///
/// What it finds wrong is no damage of the data: the feed is derived from the log, and a start or a
/// reader begins it behind what cannot be read.
package struct FeedSurvey {
    /// What a segment holds.
    package struct Segment: Equatable, Sendable {
        /// Of its file.
        package var name: String
        /// Of its file.
        package var bytes = 0
        package var firstLSN: UInt64
        /// How far it is whole; `firstLSN - 1`: it has no block.
        package var throughLSN: UInt64
        package var blocks = 0
        package var frames = 0
        /// What is wrong with it; `nil`: nothing.
        package var note: String?
    }

    private let files: FeedFiles
    private let directoryID: DirectoryID
    /// Segments, ascending.
    private let firstLSNs: [UInt64]
    /// Names in the directory that are no segments, of this program or not.
    package let others: [String]

    /// - Parameter survey: Of the data directory, which knows its id.
    /// - Throws: Also if `feed` is not a directory.
    package init(_ environment: LogEnvironment, of survey: LogSurvey) throws(StorageError) {
        let files = FeedFiles(environment.fileSystem, in: environment.directory)
        let names = try Recovery.storage { () throws(IOError) in
            try files.fileSystem.list(files.directory)
        }
        // A directory without a segment of the log has no id, and no feed that could be its own.
        self.init(files, names, of: survey.directoryID ?? DirectoryID(high: 0, low: 0))
    }

    init(_ files: FeedFiles, _ names: [String], of directoryID: DirectoryID) {
        self.files = files
        self.directoryID = directoryID
        // Positions begin at 1.
        self.firstLSNs = names.compactMap(FeedFiles.lsn(of:)).filter { $0 > 0 }.sorted()
        self.others = names.filter { (FeedFiles.lsn(of: $0) ?? 0) == 0 }
    }

    /// Whether a start removes the file, which a crash has left.
    package static func isTemporary(_ name: String) -> Bool { FeedFiles.isTemporary(name) }

    /// Reads every segment, the oldest first.
    ///
    /// - Complexity: O(bytes of the feed); holds one block.
    package func forEachSegment(_ body: (Segment) -> Void) {
        for (index, first) in self.firstLSNs.enumerated() {
            let next = index + 1 < self.firstLSNs.count ? self.firstLSNs[index + 1] : nil
            var segment = Segment(
                name: FeedFiles.name(of: first), firstLSN: first, throughLSN: first - 1)
            do throws(IOError) {
                try self.read(&segment)
            } catch {
                segment.note = "\(error)"
            }
            if segment.note == nil, let next, segment.throughLSN + 1 < next {
                segment.note = "it ends before the next segment, which begins at lsn \(next)"
            }
            body(segment)
        }
    }

    private func read(_ segment: inout Segment) throws(IOError) {
        let file = try self.files.fileSystem.open(self.files.path(segment.name), .read)
        segment.bytes = try file.size()
        file.close()
        var reader = FeedFileReader(self.files)
        let head = try reader.bytes(
            of: segment.firstLSN, at: 0, count: FeedSegmentHeader.bytes, limit: segment.bytes)
        guard let header = FeedSegmentHeader.read(head) else {
            segment.note = "its header is not one of this version"
            return
        }
        guard header.directoryID == self.directoryID, header.firstLSN == segment.firstLSN else {
            segment.note = "it belongs to another directory or position"
            return
        }
        var offset = FeedSegmentHeader.bytes
        while true {
            switch try reader.block(
                of: segment.firstLSN, at: offset, seed: header.seed,
                expecting: segment.throughLSN + 1, from: 0, limit: segment.bytes)
            {
            case .block(let block, let payload):
                segment.blocks += 1
                for _ in FeedFrames(payload) { segment.frames += 1 }
                segment.throughLSN = block.throughLSN
                offset += block.totalBytes
            // Not with a wanted position of 0.
            case .passed, .end: return
            case .damaged:
                segment.note =
                    "the block at byte \(offset), from lsn \(segment.throughLSN + 1) on, is not "
                    + "whole"
                return
            }
        }
    }
}
