import IOCore

// Fairness between the connections of a tick: see `ConnectionTurns`.

extension RPCLoop {
    /// What connections with much to say may take of one tick together, in nanoseconds. A call
    /// takes about three ticks, so it waits 3 ms for them.
    private static let heavyNanoseconds: UInt64 = 1_000_000

    /// Gives every ready connection its turn, as far as the time of a tick allows.
    ///
    /// Those that are passed over stay ready: the poller is level-triggered.
    // SAFETY: the poller owns what is ready and keeps it until its next wait, which comes in the
    // next tick; the indices are those of the buffer.
    func serve(_ ready: UnsafeBufferPointer<IOReadiness>) {
        self.turns.begin()
        guard self.turns.heavyCount > 0 || ready.count >= ConnectionTurns.crowd else {
            for readiness in ready { self.handle(readiness) }
            return
        }
        // What a turn costs is known by its time only: 4 KiB may hold forty calls of 100 µs each.
        var now = self.readClock()
        for readiness in ready where !self.isHeavy(readiness) {
            let peer = self.peer(of: readiness)
            self.handle(readiness)
            let end = self.readClock()
            peer?.turns.took(nanoseconds: end - now, in: self.turns.tick)
            now = end
        }
        let first = self.turns.firstHeavy(of: ready.count)
        let end = now + Self.heavyNanoseconds
        for distance in 0 ..< ready.count {
            let readiness = ready[(first + distance) % ready.count]
            let slot = Self.slot(of: readiness)
            guard self.isHeavy(readiness), !self.turns.isServed(slot: slot) else { continue }
            self.handle(readiness)
            if self.readClock() >= end {
                return self.turns.rotate(to: first + distance + 1)
            }
        }
    }

    /// Gives a turn to connections whose sockets hold input, as far as the time of a tick allows;
    /// those that were passed over have theirs in the next tick, which does not wait.
    ///
    /// - Parameter tags: The beginning of `bufferedInput`: what was there before this tick.
    func serve(buffered tags: [UInt64]) {
        self.bufferedInput.removeFirst(tags.count)
        let end = self.readClock() + Self.heavyNanoseconds
        for (index, tag) in tags.enumerated() {
            let readiness = IOReadiness(tag: tag, interest: .read)
            // A read of this tick has listed it again if there is still more.
            if self.turns.isServed(slot: Self.slot(of: readiness)) { continue }
            self.handle(readiness)
            if self.readClock() >= end {
                // First in the next tick; what had its turn in this one is listed already if it
                // has more, so that the list has each connection once.
                let passedOver = tags[(index + 1)...].filter {
                    !self.turns.isServed(slot: Self.slot(ofTag: $0))
                }
                return self.bufferedInput.insert(contentsOf: passedOver, at: 0)
            }
        }
    }

    /// Whether a connection comes after the others of this tick, by what it reads or by its peer.
    private func isHeavy(_ readiness: IOReadiness) -> Bool {
        self.turns.isHeavy(slot: Self.slot(of: readiness))
            || self.peer(of: readiness)?.turns.isHeavy(in: self.turns.tick) ?? false
    }

    /// The peer of a connection that is ready; `nil`: it is the listener, or closed.
    private func peer(of readiness: IOReadiness) -> PeerShare? {
        let slot = Self.slot(of: readiness)
        guard slot < self.connections.count else { return nil }
        return self.connections[slot]?.connection.peer
    }

    static func slot(of readiness: IOReadiness) -> Int { self.slot(ofTag: readiness.tag) }

    private static func slot(ofTag tag: UInt64) -> Int { Int(tag & 0xFFFF_FFFF) }
}
