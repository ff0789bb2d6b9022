// The end of a loop in good order (C12).

extension RPCLoop {
    /// How long a client may take to acknowledge the PING of a shutdown, in nanoseconds: a round
    /// trip over the worst of links, short against the grace.
    private static let drainPingNanoseconds: UInt64 = 1_000_000_000

    /// Begins the shutdown, or brings it to its next stage.
    func advanceDrain(graceNanoseconds: UInt64) {
        switch self.drain {
        case .none:
            self.drain = .begun(
                finalNanoseconds: self.nowNanoseconds + Self.drainPingNanoseconds,
                deadlineNanoseconds: self.nowNanoseconds + graceNanoseconds)
            self.stopAccepting()
            for case let open? in self.connections { open.connection.announceDrain() }
        case .begun(let final, _):
            guard self.nowNanoseconds >= final else { return }
            for case let open? in self.connections { open.connection.finishDrain() }
        }
    }

    /// Whether every connection has ended, or the grace is over.
    var isDrained: Bool {
        guard case .begun(_, let deadline) = self.drain else { return false }
        return self.connectionCount == 0 || self.nowNanoseconds >= deadline
    }
}
