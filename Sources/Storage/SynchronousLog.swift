/// One group commit to be made durable.
package struct FrameContents {
    /// Of the first operation; lsns are without gap within and between frames.
    package var firstLSN: UInt64
    package var operationCount: UInt32
    /// Microseconds since 1970, never less than that of the frame before.
    package var receivedAt: Int64
    package var rulesVersion: UInt32
    /// Of the results of the last frame of records before this one.
    package var previousResultsDigest: UInt64
    /// The records; borrowed for the call. At most `FrameHeader.payloadBytesMax`.
    package var payload: UnsafeRawBufferPointer

    package init(
        firstLSN: UInt64, operationCount: UInt32, receivedAt: Int64, rulesVersion: UInt32,
        previousResultsDigest: UInt64, payload: UnsafeRawBufferPointer
    ) {
        self.firstLSN = firstLSN
        self.operationCount = operationCount
        self.receivedAt = receivedAt
        self.rulesVersion = rulesVersion
        self.previousResultsDigest = previousResultsDigest
        self.payload = payload
    }
}

/// The local log as it was before `CommandLog` became asynchronous; goes with the next commit.
protocol SynchronousLog: AnyObject {
    /// Who writes: a replicated log raises it when the writer changes, a local one stays at 1.
    var epoch: UInt64 { get }
    /// How much can still be written; asked before a frame, and now and then while none comes.
    ///
    /// - Parameter isStopped: Whoever asks waits for room: false spares a question to the disk
    ///   where only `.low` would matter.
    func headroom(isStopped: Bool) -> LogHeadroom
    /// Hands one frame over; it may not be durable yet when this returns.
    ///
    /// - Throws: `.noSpace` if nothing was written and a later try may go; `.poisoned` or `.io` if
    ///   the outcome is unknown and nothing more may be written.
    func append(_ frame: FrameContents) throws(StorageError)
    /// Waits until everything handed over is durable.
    ///
    /// - Returns: The number of the last durable frame.
    /// - Throws: As `append`; the outcome of what was handed over is unknown then.
    func commit() throws(StorageError) -> UInt64
    /// Marks that everything before is durable, so that damage there can never be taken for a torn
    /// tail.
    func seal(previousResultsDigest: UInt64) throws(StorageError)
    /// Seals, and ends what is being written to, so that everything before can go once a snapshot
    /// covers it.
    ///
    /// - Returns: Where the log goes on: the position of a snapshot of the state as it is now.
    /// - Throws: `.noSpace` if the log goes on as before; anything else as `append`.
    func cut(
        receivedAt: Int64, previousResultsDigest: UInt64, rulesVersion: UInt32
    ) throws(StorageError) -> SnapshotPosition
}
