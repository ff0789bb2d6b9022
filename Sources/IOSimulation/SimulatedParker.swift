import IOCore
import Synchronization

/// A parker that never sleeps: it remembers that it was woken, for the driver that steps.
package final class SimulatedParker: Parker {
    private let isWokenCell = Atomic<Bool>(false)

    package init() {}

    package func park(forNanoseconds nanoseconds: UInt64?) {}

    package func wake() {
        self.isWokenCell.store(true, ordering: .releasing)
    }

    /// Whether it was woken since the last look.
    package func takeWake() -> Bool {
        self.isWokenCell.exchange(false, ordering: .acquiringAndReleasing)
    }
}
