import Storage

/// One frame of a simulated cluster, with a copy of its payload.
final class ReplicatedFrame {
    /// Its index in the history, from 1.
    let number: UInt64
    /// Of the leader that appended it.
    let epoch: UInt64
    private let frame: LogFrame
    // SAFETY: allocated in `init`, written there once, freed in `deinit`.
    private let memory: UnsafeMutableRawBufferPointer

    init(_ frame: LogFrame, number: UInt64, epoch: UInt64) {
        self.number = number
        self.epoch = epoch
        self.memory = .allocate(byteCount: max(frame.payload.count, 1), alignment: 16)
        self.memory.copyMemory(from: frame.payload)
        var copy = frame
        copy.payload = UnsafeRawBufferPointer(rebasing: self.memory[..<frame.payload.count])
        self.frame = copy
    }

    deinit {
        self.memory.deallocate()
    }

    /// The frame as followers and recoveries get it; valid as long as the history holds it.
    var replayed: ReplayedFrame { ReplayedFrame(self.frame, number: self.number) }

    /// The last lsn that it takes.
    var lastLSN: UInt64 { self.frame.firstLSN + UInt64(self.frame.operationCount) - 1 }

    var payload: UnsafeRawBufferPointer { self.frame.payload }
    var operationCount: UInt32 { self.frame.operationCount }
}
