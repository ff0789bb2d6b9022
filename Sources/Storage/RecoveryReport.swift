/// What recovery found; for the operator.
package struct RecoveryReport: Equatable, Sendable {
    /// Frames replayed, seals aside.
    package var frames = 0
    package var operations: UInt64 = 0
    package var bytes = 0
    /// Segments read.
    package var segments = 0
    /// What was loaded before the log; `nil`: the log alone.
    package var snapshot: SnapshotFile?
    /// Newer snapshots that are not whole, the newest first.
    package var snapshotsSkipped: [SkippedSnapshot] = []
    /// A frame torn by a crash was set aside.
    package var tornTail: TornTail?
    /// The last lsn of a log that is shorter now, which was accepted; `nil`: nothing is missing.
    package var acceptedLossOf: UInt64?
    /// Frames since the last seal that were made durable anew.
    package var framesCopied = 0
    /// Temporary files of a crash that were removed.
    package var temporaryFilesRemoved = 0

    /// A snapshot that a start could not use.
    package struct SkippedSnapshot: Equatable, Sendable {
        package var name: String
        /// For the operator; never contents.
        package var reason: String
    }

    /// Where a torn tail was, and where its bytes are kept.
    package struct TornTail: Equatable, Sendable {
        package var segment: UInt64
        package var offsetBytes: Int
        package var bytes: Int
        /// A file of the directory; empty where the disk had no space for it, or where it was only
        /// looked at.
        package var keptIn = ""
    }

    package init() {}
}
