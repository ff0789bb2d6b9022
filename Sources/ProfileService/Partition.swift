import Bytes
import IOCore
import Profiles
import Storage

/// Why a data directory cannot be served.
package enum RecoveryError: Error {
    /// The files are damaged, foreign, newer, locked, or cannot be read.
    case storage(StorageError)
    /// The first record is not a genesis record that this release understands.
    case genesis
    /// A record cannot be applied by this release.
    case record(ApplyError, lsn: UInt64)
    /// Replaying a frame gave other results than the run that wrote it.
    case digest(frame: UInt64, lsn: UInt64)
    /// A record is not whole although its frame's checksum is right.
    case malformedRecord(lsn: UInt64)
}

/// One log and one store: a project lives in exactly one partition, so each of its calls is one record.
package final class Partition: Sendable {
    package let store: Store
    package let pipeline: CommitPipeline

    package init(store: Store, pipeline: CommitPipeline) {
        self.store = store
        self.pipeline = pipeline
    }
}
