import Profiles
import Storage

/// The state of a directory that was only read.
package struct InspectedDirectory {
    package let store: Store
    package let report: RecoveryReport
}

extension Partition {
    /// Reads a directory as a start would, and changes nothing. The caller keeps servers away from
    /// it.
    ///
    /// - Returns: `nil` if it holds neither a log nor a snapshot.
    /// - Throws: As a start would.
    /// - Complexity: O(bytes of the snapshot and of the log behind it).
    package static func inspect(_ logStore: any LogStore) throws(RecoveryError)
        -> InspectedDirectory?
    {
        let target = Replay()
        let report: RecoveryReport?
        do throws(StorageError) {
            report = try logStore.inspect(target: target)
        } catch {
            throw target.failure ?? .storage(error)
        }
        guard let report else { return nil }
        guard let store = target.store else { throw .genesis }
        return InspectedDirectory(store: store, report: report)
    }
}

extension RecoveryError: CustomStringConvertible {
    /// For the operator.
    package var description: String {
        switch self {
        case .storage(let error): error.description
        case .genesis: "the first record is not a genesis record that this release understands"
        case .record(let error, let lsn): "the record at lsn \(lsn) cannot be applied: \(error)"
        case .digest(let frame, let lsn):
            "replaying the records before frame \(frame), lsn \(lsn), "
                + "gave other results than before"
        case .newerRules(let version, let frame, let lsn, let known):
            "frame \(frame), lsn \(lsn), was written by rules version \(version), "
                + "and this release knows versions up to \(known): "
                + "start the release that wrote it or a newer one"
        case .snapshot(let error):
            "the snapshot is not understood although its checksums are right: \(error)"
        case .malformedRecord(let lsn): "the record at lsn \(lsn) is not whole"
        case .impossibleTime(let lsn):
            "the frame at lsn \(lsn) has a time that is not between the years 1970 and 9999"
        }
    }
}
