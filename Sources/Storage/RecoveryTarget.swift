/// What recovery reads the state into. Used by one thread.
package protocol RecoveryTarget: AnyObject {
    /// A snapshot begins: forget everything that was loaded before.
    func begin(_ position: SnapshotPosition)
    /// Takes one block of the snapshot, verified; borrowed for the call.
    ///
    /// - Returns: False if its content is not understood although its checksums are right: the
    ///   start is refused.
    func load(_ block: UnsafeRawBufferPointer) -> Bool
    /// The snapshot was whole; frames from its position on follow.
    ///
    /// - Returns: False refuses the start.
    func endOfSnapshot() -> Bool
    /// The snapshot that was begun is damaged: forget it. Another `begin` follows, or the log from
    /// its first record.
    func abandonSnapshot()
    /// Takes one frame of records, in order.
    ///
    /// - Returns: False refuses the start.
    func replay(_ frame: ReplayedFrame) -> Bool
}
