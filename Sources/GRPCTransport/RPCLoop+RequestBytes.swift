// The budget of unfinished requests on one loop: who waits for it, and who is abandoned for it.

extension RPCLoop {
    /// How often a request that holds others up is looked for, in nanoseconds: the search visits
    /// every stream.
    private static let contentionNanoseconds: UInt64 = 1_000_000_000

    /// Remembers a stream that waits for its share.
    func awaitRequestBytes(_ stream: RPCStream) {
        guard !stream.charge.isEnlisted else { return }
        stream.charge.isEnlisted = true
        self.streamsAwaitingRequestBytes.append(stream.token)
    }

    /// Gives those that wait their share, first come, first served, as far as there is headroom.
    ///
    /// - Complexity: O(waiting streams), in ticks after others have finished; nothing otherwise.
    func grantRequests() {
        guard !self.streamsAwaitingRequestBytes.isEmpty else { return }
        if self.hasReleasedRequests {
            self.hasReleasedRequests = false
            let waiting = self.streamsAwaitingRequestBytes
            self.streamsAwaitingRequestBytes.removeAll(keepingCapacity: true)
            for token in waiting {
                // A stream whose call has ended meanwhile leaves the list here.
                self.stream(of: token)?._withUnsafeGuaranteedRef { stream in
                    stream.charge.isEnlisted = false
                    guard stream.charge.isWaiting else { return }
                    stream.withConnection { $0.recharge(stream) }
                }
            }
        }
        guard !self.streamsAwaitingRequestBytes.isEmpty,
            self.nowNanoseconds >= self.nextContentionNanoseconds
        else { return }
        self.nextContentionNanoseconds = self.nowNanoseconds + Self.contentionNanoseconds
        self.abandonSlowestRequest()
    }

    /// Ends the call that has had its share for the longest, and for too long, of the peer that
    /// holds most: nobody keeps others waiting by sending slowly.
    ///
    /// - Complexity: O(open streams of the loop).
    private func abandonSlowestRequest() {
        guard let peer = self.peers.values.max(by: { $0.requests.bytes < $1.requests.bytes }) else {
            return
        }
        var slowest: RPCStream?
        var since = UInt64.max
        for case let open? in self.connections where open.connection.peer === peer {
            guard open.connection.requests.grants > 0 else { continue }
            open.connection.forEachStream { stream in
                guard let granted = stream.charge.grantedSinceNanoseconds, granted < since else {
                    return
                }
                slowest = stream
                since = granted
            }
        }
        guard let slowest,
            self.nowNanoseconds - since >= self.limits.contendedMessageNanoseconds
        else { return }
        let status = self.handler.tooManyUnfinishedRequests()
        slowest.withConnection { $0.cancel(slowest, status) }
    }

    /// Abandons the requests of the largest holder while a peer, or the whole loop, holds more than
    /// its budget in what waits.
    ///
    /// - Complexity: O(connections of the loop) for each connection whose requests are abandoned.
    func shedRequests(of peer: PeerShare) {
        while peer.requests.bytes > self.limits.requestBytesPerPeerMax,
            self.abandonLargest(where: { $0.peer === peer })
        {}
        while self.requests.bytes > self.limits.requestBytesMax,
            self.abandonLargest(where: { _ in true })
        {}
    }

    /// - Returns: Whether anything was freed.
    private func abandonLargest(where isCandidate: (Connection) -> Bool) -> Bool {
        var largest: Connection?
        for case let open? in self.connections where isCandidate(open.connection) {
            if open.connection.requests.bytes > largest?.requests.bytes ?? 0 {
                largest = open.connection
            }
        }
        guard let largest else { return false }
        let before = self.requests.bytes
        largest.abandonRequests()
        return self.requests.bytes < before
    }
}
