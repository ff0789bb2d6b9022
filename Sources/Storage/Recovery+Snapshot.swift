// Which files of a directory a start reads: the newest whole snapshot, and the log from its
// position. Source: docs/formats/log.md, "Recovery"; docs/formats/snapshot.md, "Which snapshot is
// used".

extension Recovery {
    /// Snapshots that are always kept together with the log from the older one on.
    static let snapshotsKept = 2

    /// Reads everything that a start needs; changes nothing.
    ///
    /// - Parameter accepted: The lsn at which a log may end that is shorter than it was; `nil`:
    ///   none may.
    /// - Returns: `nil` in a directory without log and snapshots.
    static func read(
        _ files: SegmentFiles, _ names: [String], accepting accepted: UInt64?,
        into target: any RecoveryTarget
    ) throws(StorageError) -> Recovery? {
        let snapshots = SnapshotCatalogue.names(in: names)
        let numbers = Self.run(names.compactMap(SegmentFiles.number(of:)))
        guard let first = numbers.first else {
            guard let newest = snapshots.first else {
                try Self.checkNothingWasNoted(files, accepting: accepted)
                return nil
            }
            throw .missingLog(
                after: files.path(newest), lsn: SnapshotNames.lsn(of: newest) ?? 0,
                found: "there is no segment")
        }
        var headers = [try Self.header(of: first, in: files, expecting: nil)]
        let directoryID = headers[0].directoryID
        for number in numbers.dropFirst() {
            headers.append(try Self.header(of: number, in: files, expecting: directoryID))
        }
        var recovery = Recovery(files: files, directoryID: directoryID, headers: headers)
        try recovery.checkBeginning(snapshots)
        if let snapshot = try recovery.load(snapshots, into: target) {
            recovery.goOn(behind: snapshot)
        }
        try recovery.replay(into: target)
        try recovery.checkEnd(accepting: accepted)
        return recovery
    }

    /// The numbers at the end that have no gap.
    ///
    /// Removals are durable in no certain order: a crash among them can leave any of the segments
    /// that were to go (L13).
    private static func run(_ numbers: [UInt64]) -> ArraySlice<UInt64> {
        var start = max(0, numbers.count - 1)
        while start > 0, numbers[start - 1] + 1 == numbers[start] { start -= 1 }
        return numbers[start...]
    }

    /// A log that does not begin with segment 1 must reach back to the older of the two snapshots
    /// that are kept: whatever is missing behind that was not removed by this program.
    private func checkBeginning(_ snapshots: [String]) throws(StorageError) {
        guard self.headers[0].number > 1 else { return }
        var oldest: UInt64?
        var newestDamage: StorageError?
        for name in snapshots.prefix(Self.snapshotsKept) {
            do throws(StorageError) {
                let position = try SnapshotReader(self.files, name, directoryID: self.directoryID)
                    .position
                oldest = min(oldest ?? .max, position.nextFrame)
            } catch {
                guard case .snapshotDamaged = error else { throw error }
                newestDamage = newestDamage ?? error
            }
        }
        if oldest == nil, let newestDamage { throw newestDamage }
        guard let oldest, self.headers[0].firstFrame <= oldest else {
            throw .missingSegment(number: self.headers[0].number - 1)
        }
    }

    /// Loads the newest snapshot that is whole.
    ///
    /// It is loaded block by block as it is read, before all of it is verified: one pass over the
    /// file instead of two, and the target forgets what it has when a later block is damaged.
    ///
    /// - Returns: `nil` if there is none, and the log begins at its first record.
    private mutating func load(
        _ snapshots: [String], into target: any RecoveryTarget
    ) throws(StorageError) -> SnapshotFile? {
        var newestDamage: StorageError?
        for name in snapshots {
            do throws(StorageError) {
                return try self.load(name, into: target)
            } catch {
                guard case .snapshotDamaged = error else { throw error }
                self.report.snapshotsSkipped.append(
                    RecoveryReport.SkippedSnapshot(name: name, reason: error.description))
                newestDamage = newestDamage ?? error
            }
        }
        guard let newestDamage, self.headers[0].firstFrame > 1 else { return nil }
        throw newestDamage
    }

    private func load(_ name: String, into target: any RecoveryTarget) throws(StorageError)
        -> SnapshotFile
    {
        var reader = try SnapshotReader(self.files, name, directoryID: self.directoryID)
        let path = self.files.path(name)
        guard self.headers[0].firstFrame <= reader.position.nextFrame else {
            throw .missingLog(
                after: path, lsn: reader.position.lsn,
                found: "it begins at frame \(self.headers[0].firstFrame)")
        }
        target.begin(reader.position, bytes: reader.sizeBytes)
        do throws(StorageError) {
            while let block = try reader.next() {
                guard target.load(block) else { throw .snapshotRejected(file: path) }
            }
        } catch {
            if case .snapshotDamaged = error { target.abandonSnapshot() }
            throw error
        }
        guard target.endOfSnapshot() else { throw .snapshotRejected(file: path) }
        return reader.verified(name: name)
    }
}
