/// What a peer may cost before it makes progress: one account for all frames of a connection, in
/// points (A4-A9).
///
/// A frame costs 64 points, whatever its type, received or sent as DATA; a byte of a message,
/// received or sent, earns 1; a whole message and the end of a call earn 512. So frames of 64 bytes
/// and calls of any shape cost nothing, and what is left is what a peer can cause without end:
/// unknown frames, acknowledgements, PRIORITY, padding, DATA of closed streams, windows that open
/// by a byte.
///
/// Each source of floods had its own limit before, and a single response refilled it: a client that
/// opened its window by one byte at a time was served for ever.
struct WorkBudget {
    /// One frame: 33 to 150 ns in nghttp2 and its callbacks.
    static let framePoints = 64
    /// A message or the end of a call: allows 8 frames beside each, window updates of two windows,
    /// priorities and a ping among them.
    static let progressPoints = 8 * WorkBudget.framePoints
    /// Time is added in steps, so that rounding loses nothing that matters.
    private static let stepNanoseconds: UInt64 = 10_000_000

    /// At most `burst`; below 0, the peer has cost too much.
    private var level: Int
    private let burst: Int
    private let framesPerSecond: Int
    private var updatedNanoseconds: UInt64

    /// - Parameters:
    ///   - burstFrames: Frames without progress that may come at once.
    ///   - framesPerSecond: As many more in each second.
    init(burstFrames: Int, framesPerSecond: Int, nowNanoseconds: UInt64) {
        self.burst = burstFrames * Self.framePoints
        self.level = self.burst
        self.framesPerSecond = framesPerSecond
        self.updatedNanoseconds = nowNanoseconds
    }

    /// Adds what time has earned since the last bytes.
    @inline(__always)
    mutating func refill(nowNanoseconds: UInt64) {
        let elapsed = nowNanoseconds &- self.updatedNanoseconds
        guard elapsed >= Self.stepNanoseconds else { return }
        self.updatedNanoseconds = nowNanoseconds
        // A long silence fills it; the bound keeps the product within an Int.
        let milliseconds = Int(min(elapsed / 1_000_000, 1_000_000))
        self.level += milliseconds * self.framesPerSecond * Self.framePoints / 1_000
        self.level = min(self.level, self.burst)
    }

    /// Spends points; `settle` tells whether they were there, once the progress of the same bytes
    /// is counted.
    @inline(__always)
    mutating func spend(_ points: Int) { self.level -= points }

    /// Bytes of messages were received or sent.
    @inline(__always)
    mutating func earn(bytes: Int) { self.level += bytes }

    /// A message was received or sent, or a call has ended.
    @inline(__always)
    mutating func earnProgress() { self.level += Self.progressPoints }

    /// Balances the account after the bytes of one read.
    ///
    /// - Returns: Whether the peer may go on.
    @inline(__always)
    mutating func settle() -> Bool {
        if self.level > self.burst { self.level = self.burst }
        return self.level >= 0
    }
}
