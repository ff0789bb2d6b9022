// Header blocks whose rest is to come: nghttp2 keeps for each what it has announced so far.

extension Connection {
    /// The bytes so far end inside a header block, or outside.
    @inline(__always)
    func noteHeaderBlock(isOpen: Bool) {
        if isOpen || self.hasCountedHeaderBlock { self.recountHeaderBlock(isOpen: isOpen) }
    }

    private func recountHeaderBlock(isOpen: Bool) {
        // It may have begun now, and be due before anything else.
        if isOpen { self.loop.scheduleCheck(of: self) }
        guard isOpen != self.hasCountedHeaderBlock else { return }
        self.hasCountedHeaderBlock = isOpen
        let change = isOpen ? 1 : -1
        self.peer.openHeaderBlocks += change
        self.loop.openHeaderBlocks += change
        if isOpen { self.loop.shedHeaderBlocks(of: self.peer) }
    }
}

extension RPCLoop {
    /// Ends the connections whose header blocks wait longest, while a peer, or the loop, has too
    /// many that wait.
    ///
    /// - Complexity: O(connections of the loop) for each that is ended; nothing otherwise.
    func shedHeaderBlocks(of peer: PeerShare) {
        if peer.openHeaderBlocks > self.limits.headerBlocksPerPeerMax {
            self.endOldestHeaderBlock(of: peer)
        }
        guard self.openHeaderBlocks > self.limits.headerBlocksMax,
            let most = self.peers.values.max(by: { $0.openHeaderBlocks < $1.openHeaderBlocks })
        else { return }
        self.endOldestHeaderBlock(of: most)
    }

    private func endOldestHeaderBlock(of peer: PeerShare) {
        var oldest: Connection?
        for case let open? in self.connections
        where open.connection.peer === peer && open.connection.hasCountedHeaderBlock {
            let since = open.connection.machine.headerBlockSinceNanoseconds
            if since < oldest?.machine.headerBlockSinceNanoseconds ?? .max {
                oldest = open.connection
            }
        }
        guard let oldest else { return }
        oldest.machine.fail(.headerBlocks)
        oldest.noteHeaderBlock(isOpen: false)
        oldest.markDirty()
    }
}
