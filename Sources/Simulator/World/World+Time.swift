extension World {
    /// Longest time that passes in one step, in nanoseconds: actors that wait for a time look at
    /// the clock this often.
    static let idleNanosecondsMax: UInt64 = 100_000_000

    /// Shortest time that passes while a healed world rests, in nanoseconds: threads that sleep may
    /// wake late, and there is nothing left to meet between two ticks of a timer.
    private static let restNanosecondsMin: UInt64 = 20_000_000
    /// The same while a stretch of time is let pass.
    private static let passNanosecondsMin: UInt64 = 100_000_000

    /// Lets time pass although somebody has work: deadlines and timers meet calls under way.
    func passLittleTime() {
        // From a microsecond to 2 ms, each order of magnitude as likely as the next; seldom up to
        // 2 s, so that slow timers meet calls too.
        let magnitudes = self.order.below(32) == 0 ? 22 : 12
        let nanoseconds = UInt64(1_000 << self.order.below(magnitudes))
        self.advance(nanoseconds: nanoseconds)
        self.note("time", Int(nanoseconds))
    }

    /// Nobody has anything to do: time passes until somebody has.
    func passIdleTime() {
        let now = self.clock.monotonicNanoseconds()
        var next = now + Self.idleNanosecondsMax
        if let due = self.topology.nextDue { next = min(next, due) }
        for node in self.nodes {
            if let arrival = node.network.nextArrival { next = min(next, arrival) }
            for (index, driver) in node.drivers.enumerated() where !driver.hasEnded {
                let held = index < node.heldUntil.count ? node.heldUntil[index] : 0
                if held > now { next = min(next, held) }
                if let due = driver.due, due > now { next = min(next, max(due, held)) }
            }
        }
        let least =
            self.isPassing
            ? Self.passNanosecondsMin : self.isHealing ? Self.restNanosecondsMin : 1
        let nanoseconds = max(next, now + least) - now
        self.advance(nanoseconds: nanoseconds)
        self.note("idle", Int(nanoseconds))
    }

    /// Lets a stretch of time pass in which everybody goes on, such as the time after which erased
    /// data must have left the disks. Faults that are due in its steps strike.
    ///
    /// - Parameter stepsMax: After so many steps it stops.
    /// - Returns: Whether the time has passed.
    package func pass(nanoseconds: UInt64, stepsMax: Int) -> Bool {
        let end = self.clock.monotonicNanoseconds() + nanoseconds
        self.isPassing = true
        defer { self.isPassing = false }
        for _ in 0 ..< stepsMax {
            guard self.clock.monotonicNanoseconds() < end, self.violation == nil else {
                return self.violation == nil
            }
            self.step()
        }
        return false
    }

    private func advance(nanoseconds: UInt64) {
        self.clock.advance(nanoseconds: nanoseconds)
        let now = self.clock.monotonicNanoseconds()
        self.counts.simulatedNanoseconds += nanoseconds
        for node in self.nodes { node.network.advance(to: now) }
        for case .clockDrift(let rate) in self.effects.map(\.kind) {
            let microseconds = Int64(nanoseconds) / 1_000 * Int64(rate) / 1_000_000
            self.clock.jump(microseconds: microseconds)
        }
        self.latestWallMicroseconds = max(
            self.latestWallMicroseconds, self.clock.wallMicroseconds())
    }
}
