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
    /// A snapshot whose checksums are right is not understood.
    case snapshot(SnapshotError)
    /// A record is not whole although its frame's checksum is right.
    case malformedRecord(lsn: UInt64)
}

/// One log and one store: a project lives in exactly one partition, so each of its calls is one
/// record.
package final class Partition: Sendable {
    package let store: Store
    package let pipeline: CommitPipeline
    /// Takes snapshots and makes backups; `nil` where there are no files.
    package let coordinator: OperatorCoordinator?

    package init(store: Store, pipeline: CommitPipeline, coordinator: OperatorCoordinator? = nil) {
        self.store = store
        self.pipeline = pipeline
        self.coordinator = coordinator
    }
}

extension Partition {
    /// What a recovered directory gives.
    package struct Recovered {
        package var store: Store
        package var committer: Committer
        /// Sealed.
        package var log: SegmentedLog
        package var report: RecoveryReport
        /// What the schedule of snapshots begins with.
        package var coverage: SnapshotCoverage
    }

    /// Reads a locked directory into a new store, and makes what was read durable.
    ///
    /// - Parameters:
    ///   - random: Used only for the genesis record of an empty directory.
    ///   - feed: Where snapshots go; `nil`: none are made.
    ///   - onProgress: Told after each block of the snapshot and each frame of the log.
    /// - Throws: `RecoveryError`; nothing on disk has changed then.
    /// - Complexity: O(bytes of the snapshot and of the log behind it).
    package static func recover(
        _ environment: LogEnvironment, limits: StoreLimits, random: any RandomSource,
        feed: SnapshotFeed? = nil,
        onProgress: @escaping (RecoveryProgress) -> Void
    ) throws(RecoveryError) -> Recovered {
        let replay = Replay(onProgress: onProgress)
        var genesis = ByteBuffer()
        let log: SegmentedLog
        let report: RecoveryReport
        do throws(StorageError) {
            (log, report) = try SegmentedLog.open(
                environment,
                genesisFrame: {
                    Self.genesisFrame(
                        limits: limits, random: random, now: environment.clock.wallMicroseconds(),
                        record: &genesis)
                }, target: replay)
        } catch {
            throw replay.failure ?? .storage(error)
        }
        guard let store = replay.store else { throw .genesis }
        do throws(StorageError) {
            // So that the next start need not copy what this one has just made durable. Behind a
            // seal there may be no place for another.
            if !log.endsWithSeal { try log.seal(previousResultsDigest: replay.digest.value) }
        } catch {
            throw .storage(error)
        }
        let committer = Committer(
            log: log, store: store, clock: environment.clock,
            position: Committer.Position(
                nextLSN: replay.nextLSN, receivedAt: replay.receivedAt, digest: replay.digest),
            feed: feed, lastCut: report.snapshot?.position.nextLSN ?? 0)
        let coverage = SnapshotCoverage(
            newest: report.snapshot, logBytes: replay.progress.logBytes,
            uncoveredSince: replay.uncoveredSince)
        return Recovered(
            store: store, committer: committer, log: log, report: report, coverage: coverage)
    }

    /// The first frame of a new directory: its secrets and limits.
    private static func genesisFrame(
        limits: StoreLimits, random: any RandomSource, now: Int64, record: inout ByteBuffer
    ) -> LogGenesis {
        var words: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0)
        withUnsafeMutableBytes(of: &words) { random.fill($0) }
        let genesis = Genesis(
            directoryID: ProfileID(high: words.0, low: words.1),
            hashKey: SipHashKey(k0: words.2, k1: words.3),
            secret: SipHashKey(k0: words.4, k1: words.5), limits: limits)
        let start = beginRecord(.genesis, in: &record)
        genesis.encode(into: &record)
        endRecord(at: start, operations: 1, in: &record)
        return LogGenesis(
            directoryID: DirectoryID(high: words.0, low: words.1),
            frame: FrameContents(
                firstLSN: 1, operationCount: 1, receivedAt: now, rulesVersion: Store.rulesVersion,
                previousResultsDigest: 0, payload: record.bytes))
    }
}
