import Bytes
import IOCore

/// Reads sealed segments and snapshots, which a start would need and nothing reads before, from the
/// disk and not from memory (L19). About 1 MiB per step.
///
/// It finds what has rotted while the other copy is still whole: a damaged segment while memory and
/// snapshots have what is in it, a damaged snapshot while there is an older one. It reads only; a
/// person decides what to do. One instance reads the directory once, on one thread, beside the
/// log's.
package final class Scrubber {
    /// How one piece ended.
    package enum Step {
        /// So many bytes were read; there is more to do.
        case progress(bytes: Int)
        /// A file that is damaged, or cannot be read; the next step continues with the next file.
        case damaged(StorageError)
        case finished(Figures)
    }

    /// What was read.
    package struct Figures: Equatable, Sendable {
        package var files = 0
        package var bytes = 0
        /// Files with something wrong.
        package var damaged = 0
    }

    /// The file that is being read.
    private enum Reading {
        case snapshot(SnapshotVerification)
        case segment(SegmentScan)

        func step() throws(StorageError) -> Int? {
            switch self {
            case .segment(let scan): return try scan.step()
            case .snapshot(let verification):
                guard case .progress(let bytes) = try verification.step() else { return nil }
                return bytes
            }
        }
    }

    /// A sealed segment, and the first frame that a later segment replaces.
    private struct SealedSegment {
        var header: SegmentHeader
        var limit: UInt64
    }

    private let files: SegmentFiles
    private let directoryID: DirectoryID
    private var figures = Figures()
    private var reading: Reading?
    private var snapshots: ArraySlice<String> = []
    /// `nil` until their headers are read, after the snapshots.
    private var segments: ArraySlice<SealedSegment>?
    /// `nil` before the first step.
    private var segmentNumbers: [UInt64]?
    /// Found while the headers were read.
    private var damagedHeaders: ArraySlice<StorageError> = []

    package init(_ environment: LogEnvironment, directoryID: DirectoryID) {
        self.files = SegmentFiles(
            fileSystem: environment.fileSystem, directory: environment.directory)
        self.directoryID = directoryID
    }

    /// Reads the next piece.
    ///
    /// - Throws: `.io` if the directory cannot be listed.
    /// - Complexity: O(bytes of one block or frame, at least 1 MiB of a segment).
    package func step() throws(StorageError) -> Step {
        try self.listOnce()
        while true {
            do throws(StorageError) {
                if let reading = self.reading {
                    if let bytes = try reading.step() {
                        self.figures.bytes += bytes
                        return .progress(bytes: bytes)
                    }
                    self.reading = nil
                } else if let name = self.snapshots.popFirst() {
                    self.figures.files += 1
                    self.reading = .snapshot(
                        try SnapshotVerification(
                            self.files, name, directoryID: self.directoryID, bypassesCache: true))
                } else if self.segments == nil {
                    self.segments = self.sealedSegments()[...]
                } else if let error = self.damagedHeaders.popFirst() {
                    throw error
                } else if let segment = self.segments?.popFirst() {
                    self.figures.files += 1
                    self.reading = .segment(
                        try SegmentScan(
                            self.files, segment.header, upTo: segment.limit,
                            seed: self.directoryID.seed))
                } else {
                    return .finished(self.figures)
                }
            } catch {
                self.reading = nil
                // Removed since the directory was listed: a newer snapshot has superseded it.
                if case .io(let cause) = error, cause.kind == .notFound { continue }
                self.figures.damaged += 1
                return .damaged(error)
            }
        }
    }

    private func listOnce() throws(StorageError) {
        guard self.segmentNumbers == nil else { return }
        let files = self.files
        let names = try Recovery.storage { () throws(IOError) in
            try files.fileSystem.list(files.directory)
        }
        self.snapshots = SnapshotCatalogue.names(in: names)[...]
        self.segmentNumbers = names.compactMap(SegmentFiles.number(of:))
    }

    /// The segments that are whole up to a known frame. The last one is still written to, and where
    /// one before a damaged header ends is unknown.
    private func sealedSegments() -> [SealedSegment] {
        let headers = (self.segmentNumbers ?? []).map(self.header)
        var segments: [SealedSegment] = []
        for (index, header) in headers.enumerated().dropLast() {
            guard let header, headers[index + 1] != nil,
                let limit = headers[(index + 1)...].compactMap({ $0?.firstFrame }).min(),
                header.firstFrame < limit
            else { continue }
            segments.append(SealedSegment(header: header, limit: limit))
        }
        return segments
    }

    /// The header of a segment; `nil` for one that is gone or damaged.
    private func header(_ number: UInt64) -> SegmentHeader? {
        do throws(StorageError) {
            return try Recovery.header(of: number, in: self.files, expecting: self.directoryID)
        } catch {
            self.damagedHeaders.append(error)
            return nil
        }
    }
}
