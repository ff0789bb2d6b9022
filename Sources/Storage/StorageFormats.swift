/// Versions of the files that this release writes; it reads every older one.
///
/// Source: docs/formats/log.md and docs/formats/snapshot.md, "Versions".
package enum StorageFormats {
    /// Of the segments of a log.
    package static let log = SegmentHeader.version
    /// Of the container of a snapshot.
    package static let snapshot = SnapshotHeader.version
}
