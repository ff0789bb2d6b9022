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
    /// Takes snapshots and makes backups; `nil` where there are no files.
    package let desk: OperatorDesk?

    package init(store: Store, pipeline: CommitPipeline, desk: OperatorDesk? = nil) {
        self.store = store
        self.pipeline = pipeline
        self.desk = desk
    }
}

extension Partition {
    /// Reads a locked directory's log into a new store, and makes what was read durable.
    ///
    /// - Parameters:
    ///   - random: Used only for the genesis record of an empty directory.
    ///   - progress: Told how many bytes of frames are replayed, after each frame.
    /// - Returns: The store, the committer that goes on behind it, and what recovery found. The log is sealed.
    /// - Throws: `RecoveryError`; nothing on disk has changed then.
    /// - Complexity: O(bytes of the log).
    package static func recover(
        _ environment: LogEnvironment, limits: StoreLimits, random: any RandomSource,
        progress: @escaping (Int) -> Void
    ) throws(RecoveryError) -> (store: Store, committer: Committer, log: SegmentedLog, report: RecoveryReport) {
        let target = LogTarget(progress: progress)
        var genesis = ByteBuffer()
        let log: SegmentedLog
        let report: RecoveryReport
        do throws(StorageError) {
            (log, report) = try SegmentedLog.open(environment, birth: {
                Self.birth(limits: limits, random: random, now: environment.clock.wallMicroseconds(), record: &genesis)
            }, target: target)
        } catch {
            throw target.replay.failure ?? .storage(error)
        }
        guard let store = target.replay.store else { throw .genesis }
        do throws(StorageError) {
            // So that the next start need not copy what this one has just made durable.
            try log.seal(previousResultsDigest: target.replay.digest.value)
        } catch {
            throw .storage(error)
        }
        let committer = Committer(
            log: log, store: store, clock: environment.clock,
            position: Committer.Position(
                nextLSN: target.replay.nextLSN, receivedAt: target.replay.receivedAt, digest: target.replay.digest))
        return (store, committer, log, report)
    }

    /// The first frame of a new directory: its secrets and limits.
    private static func birth(
        limits: StoreLimits, random: any RandomSource, now: Int64, record: inout ByteBuffer
    ) -> LogBirth {
        var words: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0)
        withUnsafeMutableBytes(of: &words) { random.fill($0) }
        let genesis = Genesis(
            directoryID: ProfileID(high: words.0, low: words.1), hashKey: SipHashKey(k0: words.2, k1: words.3),
            secret: SipHashKey(k0: words.4, k1: words.5), limits: limits)
        let start = beginRecord(.genesis, in: &record)
        genesis.encode(into: &record)
        endRecord(at: start, operations: 1, in: &record)
        return LogBirth(
            directoryID: DirectoryID(high: words.0, low: words.1),
            frame: FrameContents(
                firstLSN: 1, operationCount: 1, receivedAt: now, rulesVersion: Store.rulesVersion,
                previousResultsDigest: 0, payload: record.bytes))
    }
}

/// Replays the log; snapshots are refused.
final class LogTarget: RecoveryTarget {
    var replay = Replay()
    private var doneBytes = 0
    private let progress: (Int) -> Void

    init(progress: @escaping (Int) -> Void) {
        self.progress = progress
    }

    func begin(_ position: SnapshotPosition) {}
    func load(_ block: UnsafeRawBufferPointer) -> Bool { false }
    func endOfSnapshot() -> Bool { false }
    func abandonSnapshot() {}

    func replay(_ frame: ReplayedFrame) -> Bool {
        let goesOn = self.replay.apply(frame)
        self.doneBytes += frame.payload.count
        self.progress(self.doneBytes)
        return goesOn
    }
}

/// Applies the frames of a log to a store, and checks that they give what they gave before.
struct Replay: ~Copyable {
    private(set) var store: Store?
    private(set) var digest = ResultsDigest()
    private(set) var nextLSN: UInt64 = 1
    private(set) var receivedAt: Int64 = 0
    /// Why the last frame was refused.
    private(set) var failure: RecoveryError?
    private var results = ByteBuffer(capacity: 1 << 20)

    /// Applies one frame; false refuses it, and `failure` says why.
    mutating func apply(_ frame: ReplayedFrame) -> Bool {
        do throws(RecoveryError) {
            try self.replay(frame)
            return true
        } catch {
            self.failure = error
            return false
        }
    }

    private mutating func replay(_ frame: ReplayedFrame) throws(RecoveryError) {
        guard frame.header.previousResultsDigest == self.digest.value else {
            throw .digest(frame: frame.header.number, lsn: frame.header.firstLSN)
        }
        self.digest = ResultsDigest()
        self.results.removeAll()
        self.receivedAt = frame.header.receivedAt
        self.nextLSN = frame.header.firstLSN
        var offset = 0
        while offset < frame.payload.count {
            guard let record = RecordView(UnsafeRawBufferPointer(rebasing: frame.payload[offset...])) else {
                throw .malformedRecord(lsn: self.nextLSN)
            }
            try self.apply(record)
            self.nextLSN += UInt64(record.operations)
            offset += record.totalBytes
        }
    }

    private mutating func apply(_ record: RecordView) throws(RecoveryError) {
        if self.store == nil {
            guard record.kind == RecordKind.genesis.rawValue, let genesis = try? Genesis(decoding: record.payload) else {
                throw .genesis
            }
            self.store = Store(genesis: genesis)
        }
        let start = self.results.count
        do throws(ApplyError) {
            try self.store?.apply(
                record, firstLSN: self.nextLSN, receivedAt: self.receivedAt, results: &self.results)
        } catch {
            throw .record(error, lsn: self.nextLSN)
        }
        // The genesis frame has no digest of its own: nothing was answered from it.
        guard record.kind != RecordKind.genesis.rawValue else { return }
        self.digest.add(UnsafeRawBufferPointer(rebasing: self.results.bytes[start...]))
    }
}
