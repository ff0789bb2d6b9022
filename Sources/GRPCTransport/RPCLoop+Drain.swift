// The end of a loop in good order (C12).

extension RPCLoop {
    /// Begins the shutdown, or brings it to its next stage.
    func advanceDrain(graceNanoseconds: UInt64) {
        switch self.drain {
        case .none:
            self.drain = .begun(
                finalNanoseconds: self.nowNanoseconds + ConnectionStateMachine.drainPingNanoseconds,
                deadlineNanoseconds: self.nowNanoseconds + graceNanoseconds)
            self.stopAccepting()
            for case let open? in self.connections { open.connection.announceDrain() }
        case .begun(let final, _):
            guard self.nowNanoseconds >= final else { return }
            for case let open? in self.connections { open.connection.finishDrain() }
        }
    }

    /// When the grace ends; `nil`: no drain has begun.
    var drainDeadlineNanoseconds: UInt64? {
        guard case .begun(_, let deadline) = self.drain else { return nil }
        return deadline
    }

    /// Counts what the end of the grace cuts off. A connection that only waits for its peer's close
    /// has sent everything.
    func countCut() {
        var connections = 0
        var calls = 0
        for case let open? in self.connections where !open.connection.machine.isLingering {
            let unfinished = open.connection.streams.count
            calls += unfinished
            connections += unfinished > 0 || !open.connection.output.isEmpty ? 1 : 0
        }
        self.metrics.cut(connections: connections, calls: calls)
    }

    /// Whether every connection has ended, or the grace is over.
    var isDrained: Bool {
        guard case .begun(_, let deadline) = self.drain else { return false }
        return self.connectionCount == 0 || self.nowNanoseconds >= deadline
    }
}
