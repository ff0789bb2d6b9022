// The budget of unfinished requests on one loop: who waits for it, and who is abandoned for it.

extension RPCLoop {
    /// How often requests that hold others up are looked for, in nanoseconds: the search visits
    /// every stream of a peer.
    private static let contentionNanoseconds: UInt64 = 1_000_000_000

    /// Remembers a connection whose requests wait for their share.
    func awaitRequestBytes(_ connection: Connection) {
        guard !connection.awaitsRequestBytes else { return }
        self.hasReleasedRequests = true
        connection.awaitsRequestBytes = true
        connection.peer.waitingConnections += 1
        self.connectionsAwaitingRequestBytes.append(connection)
    }

    /// Gives those that wait their share, as far as there is headroom.
    ///
    /// The peer that holds least comes first, then the connection of it that was granted least.
    /// Behind a request that does not fit its peer gets no more, or small ones would keep a large
    /// one waiting for ever.
    ///
    /// - Complexity: O(waiting connections), in ticks after others have finished or begun to wait;
    ///   nothing otherwise.
    func grantRequests() {
        guard !self.connectionsAwaitingRequestBytes.isEmpty else { return }
        if self.hasReleasedRequests {
            self.hasReleasedRequests = false
            self.grantInTurn()
        }
        guard !self.connectionsAwaitingRequestBytes.isEmpty,
            self.nowNanoseconds >= self.nextContentionNanoseconds
        else { return }
        self.nextContentionNanoseconds = self.nowNanoseconds + Self.contentionNanoseconds
        self.abandonSlowRequests()
    }

    private func grantInTurn() {
        let waiting = self.connectionsAwaitingRequestBytes.sorted(by: Connection.isNext)
        self.connectionsAwaitingRequestBytes.removeAll(keepingCapacity: true)
        var served: [Connection] = []
        var isLoopExhausted = false
        var exhausted: Set<PeerAddress> = []
        for connection in waiting {
            if !isLoopExhausted, !exhausted.contains(connection.peer.address) {
                switch connection.grantWaiting() {
                case .loop: isLoopExhausted = true
                case .peer: exhausted.insert(connection.peer.address)
                case .connection, nil: break
                }
            }
            if connection.hasWaitingRequests {
                self.connectionsAwaitingRequestBytes.append(connection)
            } else {
                served.append(connection)
            }
        }
        for connection in served {
            connection.awaitsRequestBytes = false
            connection.peer.waitingConnections -= 1
        }
    }

    /// Ends calls that have had their share for too long while others wait for theirs: for the next
    /// request of each peer, and of each connection that its own budget holds up, as many as it
    /// needs.
    ///
    /// - Complexity: O(open streams of the loop) for each peer that waits.
    private func abandonSlowRequests() {
        var relieved: Set<PeerAddress> = []
        for connection in self.connectionsAwaitingRequestBytes.sorted(by: Connection.isNext) {
            let peer = connection.peer
            guard !relieved.contains(peer.address), let next = connection.nextWaitingRequest,
                let level = connection.exhaustedBudget(forRequestBytes: next.missingBytes)
            else { continue }
            guard level != .connection else {
                self.abandonSlowRequests(on: [connection], bytes: next.missingBytes)
                continue
            }
            relieved.insert(peer.address)
            let holder = level == .peer ? peer : self.largestPeer ?? peer
            let connections = self.connections.compactMap { $0?.connection }
            self.abandonSlowRequests(
                on: connections.filter { $0.peer === holder }, bytes: next.missingBytes)
        }
    }

    /// Ends the calls on some connections that have had their share for the longest, and for too
    /// long, until so many bytes are free.
    private func abandonSlowRequests(on connections: [Connection], bytes: Int) {
        var slow: [(since: UInt64, stream: RPCStream)] = []
        for connection in connections where connection.requests.grants > 0 {
            connection.forEachStream { stream in
                guard let since = stream.charge.grantedSinceNanoseconds,
                    self.nowNanoseconds - since >= self.limits.contendedMessageNanoseconds
                else { return }
                slow.append((since, stream))
            }
        }
        slow.sort { $0.since < $1.since }
        let target = self.requests.bytes - bytes
        for (_, stream) in slow {
            guard self.requests.bytes > target else { return }
            let status = self.handler.tooManyUnfinishedRequests()
            stream.withConnection { $0.failRequests(of: stream, status) }
        }
    }

    private var largestPeer: PeerShare? {
        self.peers.values.max { $0.requests.bytes < $1.requests.bytes }
    }

    /// Abandons the requests of the largest holder while a peer, or the whole loop, holds more than
    /// its budget in what waits.
    ///
    /// - Complexity: O(connections of the loop) for each connection whose requests are abandoned.
    func shedRequests(of peer: PeerShare) {
        while peer.requests.bytes > self.limits.requestBytesPerPeerMax,
            self.abandonLargest(of: peer)
        {}
        while self.requests.bytes > self.limits.requestBytesMax, let largest = self.largestPeer,
            self.abandonLargest(of: largest)
        {}
    }

    /// - Returns: Whether anything was freed.
    private func abandonLargest(of peer: PeerShare) -> Bool {
        var largest: Connection?
        for case let open? in self.connections where open.connection.peer === peer {
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
