/// Bounds of the transport. Admission and protection only: none of them can change what a call
/// does.
package struct TransportLimits: Sendable {
    /// Open connections of one loop; at the limit the most idle one yields to a new one. Each costs
    /// about 15 KiB when idle.
    package var connectionsMax = 10_000
    /// Open connections of one peer, an IPv4 address or a /64 of IPv6, in the whole process: enough
    /// for a proxy, and 40 peers are needed to fill the server (A13).
    package var connectionsPerPeerMax = 256
    /// Open streams of one connection, advertised as SETTINGS_MAX_CONCURRENT_STREAMS (C3).
    package var streamsPerConnectionMax = 100
    /// One message, in bytes; rejected from its prefix alone (G31).
    package var messageBytesMax = 4 << 20
    /// Bytes of one header block that are kept, counted as name + value + 32 per field (G22, A7).
    package var headerBytesMax = 16 << 10
    /// Longest credentials that are kept whole, in bytes. Of longer ones a connection keeps the
    /// beginning, at this length: it must be longer than any credentials that a handler accepts.
    package static let credentialsBytesMax = 128
    /// Bytes of one header block that close the connection.
    package var headerBytesFatal = 64 << 10
    /// Responses waiting in one stream that its reader does not drain, in bytes; a larger single
    /// message fits an empty stream.
    package var outputBytesPerStreamMax = 64 << 10
    /// Responses waiting in one connection, in bytes (A14, C15). Above it no further call of the
    /// connection is begun; those under way may exceed it.
    package var outputBytesPerConnectionMax = 1 << 20
    /// Responses waiting in all connections, in bytes; loops divide it (A14). Beyond it the largest
    /// holders are cut off; a single peer that does not read is cut off at a quarter of it.
    package var outputBytesMax = 64 << 20
    /// Unfinished requests of one connection, in bytes: two messages of the largest size at once.
    /// Others wait for them, with their windows shut.
    package var requestBytesPerConnectionMax = 8 << 20
    /// Unfinished requests of all connections, in bytes; loops divide it (A13). One peer may hold
    /// half of it.
    package var requestBytesMax = 64 << 20
    /// Least share of a loop in the two budgets above, in bytes: four messages of the largest size.
    package static let bytesPerLoopMin = 16 << 20
    /// Header blocks of one peer whose rest is to come, on one loop: each may keep some 130 KiB in
    /// nghttp2. Beyond it the oldest ends its connection.
    package var headerBlocksPerPeerMax = 64
    /// As above, of all peers of a loop: 64 MiB. The peer that has most pays.
    package var headerBlocksMax = 512
    /// Open streams of one loop, some 1 KiB each; beyond it new ones are refused (REFUSED_STREAM),
    /// which clients try again. A single peer cannot use it up.
    package var streamsMax = 65_536
    /// Bytes that one tick takes from nghttp2 before it writes them, in bytes: one send, one system
    /// call.
    package var sendBytes = 64 << 10
    /// Flow-control window of a stream, in bytes, and so the most that a stream holds which is
    /// paused or waits for its share of the budget (C16).
    package var streamWindowBytes = 64 << 10
    /// Window of a stream while it sends a large message that the budget has headroom for, in
    /// bytes: a message of 4 MiB needs 16 round trips.
    package var grantedWindowBytes = 256 << 10
    /// Flow-control window of a connection, in bytes. More than twice what all of its streams may
    /// hold, because nghttp2 reports consumed bytes by half windows: streams that wait can never
    /// shut it for the one that has its share.
    package var connectionWindowBytes = 16 << 20
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
    /// From accept to the end of the client's preface and SETTINGS, however slowly they come (C11),
    /// in nanoseconds.
    package var prefaceNanoseconds: UInt64 = 10_000_000_000
    /// From the first byte of a header block to its last (C11, A13), in nanoseconds.
    package var headerBlockNanoseconds: UInt64 = 10_000_000_000
    /// A request whose last byte does not come, or that of one message of a request stream (A13),
    /// in nanoseconds.
    package var bodyNanoseconds: UInt64 = 60_000_000_000
    /// A connection without a call is closed after this, whatever else it sends (C13), in
    /// nanoseconds.
    package var idleNanoseconds: UInt64 = 300_000_000_000
    /// Data waits and the peer takes none (C15): the stream is reset, or the connection closed, if
    /// none of its streams makes progress; in nanoseconds.
    package var sendStallNanoseconds: UInt64 = 30_000_000_000
    /// From the end of a call to the last byte of its response, however slowly it is read, in
    /// nanoseconds: 4 MiB at the speed of an early modem.
    package var responseNanoseconds: UInt64 = 900_000_000_000
    /// A message that takes longer than this while others wait for its share of the budget is
    /// abandoned, in nanoseconds: 4 MiB at 0.8 MB/s.
    package var contendedMessageNanoseconds: UInt64 = 5_000_000_000
    /// Age at which a connection is asked to end, give or take a tenth, in nanoseconds: clients
    /// spread anew over servers (C13).
    package var ageNanoseconds: UInt64 = 3_600_000_000_000
    /// From then until it is closed, in nanoseconds.
    package var ageGraceNanoseconds: UInt64 = 60_000_000_000
    /// Silence of a connection with calls after which the server sends a PING (C14), in
    /// nanoseconds. Far below the age, so that a peer that vanished is noticed long before it.
    package var keepaliveNanoseconds: UInt64 = 600_000_000_000
    /// Silence after that PING which closes the connection (C14), in nanoseconds.
    package var keepaliveTimeoutNanoseconds: UInt64 = 20_000_000_000
    /// From the end of a session to the last byte of its output, however slowly it is read, in
    /// nanoseconds: at most 80 KiB, at the speed of an early modem.
    package var lastOutputNanoseconds: UInt64 = 60_000_000_000
    /// From our half-close to the close, if the peer does not close first, in nanoseconds: closed
    /// at once, a connection with unread input would lose what the peer has not read yet. During a
    /// drain the grace takes its place.
    package var lingerNanoseconds: UInt64 = 5_000_000_000
    /// What lets a connection be called stalled while its peer holds more than its share of waiting
    /// responses, in nanoseconds: several round trips.
    package var contendedStallNanoseconds: UInt64 = 1_000_000_000
    /// How long a call waits that is rejected later, in nanoseconds: who guesses keys then has as
    /// many tries per second as may wait.
    package var rejectionDelayNanoseconds: UInt64 = 1_000_000_000
    /// Calls of one loop that wait for their rejection; one more is reset, or its connection closed
    /// if no call of it was accepted.
    package var delayedRejectionsMax = 64

    package init() {}

    /// What one peer may hold of the budget of a loop: half, so that no single one can use it up.
    var requestBytesPerPeerMax: Int { self.requestBytesMax / 2 }
    /// As above for responses, and a quarter: at it each connection of the peer has one call at a
    /// time, and those that do not read are cut off.
    var outputBytesPerPeerMax: Int { self.outputBytesMax / 4 }

    /// The limits of one of several loops: budgets of the process are divided, so that no frame
    /// touches memory that another loop writes.
    package func share(ofLoops loops: Int) -> TransportLimits {
        var share = self
        share.requestBytesMax = max(self.requestBytesMax / loops, Self.bytesPerLoopMin)
        share.outputBytesMax = max(self.outputBytesMax / loops, Self.bytesPerLoopMin)
        return share
    }
}
