import Bytes
import CNGHTTP2
import IOCore

// Who may connect, and who yields.

extension RPCLoop {
    /// Whether a new connection of a peer may be opened; the most idle one yields to it if there
    /// are too many.
    ///
    /// - Returns: Why not; `nil`: it is counted, and `leave` follows once it is closed.
    func enter(_ address: PeerAddress) -> ConnectionEnd? {
        guard self.registry.enter(address, max: self.limits.connectionsPerPeerMax) else {
            return .tooManyOfPeer
        }
        guard self.connectionCount >= self.limits.connectionsMax, !self.closeMostIdle() else {
            return nil
        }
        self.registry.leave(address)
        return .tooMany
    }

    /// The share of a peer on this loop, made for its first connection.
    func share(of address: PeerAddress) -> PeerShare {
        let share = self.peers[address] ?? PeerShare(address)
        share.connections += 1
        self.peers[address] = share
        return share
    }

    /// A connection that was counted is closed.
    func leave(_ share: PeerShare) {
        self.registry.leave(share.address)
        share.connections -= 1
        if share.connections == 0 { self.peers[share.address] = nil }
    }

    /// Closes the connection that has been without a call for the longest. One that has just had
    /// a call yields to nobody, so that a burst of new connections cannot drive out a client that
    /// is between two calls.
    ///
    /// - Returns: Whether there was one.
    /// - Complexity: O(connections) for the first of a tick, and again when all found then have
    ///   yielded to newer ones; amortised O(1) for the others.
    func closeMostIdle() -> Bool {
        if self.idleCandidatesNanoseconds != self.nowNanoseconds { self.findIdle() }
        while true {
            while let candidate = self.idleCandidates.popLast() {
                guard candidate.mayYield, !candidate.isClosed else { continue }
                self.close(candidate, .yielded)
                return true
            }
            guard self.idleCandidatesGeneration != self.generation else { return false }
            self.findIdle()
        }
    }

    private func findIdle() {
        self.idleCandidatesNanoseconds = self.nowNanoseconds
        self.idleCandidatesGeneration = self.generation
        self.idleCandidates = self.connections.compactMap { $0?.connection }
            .filter(\.mayYield)
            .sorted { $0.machine.idleSinceNanoseconds > $1.machine.idleSinceNanoseconds }
    }

    /// Tells a new connection why it is not served, and closes it.
    func reject(_ socket: any StreamSocket, _ reason: ConnectionEnd) {
        self.metrics.ended(reason)
        var frames = ByteBuffer(capacity: 128)
        let text = reason.goodbye?.reason ?? ""
        // An empty SETTINGS frame, which comes first on every connection, then GOAWAY: length and
        // type, flags, stream 0.
        Self.appendFrameHeader(NGHTTP2_SETTINGS, payloadBytes: 0, to: &frames)
        Self.appendFrameHeader(NGHTTP2_GOAWAY, payloadBytes: 8 + text.utf8.count, to: &frames)
        // No stream was processed.
        frames.append(UInt32(0))
        frames.append(NGHTTP2_ENHANCE_YOUR_CALM.rawValue.bigEndian)
        for byte in text.utf8 { frames.append(byte) }
        _ = socket.write(frames.bytes)
        socket.shutdownWrite()
        // A close with unread input would discard what was just written.
        self.discardInput(of: socket)
        socket.close()
    }

    private static func appendFrameHeader(
        _ kind: nghttp2_frame_type, payloadBytes: Int, to frames: inout ByteBuffer
    ) {
        frames.append((UInt32(payloadBytes) << 8 | UInt32(kind.rawValue)).bigEndian)
        frames.append(UInt8(0))
        frames.append(UInt32(0))
    }
}

extension Connection {
    /// How long a connection that has had a call does not yield, in nanoseconds: longer than a busy
    /// client rests between two calls.
    private static let restNanoseconds: UInt64 = 1_000_000_000

    /// Whether it has no call, has had none lately, and is not about to close.
    var mayYield: Bool {
        // During a handshake of TLS the first frames wait, and nobody is kept waiting for them.
        guard self.streams.isEmpty, self.output.isEmpty || self.machine.isHandshake,
            self.machine.mayYield
        else { return false }
        let idleNanoseconds = self.loop.nowNanoseconds - self.machine.idleSinceNanoseconds
        return idleNanoseconds >= Self.restNanoseconds
            || nghttp2_session_get_last_proc_stream_id(self.session) == 0
    }
}
