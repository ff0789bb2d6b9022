/// Bounds of the transport. Admission and protection only: none of them can change what a call
/// does.
package struct TransportLimits: Sendable {
    /// Open connections of one loop; more are closed at once. Each costs about 20 KiB when idle.
    package var connectionsMax = 10_000
    /// Open streams of one connection, advertised as SETTINGS_MAX_CONCURRENT_STREAMS (C3).
    package var streamsPerConnectionMax = 100
    /// One message, in bytes; rejected from its prefix alone (G31).
    package var messageBytesMax = 4 << 20
    /// Bytes of one header block that are kept, counted as name + value + 32 per field (G22, A7).
    package var headerBytesMax = 16 << 10
    /// Bytes of one header block that close the connection.
    package var headerBytesFatal = 64 << 10
    /// Responses waiting in one stream that its reader does not drain, in bytes; a larger single
    /// message fits an empty stream.
    package var outputBytesPerStreamMax = 64 << 10
    /// Responses waiting in one connection, in bytes (A14, C15).
    package var outputBytesPerConnectionMax = 1 << 20
    /// Responses waiting in all connections of a loop, in bytes (A14).
    package var outputBytesMax = 64 << 20
    /// Bytes that one tick takes from nghttp2 before it writes them, in bytes: one send, one system
    /// call.
    package var sendBytes = 64 << 10
    /// Flow-control window of a stream, in bytes, and so the most that a paused stream holds (C16);
    /// a message of 4 MiB needs 16 round trips, a flood meets a wall.
    package var streamWindowBytes = 256 << 10
    /// Flow-control window of a connection, in bytes, and so the most that its paused streams hold
    /// together: 100 streams with small messages never wait.
    package var connectionWindowBytes = 4 << 20
    /// Frames nghttp2 may queue for a reader that does not read, before the connection is closed
    /// (A10).
    package var outboundFramesMax = 2_000
    /// Resets that a client may cause at once, and per second after that: RST_STREAM received (A1)
    /// or provoked (A2).
    package var resetBurst = 200
    package var resetsPerSecond = 33
    /// CONTINUATION frames of one block (A3).
    package var continuationsMax = 8
    /// Frames of any type that bring no progress, at once (A4-A9): 0.1 to 0.5 ms of the loop's
    /// time. The most that an honest client needs is a message of 3,000 bytes in frames of one
    /// byte.
    package var frameBurst = 3_000
    /// As many more in each second: 10,000 connections that use it up together cost a tenth of a
    /// core. An honest client without calls sends a ping each 10 s.
    package var framesPerSecond = 200
    /// Pings closer together than this are strikes (C7); in nanoseconds.
    package var pingIntervalNanoseconds: UInt64 = 300_000_000_000
    /// Strikes after which the connection is told to calm down.
    package var pingStrikesMax = 2
    /// Empty DATA frames without END_STREAM in one stream (A6).
    package var emptyDataFramesMax = 100
    /// From accept to the end of the client's preface (C11), in nanoseconds.
    package var prefaceNanoseconds: UInt64 = 10_000_000_000
    /// A request whose last byte does not come, or that of one message of a request stream (A13),
    /// in nanoseconds.
    package var bodyNanoseconds: UInt64 = 60_000_000_000
    /// A connection without a call is closed after this (C13), in nanoseconds.
    package var idleNanoseconds: UInt64 = 300_000_000_000
    /// Data waits and the peer takes none (C15), in nanoseconds.
    package var sendStallNanoseconds: UInt64 = 30_000_000_000

    package init() {}
}
