import Storage

/// Takes the first frame of a new log, and keeps nothing.
final class EmptyTarget: RecoveryTarget {
    func begin(_ position: SnapshotPosition, bytes: Int) {}
    func load(_ block: UnsafeRawBufferPointer) -> Bool { true }
    func endOfSnapshot() -> Bool { true }
    func abandonSnapshot() {}
    func replay(_ frame: ReplayedFrame) -> Bool { true }
    func check(_ results: ResultsMark, number: UInt64) -> Bool { true }
}
