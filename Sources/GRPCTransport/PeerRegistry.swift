import IOCore

/// Counts the open connections of each peer, for all loops of a process: the kernel spreads the
/// connections of one peer over the loops at random, so a share of the limit for each loop would
/// reject some of them too early.
///
/// Locked once when a connection opens and once when it closes.
package final class PeerRegistry: Sendable {
    private let counts = Guarded<[PeerAddress: Int]>([:])

    package init() {}

    /// Counts one more connection of a peer, unless it has `max` already.
    ///
    /// - Returns: Whether it was counted; `leave` follows once it is closed.
    func enter(_ address: PeerAddress, max: Int) -> Bool {
        self.counts.withLock { counts in
            let count = counts[address, default: 0]
            guard count < max else { return false }
            counts[address] = count + 1
            return true
        }
    }

    /// A connection of a peer was closed.
    func leave(_ address: PeerAddress) {
        self.counts.withLock { counts in
            let count = counts[address, default: 1] - 1
            counts[address] = count == 0 ? nil : count
        }
    }
}
