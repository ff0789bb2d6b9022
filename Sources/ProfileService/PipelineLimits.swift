/// Bounds of the commit pipeline; they decide about admission only, so none can change an outcome.
package struct PipelineLimits: Sendable {
    /// Commands waiting for the log, in all loops together. At 200,000 a second this is a third of
    /// a second of work.
    package var commandsWaitingMax = 65_536
    /// Bytes of records waiting for the log.
    package var bytesWaitingMax = 64 << 20
    /// Commands waiting for the log above which streams wait for headroom: half of the bound.
    package var streamCommandsWaitingMax = 32_768
    /// The same in bytes of records.
    package var streamBytesWaitingMax = 32 << 20
    /// Memory of the store above which writes that need memory are rejected, in bytes; 0: what the
    /// store can address at all.
    package var memoryBytesMax = 0
    /// Operations of one frame: bounds how long one apply delays the responses of the others.
    package var frameOperationsMax = 4_096
    /// Bytes of one frame, unless a single record is larger.
    package var frameBytesMax = 4 << 20
    /// Commands of one frame at least, if so many wait: with several frames in flight the waiting
    /// commands are spread over them, but a frame costs its log a round trip whatever is in it.
    package var frameCommandsMin = 32
    /// How often the committer looks for due ticks when nothing else happens, in nanoseconds.
    package var tickNanoseconds: UInt64 = 10_000_000_000
    /// How often the committer looks for space while the disk is full, in nanoseconds: a fifth of
    /// the 5 s within which writes are back.
    package var spaceProbeNanoseconds: UInt64 = 1_000_000_000

    package init() {}
}
