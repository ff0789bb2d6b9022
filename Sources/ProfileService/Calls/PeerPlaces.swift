import GRPCTransport
import Messages

/// The places of a table that calls take, such as that of the open watches: how many are taken, and
/// by which peers.
///
/// One peer has at most half of them: a client that opens as many calls as it can leaves the other
/// half to all others. Source: docs/decisions/0053-half-of-the-places-for-one-peer.md.
struct PeerPlaces: Sendable {
    /// Places of all peers together.
    let placesMax: Int
    /// Places of one peer: half of them all, but one at least.
    let placesPerPeerMax: Int
    /// Places that are taken.
    private(set) var count = 0
    /// Of the peers that have one, so that there are no more entries than places.
    private var counts: [PeerAddress: Int] = [:]
    private let limit: String
    private let limitPerPeer: String

    /// - Parameters:
    ///   - limit: The name of `placesMax`, for clients.
    ///   - limitPerPeer: The name of `placesPerPeerMax`.
    init(placesMax: Int, limit: String, limitPerPeer: String) {
        self.placesMax = placesMax
        self.placesPerPeerMax = max(1, placesMax / 2)
        self.limit = limit
        self.limitPerPeer = limitPerPeer
    }

    /// Peers that have a place.
    var peerCount: Int { self.counts.count }

    /// Takes a place for a peer.
    ///
    /// - Returns: Whether there was one for it; `giveBack` follows once, with the same peer, which
    ///   the call keeps: at its end the connection may be gone.
    mutating func take(_ peer: PeerAddress) -> Bool {
        let held = self.counts[peer, default: 0]
        guard self.count < self.placesMax, held < self.placesPerPeerMax else { return false }
        self.counts[peer] = held + 1
        self.count += 1
        return true
    }

    /// Gives back a place that was taken for a peer.
    mutating func giveBack(_ peer: PeerAddress) {
        guard let held = self.counts[peer] else {
            preconditionFailure("a place is given back once, and for the peer that took it")
        }
        self.counts[peer] = held == 1 ? nil : held - 1
        self.count -= 1
    }

    /// Why `take` has just said no.
    var rejection: CallFailure {
        self.count < self.placesMax
            ? .tooManyCalls(
                "this address has as many open calls of this kind as one may have",
                self.limitPerPeer, maximum: self.placesPerPeerMax)
            : .tooManyCalls(
                "as many calls of this kind are open as may be", self.limit,
                maximum: self.placesMax)
    }
}

extension CallFailure {
    /// A call for which there is no place.
    fileprivate static func tooManyCalls(
        _ found: String, _ limit: String, maximum: Int
    ) -> CallFailure {
        .rejected(
            .limitExceeded,
            ErrorContext(
                metadata: [("limit", limit), ("maximum", String(maximum))],
                message: "\(found): \(limit) is \(maximum)"))
    }
}

extension ServiceLoop {
    /// The peer whose place a call takes with its request.
    func peer(of token: CallToken) -> PeerAddress {
        guard let peer = self.transport.peer(of: token) else {
            preconditionFailure("a request comes over an open connection")
        }
        return peer
    }
}
