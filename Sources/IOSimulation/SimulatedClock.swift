import IOCore
import Synchronization

/// A clock that stands still until it is told to go on.
package final class SimulatedClock: Clock {
    private let elapsed = Atomic<UInt64>(0)
    private let startMicroseconds: Int64

    /// - Parameter startMicroseconds: Wall-clock time at the start, in microseconds since 1970.
    package init(startMicroseconds: Int64 = 1_700_000_000_000_000) {
        self.startMicroseconds = startMicroseconds
    }

    package func wallMicroseconds() -> Int64 {
        self.startMicroseconds + Int64(self.elapsed.load(ordering: .relaxed) / 1_000)
    }

    package func monotonicNanoseconds() -> UInt64 { self.elapsed.load(ordering: .relaxed) }

    /// Lets time pass.
    package func advance(nanoseconds: UInt64) {
        self.elapsed.wrappingAdd(nanoseconds, ordering: .relaxed)
    }
}
