import IOCore
import IOSimulation

/// Random bytes that follow from a seed.
package final class SimulatedRandomSource: RandomSource {
    private let random: Guarded<SeededRandom>

    package init(seed: UInt64 = 42) {
        self.random = Guarded(SeededRandom(seed: seed))
    }

    package func fill(_ bytes: UnsafeMutableRawBufferPointer) {
        let values = self.random.withLock { random in
            (0 ..< bytes.count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        }
        bytes.copyBytes(from: values)
    }
}
