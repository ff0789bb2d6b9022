import IOCore
import Synchronization

/// Figures of the log: written by its thread, read by any.
package final class LogMetrics: Sendable {
    /// Operations of a frame.
    package let frameOperations = Histogram(bounds: .frameOperations)
    /// Bytes of a frame.
    package let frameBytes = Histogram(bounds: .frameBytes)
    /// Nanoseconds of one fdatasync.
    package let syncNanoseconds = Histogram(bounds: .fdatasyncSeconds)
    private let bytesCell = Atomic<UInt64>(0)
    private let segmentsCell = Atomic<UInt64>(0)
    private let isSyncingCell = Atomic<Bool>(false)

    package init() {}

    /// Bytes written since the start.
    package var bytes: UInt64 { self.bytesCell.load(ordering: .relaxed) }
    /// Segments begun since the start.
    package var segments: UInt64 { self.segmentsCell.load(ordering: .relaxed) }

    /// Whether the log waits for the disk at this moment.
    package var isSyncing: Bool { self.isSyncingCell.load(ordering: .relaxed) }

    /// Counts one frame.
    package func wrote(operations: UInt32, bytes: Int) {
        self.frameOperations.record(UInt64(operations))
        self.frameBytes.record(UInt64(bytes))
        self.bytesCell.wrappingAdd(UInt64(bytes), ordering: .relaxed)
    }

    func setSyncing(_ isSyncing: Bool) {
        self.isSyncingCell.store(isSyncing, ordering: .relaxed)
    }

    func beganSegment() {
        self.segmentsCell.wrappingAdd(1, ordering: .relaxed)
    }
}
