// The interfaces to sockets and readiness. IOLinux implements them with epoll; tests pass bytes
// without a socket.

/// The outcome of a non-blocking read or write; "not now" is a value, not an error.
package enum IOOutcome: Equatable, Sendable {
    /// The number of bytes transferred, at least one.
    case bytes(Int)
    /// No bytes can be transferred now.
    case wouldBlock
    /// The peer closed its side (reads), or the connection is gone (writes).
    case closed
}

/// A connected, non-blocking stream socket. Used by one thread.
package protocol StreamSocket: AnyObject {
    /// The descriptor, for the poller.
    var descriptor: Int32 { get }
    /// The peer's address, as `127.0.0.1:50123`.
    var peer: String { get }
    /// Receives up to `target.count` bytes.
    func read(into target: UnsafeMutableRawBufferPointer) -> IOOutcome
    /// Sends up to `source.count` bytes.
    func write(_ source: UnsafeRawBufferPointer) -> IOOutcome
    /// Ends the sending side: the peer reads what was sent, then the end. Reading goes on.
    func shutdownWrite()
    /// Closes it; once only.
    func close()
    /// Whether it holds input that its descriptor does not show any more. Asked after each read:
    /// the poller cannot report it.
    var hasBufferedInput: Bool { get }
    /// What to watch the descriptor for to get what its user waits for: a socket that encrypts may
    /// have to receive before it can send, and send before it can receive.
    func interest(for wanted: IOInterest) -> IOInterest
    /// The names in the certificate with which the peer has proved itself, such as
    /// `DNS:shop.example`; empty: it has shown none.
    ///
    /// - Complexity: O(names), read from the certificate by each call.
    var peerNames: [String] { get }
}

// A socket that sends and receives bytes as they are.
extension StreamSocket {
    package var hasBufferedInput: Bool { false }
    package func interest(for wanted: IOInterest) -> IOInterest { wanted }
    package var peerNames: [String] { [] }
}

/// The outcome of an accept.
package enum AcceptOutcome {
    case socket(any StreamSocket)
    case wouldBlock
    /// EMFILE, ENFILE, ENOMEM or ENOBUFS: pause accepting for a while.
    case exhausted
}

/// A listening, non-blocking socket. Used by one thread.
package protocol ListeningSocket: AnyObject {
    var descriptor: Int32 { get }
    /// The bound address with its real port, as `127.0.0.1:50051`.
    var address: String { get }
    func accept() -> AcceptOutcome
    func close()
}

/// What a descriptor is watched for.
package struct IOInterest: OptionSet, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    package static let read = IOInterest(rawValue: 1)
    package static let write = IOInterest(rawValue: 2)
}

/// One ready descriptor.
package struct IOReadiness: Sendable {
    /// The tag given when the descriptor was added.
    package var tag: UInt64
    /// What it is ready for; an error or hang-up counts as both.
    package var interest: IOInterest

    package init(tag: UInt64, interest: IOInterest) {
        self.tag = tag
        self.interest = interest
    }
}

/// Level-triggered readiness of many descriptors. Used by one thread, except for `wake`.
package protocol Poller: AnyObject, Sendable {
    /// Starts watching `descriptor`; its readiness is reported with `tag`.
    func add(_ descriptor: Int32, tag: UInt64, interest: IOInterest) throws(IOError)
    /// Changes what it is watched for.
    func modify(_ descriptor: Int32, tag: UInt64, interest: IOInterest)
    /// Stops watching it; call this before it is closed.
    func remove(_ descriptor: Int32)
    /// Waits until a descriptor is ready, `wake` was called, or `nanoseconds` have passed (`nil`:
    /// no timeout).
    ///
    /// - Returns: The ready descriptors, in storage that the next wait reuses, and whether `wake`
    ///   was called.
    // SAFETY: the poller owns the storage; the caller, which is the one polling thread, uses it
    // until its next wait only; the pointer carries the count.
    func wait(forNanoseconds nanoseconds: UInt64?) -> (
        ready: UnsafeBufferPointer<IOReadiness>, woken: Bool
    )
    /// Ends the wait of the polling thread, or its next one; cheap, callable from any thread.
    func wake()
}

/// Creates sockets and pollers; one per process.
package protocol Network: AnyObject, Sendable {
    func makePoller() throws(IOError) -> any Poller
    /// Listens on `host:port` (port 0: any) for `count` takers, which share its connections.
    ///
    /// No other socket of this or another process can listen there meanwhile. The first one may
    /// accept for the others: once it is closed, they get no more.
    ///
    /// - Returns: One per taker, each used by one thread; all with the same address.
    func listen(host: String, port: UInt16, count: Int) throws(IOError) -> [any ListeningSocket]
}

extension Network {
    /// Listens on `host:port` (port 0: any) for one taker.
    package func listen(host: String, port: UInt16) throws(IOError) -> any ListeningSocket {
        try self.listen(host: host, port: port, count: 1)[0]
    }
}
