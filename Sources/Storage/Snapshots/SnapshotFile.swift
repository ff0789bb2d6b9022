/// A whole snapshot on disk.
package struct SnapshotFile: Equatable, Sendable {
    package var position: SnapshotPosition
    /// Its name in the data directory.
    package var name: String
    /// Of the file.
    package var bytes: Int
    /// Blocks of items; the footer is not counted.
    package var blocks: UInt64
}
