import Storage
import Synchronization

/// Figures of the snapshots: written by their thread, read by any.
package final class SnapshotMetrics: Sendable {
    private let completed_ = Atomic<UInt64>(0)
    private let failed_ = Atomic<UInt64>(0)
    private let lsn_ = Atomic<UInt64>(0)
    private let bytes_ = Atomic<UInt64>(0)
    private let nanoseconds_ = Atomic<UInt64>(0)
    private let isRunning_ = Atomic<Bool>(false)

    /// Snapshots verified since the start.
    package var completed: UInt64 { self.completed_.load(ordering: .relaxed) }
    /// Snapshots that came to nothing since the start.
    package var failed: UInt64 { self.failed_.load(ordering: .relaxed) }
    /// What the newest one covers; 0: there is none.
    package var lsn: UInt64 { self.lsn_.load(ordering: .relaxed) }
    /// Of its file.
    package var bytes: UInt64 { self.bytes_.load(ordering: .relaxed) }
    /// From wish to verification, of the last one since the start.
    package var nanoseconds: UInt64 { self.nanoseconds_.load(ordering: .relaxed) }
    package var isRunning: Bool { self.isRunning_.load(ordering: .relaxed) }

    func began() { self.isRunning_.store(true, ordering: .relaxed) }

    func found(_ file: SnapshotFile) {
        self.lsn_.store(file.position.lsn, ordering: .relaxed)
        self.bytes_.store(UInt64(file.bytes), ordering: .relaxed)
    }

    func ended(_ result: Result<SnapshotFile, SnapshotFailure>, nanoseconds: UInt64) {
        self.isRunning_.store(false, ordering: .relaxed)
        switch result {
        case .success(let file):
            self.found(file)
            self.nanoseconds_.store(nanoseconds, ordering: .relaxed)
            self.completed_.wrappingAdd(1, ordering: .relaxed)
        case .failure: self.failed_.wrappingAdd(1, ordering: .relaxed)
        }
    }
}
