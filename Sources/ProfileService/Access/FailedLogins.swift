import GRPCTransport
import IOCore

/// Failed logins by address, for all loops.
///
/// Locked for failures only: an address with good keys never comes here, whatever others at the
/// same address do.
final class FailedLogins: Sendable {
    /// Failures of one address within `windowNanoseconds` that are rejected at once.
    static let countMax = 20
    /// In nanoseconds.
    static let windowNanoseconds: UInt64 = 10_000_000_000
    /// Addresses that are told apart, 1 MiB of them; further ones count as one.
    static let addressesMax = 4_096

    /// The times of the newest failures of an address, in monotonic nanoseconds.
    private struct Failures {
        private var times: InlineArray<20, UInt64> = .init(repeating: 0)
        private var next = 0
        private(set) var count = 0
        var newest: UInt64 = 0

        /// Adds a failure; returns whether there were more than `countMax` within the window.
        ///
        /// Each loop has read the clock at the beginning of its tick, so a failure may come with a
        /// time before that of the newest one.
        mutating func add(at time: UInt64) -> Bool {
            let now = max(time, self.newest)
            let oldest = self.times[self.next]
            let isFull = self.count == FailedLogins.countMax
            self.times[self.next] = now
            self.next = (self.next + 1) % FailedLogins.countMax
            self.count = min(self.count + 1, FailedLogins.countMax)
            self.newest = now
            return isFull && now - oldest < FailedLogins.windowNanoseconds
        }
    }

    private struct State {
        var addresses: [PeerAddress: Failures] = [:]
        /// Of the addresses that found no entry.
        var others = Failures()
        /// When to look for entries that are over; not more often, so that a flood of addresses
        /// costs O(1) each.
        var nextPrune: UInt64 = 0
    }

    private let state = Guarded(State())

    init() {
        precondition(Self.countMax == 20, "Failures has as many times")
    }

    /// Addresses that have an entry.
    var addressCount: Int { self.state.withLock { $0.addresses.count } }

    /// Counts a failed login.
    ///
    /// - Returns: Whether it has to wait for its rejection.
    /// - Complexity: O(1), amortised.
    func add(_ address: PeerAddress?, nowNanoseconds now: UInt64) -> Bool {
        self.state.withLock { state in
            guard let address else { return state.others.add(at: now) }
            if state.addresses[address] == nil, state.addresses.count >= Self.addressesMax {
                Self.prune(&state, now)
                guard state.addresses.count < Self.addressesMax else {
                    return state.others.add(at: now)
                }
            }
            return state.addresses[address, default: Failures()].add(at: now)
        }
    }

    private static func prune(_ state: inout State, _ now: UInt64) {
        guard now >= state.nextPrune else { return }
        state.nextPrune = now + Self.windowNanoseconds / 10
        state.addresses = state.addresses.filter { now < $1.newest + Self.windowNanoseconds }
    }
}
