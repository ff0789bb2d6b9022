/// Bounds of the WatchTriggers calls of a node.
package struct TriggerStreamLimits: Sendable {
    /// Open WatchTriggers calls, of one peer half as many. Each costs at most `2 * batchBytes` and
    /// its deliveries without an acknowledgement, of some 100 bytes each, beside what the transport
    /// holds.
    package var streamsMax = 1_000
    /// Deliveries that are handed to a loop at once, in bytes, and one more at most. Of each stream
    /// one batch waits and one is being sent.
    package var batchBytes = 32 << 10
    /// Firings of a trigger that are delivered before the next trigger gets its turn.
    package var deliveriesPerTurn = 256
    /// Firings that are copied at once under the lock of the state.
    package var firingsPerRead = 16
    /// A stream that was sent nothing for so long gets a heartbeat, in nanoseconds.
    package var heartbeatNanoseconds: UInt64 = 5_000_000_000
    /// Acknowledgements of one stream that wait for the dispatcher; beyond it flow control holds
    /// the client back, so that there is one message more at most.
    package var acknowledgementsMax = 10_000
    /// Settlements of one trigger that wait for the log; beyond it no acknowledgements are taken
    /// and nothing is delivered.
    package var settlementsMax = 20_000

    package init() {}
}
