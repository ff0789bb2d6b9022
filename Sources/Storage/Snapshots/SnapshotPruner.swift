/// Removes what no start needs once a new snapshot is verified: all snapshots but the new one and
/// the newest valid one before it, what earlier attempts have left, and the log before that.
/// Verifies one block per step.
///
/// Without a valid older snapshot nothing of the log is removed. A crash at any step leaves a
/// directory that a start reads alike: the removal of snapshots is durable before that of segments
/// begins, and segments that remain before a gap are passed over.
package final class SnapshotPruner {
    private let catalogue: SnapshotCatalogue
    private let newest: SnapshotFile
    private let logStore: any LogStore
    /// All files of the directory; `nil` before the first step.
    private var listing: [String]?
    /// Snapshots older than `newest` that are still to be tried, the newest first.
    private var candidates: ArraySlice<String> = []
    /// Of the first candidate.
    private var verification: SnapshotVerification?
    private var result = SnapshotCatalogue.Pruning()

    /// - Parameter newest: As `SnapshotWriter.finishStep` returned it: verified, and not by its
    ///   name alone.
    init(_ catalogue: SnapshotCatalogue, after newest: SnapshotFile, of logStore: any LogStore) {
        self.catalogue = catalogue
        self.logStore = logStore
        self.newest = newest
    }

    /// Verifies the next block of an older snapshot, or removes everything superseded.
    ///
    /// - Throws: `.io`, `.newerFormat`, `.foreign`; what was not removed goes the next time.
    package func step() throws(StorageError) -> JobStep<SnapshotCatalogue.Pruning> {
        let listing = try self.list()
        while self.result.older == nil, let name = self.candidates.first {
            do throws(StorageError) {
                switch try self.verification(of: name).step() {
                case .progress(let bytes): return .progress(bytes: bytes)
                case .finished(let file): self.result.older = file
                }
            } catch {
                guard case .snapshotDamaged = error else { throw error }
                self.result.damaged.append(name)
            }
            self.verification = nil
            self.candidates.removeFirst()
        }
        try self.catalogue.removeSuperseded(among: listing, after: self.newest, &self.result)
        if let older = self.result.older {
            let truncation = try self.logStore.truncate(before: older.position.log)
            self.result.segmentsRemoved = truncation.segmentsRemoved
            self.result.tornFilesRemoved = truncation.tornFilesRemoved
            self.result.bytesRemoved += truncation.bytesRemoved
        }
        return .finished(self.result)
    }

    private func verification(of name: String) throws(StorageError) -> SnapshotVerification {
        if let verification = self.verification { return verification }
        let verification = try self.catalogue.verification(of: name)
        self.verification = verification
        return verification
    }

    private func list() throws(StorageError) -> [String] {
        if let listing = self.listing { return listing }
        let listing = try self.catalogue.listing()
        self.listing = listing
        self.candidates =
            SnapshotCatalogue.names(in: listing).filter {
                SnapshotCatalogue.isOlder($0, than: self.newest)
            }[...]
        return listing
    }
}
