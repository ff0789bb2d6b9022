/// A place between two frames of a log, as only that log understands it.
///
/// Shape: 12 bytes, which a snapshot's header holds (docs/formats/snapshot.md). The local log keeps
/// the number of the next frame in `index` and the checksum of the header before it in `check`; a
/// replicated log would keep its own index and term.
package struct LogPosition: Equatable, Sendable, BitwiseCopyable {
    /// Length of the encoded form, in bytes.
    package static let bytes = 8 + 4

    /// Grows along one history. For logs only.
    package var index: UInt64
    /// Differs between histories that have the same index. For logs only.
    package var check: UInt32

    package init(index: UInt64, check: UInt32) {
        self.index = index
        self.check = check
    }
}
