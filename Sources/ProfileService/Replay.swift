import Bytes
import Profiles
import Storage

/// How far a start has got; for the operator.
package struct RecoveryProgress: Equatable, Sendable {
    /// Of the snapshot, loaded so far.
    package var snapshotBytes: UInt64 = 0
    /// Of the frames behind it, replayed so far.
    package var logBytes: UInt64 = 0
    /// Up to where the state is built.
    package var lsn: UInt64 = 0

    /// Of both.
    package var bytes: UInt64 { self.snapshotBytes + self.logBytes }
}

/// Builds a store from a snapshot and the frames of a log behind it, and checks that these give
/// what they gave before.
package final class Replay: RecoveryTarget {
    /// `nil` before the first record, and while a snapshot is loaded.
    package private(set) var store: Store?
    private(set) var digest = ResultsDigest()
    private(set) var nextLSN: UInt64 = 1
    private(set) var receivedAt: Int64 = 0
    /// Of the frame that is being replayed.
    private var rulesVersion: UInt32 = 0
    /// `receivedAt` of the first record that no snapshot covers, in microseconds; `nil`: there is
    /// none.
    private(set) var uncoveredSince: Int64?
    private(set) var progress = RecoveryProgress()
    /// Why something was refused.
    package private(set) var failure: RecoveryError?
    private var loader: StoreLoader?
    private var position: SnapshotPosition?
    private var results = ByteBuffer(capacity: 1 << 20)
    private let onProgress: (RecoveryProgress) -> Void

    /// - Parameter onProgress: Told after each block and frame.
    package init(onProgress: @escaping (RecoveryProgress) -> Void = { _ in }) {
        self.onProgress = onProgress
    }

    // MARK: The snapshot

    package func begin(_ position: SnapshotPosition) {
        self.abandonSnapshot()
        self.position = position
        self.loader = StoreLoader()
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
            guard position.rulesVersion <= Store.rulesVersion else {
                throw .newerVersion(position.rulesVersion)
            }
            guard store.appliedLSN == position.lsn else { throw .incomplete }
            self.store = store
        } catch {
            self.failure = .snapshot(error)
            return false
        }
        self.digest = ResultsDigest(value: position.resultsDigest)
        self.nextLSN = position.nextLSN
        self.receivedAt = position.receivedAt
        self.progress.lsn = position.lsn
        return true
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
        self.progress.lsn = self.nextLSN - 1
        self.onProgress(self.progress)
        return true
    }

    private func apply(_ frame: ReplayedFrame) throws(RecoveryError) {
        guard frame.header.previousResultsDigest == self.digest.value else {
            throw .digest(frame: frame.header.number, lsn: frame.header.firstLSN)
        }
        self.digest = ResultsDigest()
        self.results.removeAll()
        self.receivedAt = frame.header.receivedAt
        self.uncoveredSince = self.uncoveredSince ?? frame.header.receivedAt
        self.nextLSN = frame.header.firstLSN
        self.rulesVersion = frame.header.rulesVersion
        var offset = 0
        var count = 0
        while offset < frame.payload.count {
            if count.isMultiple(of: Store.prefetchMax) {
                self.store?.prefetch(
                    UnsafeRawBufferPointer(rebasing: frame.payload[offset...]),
                    firstLSN: self.nextLSN,
                    receivedAt: self.receivedAt)
            }
            count += 1
            guard
                let record = RecordView(UnsafeRawBufferPointer(rebasing: frame.payload[offset...]))
            else {
                throw .malformedRecord(lsn: self.nextLSN)
            }
            try self.apply(record)
            self.nextLSN += UInt64(record.operations)
            offset += record.totalBytes
        }
    }

    private func apply(_ record: RecordView) throws(RecoveryError) {
        let start = self.results.count
        let store = try self.store(for: record)
        do throws(ApplyError) {
            try store.apply(
                record, firstLSN: self.nextLSN, receivedAt: self.receivedAt,
                rulesVersion: self.rulesVersion, results: &self.results)
        } catch {
            throw .record(error, lsn: self.nextLSN)
        }
        // The genesis frame has no digest of its own: nothing was answered from it.
        guard record.kind != RecordKind.genesis.rawValue else { return }
        self.digest.add(UnsafeRawBufferPointer(rebasing: self.results.bytes[start...]))
    }

    /// The store; the first record of all makes it.
    private func store(for record: RecordView) throws(RecoveryError) -> Store {
        if let store = self.store { return store }
        guard record.kind == RecordKind.genesis.rawValue,
            let genesis = try? Genesis(decoding: record.payload)
        else {
            throw .genesis
        }
        let store = Store(genesis: genesis)
        self.store = store
        return store
    }
}
