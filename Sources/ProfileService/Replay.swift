import Bytes
import Profiles
import Storage

/// The progress of a start; for the operator.
package struct RecoveryProgress: Equatable, Sendable {
    /// Of the snapshot, loaded so far.
    package var snapshotBytes: UInt64 = 0
    /// Of the frames behind it, replayed so far.
    package var logBytes: UInt64 = 0
    /// The last lsn of the state built so far.
    package var lsn: UInt64 = 0

    /// Of both.
    package var bytes: UInt64 { self.snapshotBytes + self.logBytes }
}

/// Builds a store from a snapshot and the frames of a log behind it, and compares their results
/// with those that the log carries.
package final class Replay: RecoveryTarget {
    /// `nil` before the first record, and while a snapshot is loaded.
    package private(set) var store: Store?
    private(set) var results = ResultsChain()
    /// Of the last call, in microseconds since 1970.
    private(set) var receivedAt: Int64 = 0
    /// When the first record came that no snapshot covers, by the machine's clock, in microseconds;
    /// `nil`: there is none.
    private(set) var uncoveredSince: Int64?
    private(set) var progress = RecoveryProgress()
    /// Why something was rejected.
    package private(set) var failure: RecoveryError?
    private var loader: StoreLoader?
    private var position: SnapshotPosition?
    private var resultBytes = ByteBuffer(capacity: 1 << 20)
    private let rulesVersion: UInt32
    private let recorder: ChangeRecorder?
    private let onProgress: (RecoveryProgress) -> Void

    /// - Parameters:
    ///   - rulesVersion: The newest rules that are understood.
    ///   - recorder: Takes the changes behind the snapshot; `nil`: nobody does.
    ///   - onProgress: Called after each block and frame.
    package init(
        rulesVersion: UInt32 = Store.rulesVersion, recorder: ChangeRecorder? = nil,
        onProgress: @escaping (RecoveryProgress) -> Void = { _ in }
    ) {
        self.rulesVersion = rulesVersion
        self.recorder = recorder
        self.onProgress = onProgress
    }

    // MARK: The snapshot

    package func begin(_ position: SnapshotPosition, bytes: Int) {
        self.abandonSnapshot()
        self.position = position
        self.loader = StoreLoader(bytes: bytes)
    }

    package func load(_ block: UnsafeRawBufferPointer) -> Bool {
        do throws(SnapshotError) {
            try self.loader?.load(block)
        } catch {
            self.failure = .snapshot(error)
            return false
        }
        self.progress.snapshotBytes += UInt64(block.count)
        self.onProgress(self.progress)
        return true
    }

    package func endOfSnapshot() -> Bool {
        guard let loader = self.loader, let position = self.position else { return false }
        self.loader = nil
        do throws(SnapshotError) {
            let store = try loader.finish()
            guard position.rulesVersion <= self.rulesVersion else {
                throw .newerVersion(position.rulesVersion)
            }
            guard store.appliedLSN == position.lsn else { throw .incomplete }
            self.use(store, behind: position.lsn)
        } catch {
            self.failure = .snapshot(error)
            return false
        }
        self.results = ResultsChain(
            behind: ResultsMark(lsn: position.lsn, digest: position.resultsDigest))
        self.receivedAt = position.receivedAt
        self.progress.lsn = position.lsn
        return true
    }

    private func use(_ store: Store, behind lsn: UInt64) {
        store.newestRules = self.rulesVersion
        self.store = store
        self.recorder?.begin(store, behind: lsn)
    }

    package func abandonSnapshot() {
        self.loader = nil
        self.position = nil
        self.store = nil
        self.progress = RecoveryProgress()
    }

    // MARK: The log

    package func replay(_ frame: ReplayedFrame) -> Bool {
        do throws(RecoveryError) {
            try self.apply(frame)
        } catch {
            self.failure = error
            return false
        }
        self.progress.logBytes += UInt64(frame.payload.count)
        self.progress.lsn = self.results.appliedLSN
        self.onProgress(self.progress)
        return true
    }

    package func check(_ results: ResultsMark, number: UInt64) -> Bool {
        guard self.results.check(results) else {
            self.failure = .digest(frame: number, lsn: results.lsn + 1)
            return false
        }
        return true
    }

    private func apply(_ frame: ReplayedFrame) throws(RecoveryError) {
        guard self.results.check(frame.results) else {
            throw .digest(frame: frame.number, lsn: frame.firstLSN)
        }
        // Before the first record of it: what an older release would make of the frame is another
        // state, even if it understood every record.
        guard frame.rulesVersion <= self.rulesVersion else {
            throw .newerRules(
                frame.rulesVersion, frame: frame.number, lsn: frame.firstLSN,
                known: self.rulesVersion)
        }
        let store = try self.store(for: frame)
        self.uncoveredSince =
            self.uncoveredSince ?? FrameClock.split(frame.payload).clock ?? frame.receivedAt
        let applied = try store.applyFrame(frame, results: &self.resultBytes)
        self.results.applied(applied)
        self.receivedAt = store.lastReceivedAt
        self.recorder?.record(store, from: frame.firstLSN, applied, clock: frame.clock)
        self.recorder?.writeWhileReplaying()
    }

    /// The store; the first record of all makes it.
    private func store(for frame: ReplayedFrame) throws(RecoveryError) -> Store {
        if let store = self.store { return store }
        guard let record = RecordView(frame.payload) else {
            throw .malformedRecord(lsn: frame.firstLSN)
        }
        guard record.kind == RecordKind.genesis.rawValue,
            let genesis = try? Genesis(decoding: record.payload)
        else {
            throw .genesis
        }
        let store = Store(genesis: genesis)
        self.use(store, behind: frame.firstLSN - 1)
        return store
    }
}
