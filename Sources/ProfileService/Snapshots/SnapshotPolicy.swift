import Storage

/// When a snapshot is due without a request.
package struct SnapshotPolicy: Sendable {
    /// Bytes of the log since the last snapshot: 256 MiB are replayed in about a second.
    package var logBytesMax: UInt64 = 256 << 20
    /// Time from the first record that no snapshot covers, in nanoseconds: with two snapshots kept,
    /// 8 hours take everything that was erased off the disk within 24.
    package var ageNanosecondsMax: UInt64 = 8 * 3_600 * 1_000_000_000
    /// Shortest time between a failure and the next try, in nanoseconds; a request does not wait
    /// for it.
    package var retryNanoseconds: UInt64 = 60 * 1_000_000_000
    /// The same while the disk is full: writes wait for the space that a snapshot frees, and an
    /// attempt without space for one costs only a question to the file system.
    package var retryFullNanoseconds: UInt64 = 1_000_000_000
    /// Snapshots made for a full disk, one after the other: after two nothing of the log is left to
    /// free.
    package var whileFullMax = 2

    package init() {}
}

/// What the snapshots of a directory cover when a server starts.
package struct SnapshotCoverage: Sendable {
    /// The one that was loaded.
    package var newest: SnapshotFile?
    /// Bytes of the log behind it.
    package var logBytes: UInt64
    /// `receivedAt` of the first record behind it, in microseconds since 1970; `nil`: nothing is.
    package var uncoveredSince: Int64?
}
