import CLinux
import Glibc
import IOCore

// One listening socket serves all loops. SO_REUSEPORT, by which the kernel would spread connections
// over a socket per loop, lets any process of the same user join, and so two servers serve one
// port. Source: docs/decisions/0330-one-listening-socket.md.

/// Spreads the connections of one listening socket over several takers, each to the one that has
/// the fewest open. Safe to use from several threads.
final class ConnectionShares: Sendable {
    /// An accepted connection on its way to its taker.
    struct Accepted: Sendable {
        var descriptor: Int32
        var peer: String
    }

    /// The share of one taker.
    private struct Share: Sendable {
        /// Connections that it has open, including those that wait for it.
        var openCount = 0
        /// Connections that it has not taken yet, the newest first.
        var waiting: [Accepted] = []
        var isClosed = false
        /// The eventfd that is readable while connections wait; `nil`: this taker accepts.
        var event: Int32?
    }

    private struct State: Sendable {
        var shares: [Share]
        /// Where the search for the smallest share begins, so that equal shares take turns.
        var next = 0
    }

    /// Most connections that wait for one taker: what it takes in one tick. Each has a descriptor
    /// that no limit counts yet.
    private static let waitingMax = 64

    private let state: Guarded<State>

    /// - Parameter events: One eventfd per taker but the first, which accepts. Each belongs to its
    ///   taker, which closes it after `close`.
    init(events: [Int32]) {
        self.state = Guarded(
            State(shares: [Share()] + events.map { Share(event: $0) }))
    }

    /// Gives a connection to the taker with the fewest.
    ///
    /// - Returns: The connection if it is for the caller, who accepts; otherwise `nil`.
    /// - Complexity: O(takers).
    func assign(_ accepted: Accepted) -> Accepted? {
        self.state.withLock { state in
            let index = Self.smallest(&state)
            state.shares[index].openCount += 1
            guard let event = state.shares[index].event else { return accepted }
            state.shares[index].waiting.insert(accepted, at: 0)
            // Under the lock, so that the eventfd is not closed meanwhile.
            linux_eventfd_signal(event)
            return nil
        }
    }

    private static func smallest(_ state: inout State) -> Int {
        let count = state.shares.count
        var smallest = 0
        var openCountMin = Int.max
        for step in 0 ..< count {
            let index = (state.next + step) % count
            let share = state.shares[index]
            guard !share.isClosed, share.waiting.count < Self.waitingMax,
                share.openCount < openCountMin
            else { continue }
            (smallest, openCountMin) = (index, share.openCount)
        }
        state.next = (smallest + 1) % count
        return smallest
    }

    /// The connection that has waited longest for a taker.
    func take(for index: Int) -> Accepted? {
        self.state.withLock { state in
            if let accepted = state.shares[index].waiting.popLast() { return accepted }
            // Under the lock: a signal for a connection that comes now must not be lost.
            if let event = state.shares[index].event { linux_eventfd_clear(event) }
            return nil
        }
    }

    /// A connection of a taker has ended.
    func ended(for index: Int) {
        self.state.withLock { $0.shares[index].openCount -= 1 }
    }

    /// Gives nothing more to a taker; connections that wait for it are closed.
    func close(_ index: Int) {
        let abandoned = self.state.withLock { state in
            state.shares[index].isClosed = true
            defer { state.shares[index].waiting = [] }
            return state.shares[index].waiting
        }
        for accepted in abandoned { Glibc.close(accepted.descriptor) }
    }
}
