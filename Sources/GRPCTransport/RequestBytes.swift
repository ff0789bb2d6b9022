// What unfinished requests hold: counted for each stream, connection, peer and loop.
//
// The prefix of a message says how long it will be. So a message that does not come in one frame
// asks for all of its bytes at once, and either has its share until it is whole, or waits with its
// window shut. Whoever has a share can always finish, so no two messages can wait for each other.

/// What the unfinished requests of a connection, a peer or a loop hold.
struct RequestBytes: Equatable {
    /// Who has a budget.
    enum Level {
        case connection
        case peer
        case loop
    }

    /// Reserved for the messages that have their share, and held by those that wait for it.
    var bytes = 0
    /// Requests that have their share.
    var grants = 0

    mutating func add(bytes: Int, grants: Int) {
        self.bytes += bytes
        self.grants += grants
    }

    /// Whether a request may have `count` more bytes. One always may, however large it is.
    func fits(_ count: Int, max: Int) -> Bool {
        self.grants == 0 || self.bytes + count <= max
    }
}

/// What one stream holds of the budget.
///
/// ```
/// none --a message is incomplete--> granted --delivered, or the call has ended--> none
///   +--no headroom--> waiting --headroom-->+
///                        +--the rest came within the window, or the call has ended--> none
/// ```
struct RequestCharge: Equatable {
    private enum State: Equatable {
        case none
        /// All of the message is reserved: its bytes open the stream's window as they come.
        case granted(sinceNanoseconds: UInt64)
        /// What comes is not given back to the stream's window: `withheld` bytes so far.
        case waiting(withheld: Int)
    }

    private var state = State.none
    /// Bytes that are counted for this stream.
    private(set) var bytes = 0

    var isWaiting: Bool {
        if case .waiting = self.state { true } else { false }
    }

    var isGranted: Bool {
        if case .granted = self.state { true } else { false }
    }

    /// When it got its share; `nil`: it has none.
    var grantedSinceNanoseconds: UInt64? {
        if case .granted(let since) = self.state { since } else { nil }
    }

    /// Bytes came while it waits.
    mutating func withhold(_ count: Int) {
        guard case .waiting(let withheld) = self.state else { return }
        self.state = .waiting(withheld: withheld + count)
    }

    /// It has its share.
    ///
    /// - Returns: Bytes that the window may open by now; `nil`: it had a share before.
    mutating func grant(bytes: Int, nowNanoseconds: UInt64) -> Int? {
        self.bytes = bytes
        switch self.state {
        case .granted: return nil
        case .none:
            self.state = .granted(sinceNanoseconds: nowNanoseconds)
            return 0
        case .waiting(let withheld):
            self.state = .granted(sinceNanoseconds: nowNanoseconds)
            return withheld
        }
    }

    /// There is no headroom: only what is there already counts. A share is not taken away again.
    mutating func wait(bytes: Int) {
        self.bytes = bytes
        if case .none = self.state { self.state = .waiting(withheld: 0) }
    }

    /// It holds less now.
    mutating func shrink(toBytes bytes: Int) {
        self.bytes = bytes
    }

    /// It holds nothing any more.
    ///
    /// - Returns: Bytes that the window may open by now.
    mutating func release() -> Int {
        defer {
            self.state = .none
            self.bytes = 0
        }
        guard case .waiting(let withheld) = self.state else { return 0 }
        return withheld
    }
}

/// What the connections of one peer hold on one loop.
final class PeerShare {
    let address: PeerAddress
    var connections = 0
    var requests = RequestBytes()
    /// Its connections that are in the loop's list of those with waiting requests.
    var waitingConnections = 0
    /// Bytes of responses waiting in its connections and in their streams.
    var pendingResponseBytes = 0
    /// Its header blocks whose rest is to come.
    var openHeaderBlocks = 0
    /// What its turns of this tick have taken so far.
    var turns = PeerTurns()

    init(_ address: PeerAddress) {
        self.address = address
    }
}
