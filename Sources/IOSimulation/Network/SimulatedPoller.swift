import IOCore

/// Level-triggered readiness on a simulated network. `wait` returns at once: its driver decides
/// when time passes.
package final class SimulatedPoller: Poller {
    private struct Watched: Sendable {
        var tag: UInt64
        var interest: IOInterest
    }

    private struct State: Sendable {
        var watched: [Int32: Watched] = [:]
        var isWoken = false
    }

    private let network: SimulatedNetwork
    private let state = Guarded(State())
    private let storage = ReadinessStorage()

    init(_ network: SimulatedNetwork) {
        self.network = network
    }

    /// Whether the next `wait` finds something.
    package var hasWork: Bool {
        let (watched, isWoken) = self.state.withLock { ($0.watched, $0.isWoken) }
        return isWoken || !self.ready(watched).isEmpty
    }

    /// Whether a descriptor is watched.
    package func isWatching(_ descriptor: Int32) -> Bool {
        self.state.withLock { $0.watched[descriptor] != nil }
    }

    package func add(_ descriptor: Int32, tag: UInt64, interest: IOInterest) throws(IOError) {
        self.state.withLock { state in
            precondition(state.watched[descriptor] == nil, "a descriptor is watched once")
            state.watched[descriptor] = Watched(tag: tag, interest: interest)
        }
    }

    package func modify(_ descriptor: Int32, tag: UInt64, interest: IOInterest) {
        self.state.withLock { state in
            precondition(state.watched[descriptor] != nil, "only what is watched is modified")
            state.watched[descriptor] = Watched(tag: tag, interest: interest)
        }
    }

    package func remove(_ descriptor: Int32) {
        _ = self.state.withLock { $0.watched.removeValue(forKey: descriptor) }
    }

    package func wait(forNanoseconds nanoseconds: UInt64?) -> (
        ready: UnsafeBufferPointer<IOReadiness>, woken: Bool
    ) {
        let (watched, isWoken) = self.state.withLock { state in
            defer { state.isWoken = false }
            return (state.watched, state.isWoken)
        }
        return (self.storage.fill(self.ready(watched)), isWoken)
    }

    package func wake() {
        self.state.withLock { $0.isWoken = true }
    }

    /// In ascending order of descriptors, so that a run can be repeated.
    private func ready(_ watched: [Int32: Watched]) -> [IOReadiness] {
        self.network.state.withLock { state in
            watched.keys.sorted().compactMap { descriptor in
                let entry = watched[descriptor]!

                let found = state.readiness(of: descriptor).intersection(entry.interest)
                return found.isEmpty ? nil : IOReadiness(tag: entry.tag, interest: found)
            }
        }
    }
}

/// Where the result of a wait is kept until the next one.
// SAFETY: used by the one thread that waits. The memory is allocated and freed here; what `fill`
// returns is valid until the next one.
private final class ReadinessStorage: @unchecked Sendable {
    private var storage = UnsafeMutableBufferPointer<IOReadiness>.allocate(capacity: 64)

    deinit { self.storage.deallocate() }

    func fill(_ ready: [IOReadiness]) -> UnsafeBufferPointer<IOReadiness> {
        if ready.count > self.storage.count {
            self.storage.deallocate()
            self.storage = .allocate(capacity: ready.count * 2)
        }
        let (_, count) = self.storage.initialize(from: ready)
        return UnsafeBufferPointer(rebasing: self.storage[..<count])
    }
}
