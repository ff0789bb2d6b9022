import Storage
import Synchronization

/// Figures of the snapshots: written by their thread, read by any.
package final class SnapshotMetrics: Sendable {
    private let completedCell = Atomic<UInt64>(0)
    private let failedCell = Atomic<UInt64>(0)
    private let lsnCell = Atomic<UInt64>(0)
    private let bytesCell = Atomic<UInt64>(0)
    private let nanosecondsCell = Atomic<UInt64>(0)
    private let isRunningCell = Atomic<Bool>(false)

    /// Snapshots verified since the start.
    package var completed: UInt64 { self.completedCell.load(ordering: .relaxed) }
    /// Snapshots that failed since the start.
    package var failed: UInt64 { self.failedCell.load(ordering: .relaxed) }
    /// What the newest one covers; 0: there is none.
    package var lsn: UInt64 { self.lsnCell.load(ordering: .relaxed) }
    /// Of its file.
    package var bytes: UInt64 { self.bytesCell.load(ordering: .relaxed) }
    /// From wish to verification, of the last one since the start.
    package var nanoseconds: UInt64 { self.nanosecondsCell.load(ordering: .relaxed) }
    package var isRunning: Bool { self.isRunningCell.load(ordering: .relaxed) }

    func began() { self.isRunningCell.store(true, ordering: .relaxed) }

    func found(_ file: SnapshotFile) {
        self.lsnCell.store(file.position.lsn, ordering: .relaxed)
        self.bytesCell.store(UInt64(file.bytes), ordering: .relaxed)
    }

    func ended(_ result: Result<SnapshotFile, SnapshotFailure>, nanoseconds: UInt64) {
        self.isRunningCell.store(false, ordering: .relaxed)
        switch result {
        case .success(let file):
            self.found(file)
            self.nanosecondsCell.store(nanoseconds, ordering: .relaxed)
            self.completedCell.wrappingAdd(1, ordering: .relaxed)
        case .failure: self.failedCell.wrappingAdd(1, ordering: .relaxed)
        }
    }
}
