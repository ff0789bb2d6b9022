import IOCore
import Synchronization

/// A clock that does not move until it is told to.
package final class SimulatedClock: Clock {
    private let elapsed = Atomic<UInt64>(0)
    private let startMicroseconds: Int64
    /// By how much the wall clock was set forward, in microseconds.
    private let offset = Atomic<Int64>(0)

    /// - Parameter startMicroseconds: Wall-clock time at the start, in microseconds since 1970.
    package init(startMicroseconds: Int64 = 1_700_000_000_000_000) {
        self.startMicroseconds = startMicroseconds
    }

    package func wallMicroseconds() -> Int64 {
        self.startMicroseconds + self.offset.load(ordering: .relaxed)
            + Int64(self.elapsed.load(ordering: .relaxed) / 1_000)
    }

    package func monotonicNanoseconds() -> UInt64 { self.elapsed.load(ordering: .relaxed) }

    /// Sets the wall clock forward, or back by a negative time.
    package func jump(microseconds: Int64) {
        self.offset.wrappingAdd(microseconds, ordering: .relaxed)
    }

    /// Lets time pass.
    package func advance(nanoseconds: UInt64) {
        self.elapsed.wrappingAdd(nanoseconds, ordering: .relaxed)
    }
}
