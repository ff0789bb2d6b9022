import CNGHTTP2

/// A call whose rejection waits.
struct DelayedRejection {
    /// Of the stream, which is not live: the handler has not accepted its call.
    var token: CallToken
    var status: RPCStatus
    /// Monotonic nanoseconds.
    var dueNanoseconds: UInt64
}

// Calls whose client has to wait for its rejection, because its address was rejected too often.
// All wait equally long, so the one that came first is due first. An entry whose stream was reset
// counts until its time is over: a reset saves nobody the wait.

extension RPCLoop {
    /// Ends a call that is not accepted after a while.
    ///
    /// If too many wait it is reset at once, and the connection is closed unless a call of it was
    /// accepted: a proxy brings calls of others on the same connection, which need not suffer.
    func rejectLater(_ stream: RPCStream, _ status: RPCStatus) {
        guard self.delayedRejections.count < self.limits.delayedRejectionsMax else {
            return stream.withConnection { $0.rejectAtOnce(stream, status) }
        }
        self.delayedRejections.append(
            DelayedRejection(
                token: stream.token, status: status,
                dueNanoseconds: self.nowNanoseconds + self.limits.rejectionDelayNanoseconds))
    }

    /// Ends the calls whose wait is over.
    func endDelayedRejections() {
        guard let first = self.delayedRejections.first, first.dueNanoseconds <= self.nowNanoseconds
        else { return }
        let due = self.delayedRejections.prefix { $0.dueNanoseconds <= self.nowNanoseconds }
        self.delayedRejections.removeFirst(due.count)
        for rejection in due {
            self.streams[rejection.token.slot]._withUnsafeGuaranteedRef { stream in
                // Another generation: the stream was reset, or its connection is gone.
                guard stream.token == rejection.token,
                    stream.generation == rejection.token.streamGeneration
                else { return }
                stream.withConnection { $0.finish(stream, rejection.status) }
            }
        }
    }

    /// The network that a call's connection comes from; `nil`: the connection is gone.
    package func peer(of token: CallToken) -> PeerAddress? {
        self.openConnection(of: token)?.connection.peer.address
    }

    /// The address and port that a call's connection comes from, such as `127.0.0.1:50123`; empty:
    /// the connection is gone.
    package func peerText(of token: CallToken) -> String {
        self.openConnection(of: token)?.socket.peer ?? ""
    }

    /// The names in the certificate of a call's connection; empty: it has shown none, or is gone.
    package func peerNames(of token: CallToken) -> [String] {
        self.openConnection(of: token)?.socket.peerNames ?? []
    }

    private func openConnection(of token: CallToken) -> OpenConnection? {
        let slot = Int(token.connectionSlot)
        guard slot < self.connections.count, let open = self.connections[slot],
            open.connection.generation == token.connectionGeneration
        else { return nil }
        return open
    }
}

extension Connection {
    /// Ends a call for whose rejection there is no headroom.
    fileprivate func rejectAtOnce(_ stream: RPCStream, _ status: RPCStatus) {
        guard self.hasAcceptedCalls else {
            self.machine.fail(.failedLogins)
            return self.markDirty()
        }
        guard stream.machine.finish(status) == .trailersOnly else { return }
        self.reset(stream, NGHTTP2_ENHANCE_YOUR_CALM)
        self.callEnded(stream, code: status.code)
    }
}
