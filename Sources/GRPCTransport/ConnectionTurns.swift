/// Which connections had more to say than one small read, and when each had its last turn.
///
/// One read per connection and tick bounds bytes, not time: 64 KiB hold a hundred calls, or seven
/// thousand frames, and 256 connections may be ready. So a connection reads little until it has
/// filled such a read; those that fill theirs come after all others, in turn, for a limited time
/// of each tick. So do connections of a peer whose other connections have taken much time of this
/// tick. A new connection of another peer never waits behind them (A1-A15).
struct ConnectionTurns {
    /// One read of a connection that has not filled its last one, in bytes: about 40 small calls.
    static let lightBytes = 4 << 10
    /// So many connections that are ready at once are a crowd: the time of their peers is measured.
    /// Fewer take 20 ms at most, whoever they are: one begins 1 MiB of responses in 3 ms.
    static let crowd = 8

    private struct Turn {
        var isHeavy = false
        /// Tick of the last read.
        var tick: UInt64 = 0
    }

    /// By slot of the connection.
    private var turns: [Turn] = []
    private(set) var heavyCount = 0
    private(set) var tick: UInt64 = 0
    /// Where the heavy ones of the next tick begin, among those that are ready.
    private var rotation = 0

    init() {}

    /// A new tick.
    mutating func begin() { self.tick &+= 1 }

    /// A slot is used by a new connection, or by none.
    mutating func reset(slot: Int) {
        while self.turns.count <= slot { self.turns.append(Turn()) }
        if self.turns[slot].isHeavy { self.heavyCount -= 1 }
        self.turns[slot] = Turn()
    }

    func isHeavy(slot: Int) -> Bool { slot < self.turns.count && self.turns[slot].isHeavy }

    /// Whether it had its turn in this tick.
    func isServed(slot: Int) -> Bool {
        slot < self.turns.count && self.turns[slot].tick == self.tick
    }

    /// A connection has read so many bytes.
    mutating func read(slot: Int, bytes: Int) {
        let isHeavy = bytes >= Self.lightBytes
        if isHeavy != self.turns[slot].isHeavy { self.heavyCount += isHeavy ? 1 : -1 }
        self.turns[slot] = Turn(isHeavy: isHeavy, tick: self.tick)
    }

    /// The index at which the heavy ones among `count` ready connections begin.
    func firstHeavy(of count: Int) -> Int { count == 0 ? 0 : self.rotation % count }

    /// The heavy ones that were passed over begin the next tick.
    mutating func rotate(to index: Int) { self.rotation = index }
}

/// What the connections of one peer have taken of a tick.
struct PeerTurns {
    /// What they may take before they come after all others, in nanoseconds: some calls with large
    /// responses.
    private static let lightNanoseconds: UInt64 = 1_000_000

    private var tick: UInt64 = 0
    private var nanoseconds: UInt64 = 0

    /// Whether they have taken so much of this tick that others come first.
    func isHeavy(in tick: UInt64) -> Bool {
        self.tick == tick && self.nanoseconds >= Self.lightNanoseconds
    }

    mutating func took(nanoseconds: UInt64, in tick: UInt64) {
        self.nanoseconds = (self.tick == tick ? self.nanoseconds : 0) + nanoseconds
        self.tick = tick
    }
}
