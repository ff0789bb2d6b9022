import IOCore

/// Why the log cannot be opened or written. Texts name files, offsets and lsns, never contents.
package enum StorageError: Error, Equatable, Sendable {
    /// A call of the operating system failed; nothing is known to be wrong with the data.
    case io(IOError)
    /// Another process has the directory.
    case locked(path: String)
    /// A bad place with valid data behind it, or before a seal: never repaired silently.
    case corruption(file: String, offsetBytes: Int, lsn: UInt64, found: String)
    /// Written by a newer release.
    case newerFormat(file: String, version: UInt32)
    /// A file of another data directory.
    case foreign(file: String)
    /// A segment between others is missing.
    case missingSegment(number: UInt64)
    /// The disk is full; writes heal by themselves when there is space.
    case noSpace
    /// A write or sync has failed: this log writes nothing more.
    case poisoned
    /// The caller's replay refused a frame.
    case replayRefused(lsn: UInt64)
}

extension StorageError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .io(let error): "\(error.operation) of \(error.subject) failed with errno \(error.code)"
        case .locked(let path): "\(path) is held by another process"
        case .corruption(let file, let offset, let lsn, let found):
            "\(file) is damaged at byte \(offset), before lsn \(lsn): \(found)"
        case .newerFormat(let file, let version):
            "\(file) has format \(version), this release reads up to \(SegmentHeader.version)"
        case .foreign(let file): "\(file) belongs to another data directory"
        case .missingSegment(let number): "segment \(number) is missing between others"
        case .noSpace: "no space left for the log"
        case .poisoned: "the log has failed and is closed until a restart"
        case .replayRefused(let lsn): "the record at lsn \(lsn) cannot be replayed"
        }
    }
}
