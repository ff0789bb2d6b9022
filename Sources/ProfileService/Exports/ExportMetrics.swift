import Synchronization

/// What exports do; written by the worker, read by any thread.
package final class ExportMetrics: Sendable {
    private let openCell = Atomic<Int>(0)
    private let peopleCell = Atomic<UInt64>(0)
    private let partsCell = Atomic<UInt64>(0)

    /// Open exports.
    package var open: Int { self.openCell.load(ordering: .relaxed) }
    /// People that were read whole.
    package var people: UInt64 { self.peopleCell.load(ordering: .relaxed) }
    /// Parts that were encoded.
    package var parts: UInt64 { self.partsCell.load(ordering: .relaxed) }

    func note(open: Int) { self.openCell.store(open, ordering: .relaxed) }

    func add(people: UInt64, parts: UInt64) {
        self.peopleCell.wrappingAdd(people, ordering: .relaxed)
        self.partsCell.wrappingAdd(parts, ordering: .relaxed)
    }
}
