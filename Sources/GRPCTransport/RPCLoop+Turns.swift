import IOCore

// Fairness between the connections of a tick: see `ConnectionTurns`.

extension RPCLoop {
    /// What connections with much to say may take of one tick together, in nanoseconds. A call
    /// takes about three ticks, so it waits 12 ms for them.
    private static let heavyNanoseconds: UInt64 = 4_000_000

    /// Gives every ready connection its turn, as far as the time of a tick allows.
    ///
    /// Those that are passed over stay ready: the poller is level-triggered.
    // SAFETY: the poller owns what is ready and keeps it until its next wait, which comes in the
    // next tick; the indices are those of the buffer.
    func serve(_ ready: UnsafeBufferPointer<IOReadiness>) {
        self.turns.begin()
        guard self.turns.heavyCount > 0 else {
            for readiness in ready { self.handle(readiness) }
            return
        }
        for readiness in ready where !self.turns.isHeavy(slot: Self.slot(of: readiness)) {
            self.handle(readiness)
        }
        let first = self.turns.firstHeavy(of: ready.count)
        // The clock is read once per turn here: what a turn costs is known by its time only.
        let end = self.readClock() + Self.heavyNanoseconds
        for distance in 0 ..< ready.count {
            let readiness = ready[(first + distance) % ready.count]
            let slot = Self.slot(of: readiness)
            guard self.turns.isHeavy(slot: slot), !self.turns.isServed(slot: slot) else { continue }
            self.handle(readiness)
            if self.readClock() >= end {
                return self.turns.rotate(to: first + distance + 1)
            }
        }
    }

    static func slot(of readiness: IOReadiness) -> Int { Int(readiness.tag & 0xFFFF_FFFF) }
}
