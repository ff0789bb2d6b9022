import Messages

/// Bounds of streams; they slow a client down, and end only the streams of one that does not read.
package struct StreamLimits: Sendable {
    /// Requests of one stream without a sent response; beyond it HTTP/2 flow control holds the
    /// client back. At 1 ms a commit this is 128,000 requests a second on one stream.
    package var requestsInFlightMax = 128
    /// Responses of all streams of a loop that wait outside of the transport's own buffers, in
    /// bytes.
    package var unreadResponseBytesMax = 16 << 20
    /// Requests of all streams of a loop that wait for headroom in the log, in bytes; beyond it the
    /// largest ones are rejected with RATE_EXCEEDED, each by a response of its own.
    package var postponedBytesMax = 16 << 20
    /// Messages of one import that are kept: one is decoded while the one before is in the log.
    package var importChunksPerStreamMax = 2
    /// Open imports of a loop, of one peer half as many. Each keeps two messages: packed, and one
    /// of them as it came, some 20 MiB at most.
    package var importStreamsMax = 16
    /// Parts of imports of a loop that wait for the log while no other call writes: half of them
    /// are applied while the other half is cut. More would only make frames longer.
    package var importPartsInFlightMax = 8
    /// The same beside other calls, which wait for no more than these.
    package var importPartsBesideCallsMax = 2
    /// Batches with parts, since the last call that wrote, in which imports still make way: some 50
    /// ms.
    package var importYieldBatches = 64
    /// Where imports are cut.
    package var importParts = ImportChunk.PartLimits()
    /// Health watches of one connection; they live for ever (H9).
    package var watchesPerConnectionMax = 8

    package init() {}
}
