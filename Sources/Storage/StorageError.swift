import IOCore

/// Why the log cannot be opened or written. Texts name files, offsets and lsns, never contents.
package enum StorageError: Error, Equatable, Sendable {
    /// A call of the operating system failed; nothing is known to be wrong with the data.
    case io(IOError)
    /// Another process has the directory.
    case locked(path: String)
    /// The data directory was removed, replaced, or taken by another process while it was used.
    case directoryLost(path: String, DirectoryHold)
    /// A bad place with valid data behind it, or before a seal: never repaired silently.
    case corruption(file: String, offsetBytes: Int, lsn: UInt64, found: String)
    /// Written by a newer release.
    case newerFormat(file: String, version: UInt32)
    /// A file of another data directory.
    case foreign(file: String)
    /// A segment between others, or between a snapshot and the log, is missing.
    case missingSegment(number: UInt64)
    /// The log ends before the end that a file notes: what was between is lost.
    case logLoss(file: String, found: LogEndPosition, noted: LogEndPosition)
    /// A snapshot is not whole or not what was written. A start falls back to the one before, if
    /// that and its log are there.
    case snapshotDamaged(file: String, offsetBytes: Int, found: String)
    /// The log does not reach a whole snapshot, or begins behind it: what was between is lost.
    case missingLog(after: String, lsn: UInt64, found: String)
    /// Every checksum of a snapshot is right, but the caller does not understand what is in it.
    case snapshotRejected(file: String)
    /// The disk is full; writes heal by themselves when there is space.
    case noSpace
    /// A write or sync has failed: this log writes nothing more.
    case poisoned
    /// The caller's replay rejected a frame.
    case replayRejected(lsn: UInt64)
}

extension StorageError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .io(let error): error.explanation
        case .locked(let path): "\(path) is held by another process"
        case .directoryLost(let path, .gone): "\(path) was removed or renamed"
        case .directoryLost(let path, .replaced): "\(path) leads to another directory now"
        case .directoryLost(let path, _): "\(path) is used by another process as well"
        case .corruption(let file, let offset, let lsn, let found):
            "\(file) is damaged at byte \(offset), before lsn \(lsn): \(found)"
        case .newerFormat(let file, let version):
            "\(file) has format \(version), this release reads up to \(Self.versionRead(of: file))"
        case .foreign(let file): "\(file) belongs to another data directory"
        case .missingSegment(let number): "segment \(number) is missing, and later ones are there"
        case .snapshotDamaged(let file, let offset, let found):
            "\(file) is damaged at byte \(offset): \(found)"
        case .missingLog(let snapshot, let lsn, let found):
            "the log does not continue behind \(snapshot), which covers lsn \(lsn): \(found)"
        case .logLoss(let file, let found, let noted):
            "the log ends at lsn \(found.lsn) in segment \(found.segment), "
                + "but \(file) notes that it had reached lsn \(noted.lsn) "
                + "in segment \(noted.segment): "
                + "the last segments were removed or replaced by older ones; "
                + "put them back, restore a backup, "
                + "or accept the loss with --accept-log-loss \(found.lsn)"
        case .snapshotRejected(let file): "\(file) is whole, but this release cannot load it"
        case .noSpace: "no space left for the log"
        case .poisoned: "the log has failed and is closed until a restart"
        case .replayRejected(let lsn): "the record at lsn \(lsn) cannot be replayed"
        }
    }

    private static func versionRead(of file: String) -> UInt32 {
        file.hasSuffix(SnapshotNames.suffix) ? SnapshotHeader.version : SegmentHeader.version
    }
}
