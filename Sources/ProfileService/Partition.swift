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
    /// A frame was written by newer rules than this release knows.
    case newerRules(UInt32, frame: UInt64, lsn: UInt64, known: UInt32)
    /// A snapshot whose checksums are right is not understood.
    case snapshot(SnapshotError)
    /// A record is not whole although its frame's checksum is right.
    case malformedRecord(lsn: UInt64)
    /// A frame was made before 1970 or after 9999, or says so although its checksum is right.
    case impossibleTime(lsn: UInt64)
}

/// One log and one store: a project lives in exactly one partition, so each of its calls is one
/// record.
package final class Partition: Sendable {
    package let store: Store
    package let pipeline: CommitPipeline
    /// Takes snapshots and makes backups; `nil` where there are no files.
    package let coordinator: OperatorCoordinator?
    /// The changes of the log's frames; `nil`: none are recorded.
    package let feed: Feed?
    /// Serves Watch; `nil` without a feed.
    package let watchers: WatchCoordinator?
    /// Serves ExportProfile and ExportProject; `nil` where nobody does.
    package let exports: ExportCoordinator?
    /// Serves WatchTriggers; `nil` where nobody delivers firings.
    package let triggers: TriggerCoordinator?
    /// Serves CountProfiles and ListProfiles; `nil` where nobody scans.
    package let scans: ScanCoordinator?

    package init(
        store: Store, pipeline: CommitPipeline, coordinator: OperatorCoordinator? = nil,
        feed: Feed? = nil, watchers: WatchCoordinator? = nil, triggers: TriggerCoordinator? = nil,
        scans: ScanCoordinator? = nil, exports: ExportCoordinator? = nil
    ) {
        self.scans = scans
        self.exports = exports
        self.triggers = triggers
        self.watchers = watchers
        self.store = store
        self.pipeline = pipeline
        self.coordinator = coordinator
        self.feed = feed
    }
}

extension Partition {
    /// What a recovered directory gives.
    package struct Recovered {
        package var store: Store
        /// The log and what belongs to it; the committer takes the log.
        package var opened: OpenedLog
        /// What the schedule of snapshots begins with.
        package var coverage: SnapshotCoverage
        package var report: RecoveryReport { self.opened.report }
        fileprivate var start: Committer.Start
        fileprivate var clock: any Clock
        fileprivate var feed: SnapshotFeed?
        fileprivate var recorder: ChangeRecorder?

        /// Makes the one committer of the log.
        ///
        /// - Parameter snapshots: By which the nodes of the log make theirs.
        package func makeCommitter(
            for pipeline: CommitPipeline, snapshots: SnapshotPolicy = SnapshotPolicy()
        ) -> Committer {
            Committer(
                log: self.opened.log, store: self.store, clock: self.clock, pipeline: pipeline,
                start: self.start, snapshotPolicy: snapshots, feed: self.feed,
                recorder: self.recorder)
        }
    }

    /// Reads a locked directory into a new store, and makes what was read durable.
    ///
    /// - Parameters:
    ///   - random: Used only for the genesis record of an empty directory.
    ///   - feed: Where snapshots go; `nil`: none are made.
    ///   - recorder: Takes the changes of what is replayed and committed; `nil`: nobody does.
    ///   - waker: Wakes the committer's driver when the log has something to report.
    ///   - rulesVersion: The newest rules that the store applies by, and that new frames carry.
    ///   - onProgress: Called after each block of the snapshot and each frame of the log.
    /// - Throws: `RecoveryError`; nothing on disk has changed then.
    /// - Complexity: O(bytes of the snapshot and of the log behind it).
    package static func recover(
        _ logStore: any LogStore, clock: any Clock, limits: StoreLimits,
        random: any RandomSource, feed: SnapshotFeed? = nil, recorder: ChangeRecorder? = nil,
        waker: any Waker,
        rulesVersion: UInt32 = Store.rulesVersion,
        onProgress: @escaping (RecoveryProgress) -> Void
    ) throws(RecoveryError) -> Recovered {
        let replay = Replay(
            rulesVersion: rulesVersion, recorder: recorder, onProgress: onProgress)
        var genesis = ByteBuffer()
        let opened: OpenedLog
        do throws(StorageError) {
            opened = try logStore.open(
                genesis: {
                    Self.genesis(
                        limits: limits, random: random, now: clock.wallMicroseconds(),
                        record: &genesis)
                }, target: replay, waker: waker)
        } catch {
            throw replay.failure ?? .storage(error)
        }
        guard let store = replay.store else { throw .genesis }
        try Self.settle(opened.log, replay.results)
        recorder?.endRecovery()
        let start = Committer.Start(
            results: replay.results, receivedAt: replay.receivedAt,
            snapshotLSN: opened.report.snapshot?.position.lsn)
        let coverage = SnapshotCoverage(
            newest: opened.report.snapshot, logBytes: replay.progress.logBytes,
            uncoveredSince: replay.uncoveredSince)
        return Recovered(
            store: store, opened: opened, coverage: coverage, start: start, clock: clock,
            feed: feed,
            recorder: recorder)
    }

    /// Lets the log do at once what it would do at rest, so that the next start need not make
    /// durable again what this one has just made durable.
    private static func settle(
        _ log: any CommandLog, _ results: ResultsChain
    ) throws(RecoveryError) {
        do throws(AppendError) {
            _ = try log.rest(idleNanoseconds: .max, results: results.newest)
        } catch {
            switch error {
            case .noSpace: throw .storage(.noSpace)
            case .failed: throw .storage(log.failure ?? .poisoned)
            case .notLeader: break
            }
        }
    }

    /// The first frame of a new directory: its secrets and limits.
    private static func genesis(
        limits: StoreLimits, random: any RandomSource, now: Int64, record: inout ByteBuffer
    ) -> LogGenesis {
        var words: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0)
        // SAFETY: the words are borrowed for the call; every pattern of bits is an integer.
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
            frame: LogFrame(
                firstLSN: 1, operationCount: 1, receivedAt: now, rulesVersion: Store.rulesVersion,
                results: ResultsMark(lsn: 0, digest: 0), payload: record.bytes))
    }
}
