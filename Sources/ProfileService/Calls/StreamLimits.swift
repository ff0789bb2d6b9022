/// Bounds of streams; they slow a client down, and end only the streams of one that does not read.
package struct StreamLimits: Sendable {
    /// Requests of one stream without a sent response; beyond it HTTP/2 flow control holds the
    /// client back. At 1 ms a commit this is 128,000 requests a second on one stream.
    package var requestsInFlightMax = 128
    /// Responses of all streams of a loop that wait outside of the transport's own buffers, in
    /// bytes.
    package var unreadResponseBytesMax = 16 << 20
    /// Health watches of one connection; they live for ever (H9).
    package var watchesPerConnectionMax = 8

    package init() {}
}
