/// What recovery reads the state into. Used by one thread.
package protocol RecoveryTarget: AnyObject {
    /// A snapshot begins; whatever was loaded before is discarded.
    ///
    /// - Parameter bytes: Of the whole snapshot.
    func begin(_ position: SnapshotPosition, bytes: Int)
    /// Takes one block of the snapshot, verified; borrowed for the call.
    ///
    /// - Returns: False if its content is not understood although its checksums are right: that
    ///   rejects the start.
    func load(_ block: UnsafeRawBufferPointer) -> Bool
    /// The snapshot was whole; frames from its position on follow.
    ///
    /// - Returns: False rejects the start.
    func endOfSnapshot() -> Bool
    /// The snapshot that was begun is damaged and what was loaded of it is discarded. Another
    /// `begin` follows, or the log from its first record.
    func abandonSnapshot()
    /// Takes one frame of records, in order.
    ///
    /// - Returns: False rejects the start.
    func replay(_ frame: ReplayedFrame) -> Bool
    /// Takes the digest that a frame without records carries: a seal names the results of the last
    /// frame before it.
    ///
    /// - Parameter number: Of the frame that carries it.
    /// - Returns: False rejects the start.
    func check(_ results: ResultsMark, number: UInt64) -> Bool
}

/// One committed frame of records as a log hands it over; borrowed for the call.
package struct ReplayedFrame {
    /// Its number in the log; for messages.
    package var number: UInt64
    package var firstLSN: UInt64
    /// How many lsns the payload takes.
    package var operationCount: UInt32
    /// Microseconds since 1970.
    package var receivedAt: Int64
    /// The rules that the leader applied the payload by.
    package var rulesVersion: UInt32
    /// The results of an earlier frame, as the leader had them.
    package var results: ResultsMark
    /// The records.
    package var payload: UnsafeRawBufferPointer

    /// A frame that was appended.
    package init(_ frame: LogFrame, number: UInt64) {
        self.number = number
        self.firstLSN = frame.firstLSN
        self.operationCount = frame.operationCount
        self.receivedAt = frame.receivedAt
        self.rulesVersion = frame.rulesVersion
        self.results = frame.results
        self.payload = frame.payload
    }

    /// A frame that was read from a segment.
    init(_ header: FrameHeader, payload: UnsafeRawBufferPointer) {
        self.number = header.number
        self.firstLSN = header.firstLSN
        self.operationCount = header.operationCount
        self.receivedAt = header.receivedAt
        self.rulesVersion = header.rulesVersion
        self.results = header.results
        self.payload = payload
    }
}
