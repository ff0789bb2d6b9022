// A histogram that working threads record into and the admin thread reads, without a lock between
// them.

import Synchronization

/// Counts observations in fixed buckets; recording and reading are allowed on any thread.
///
/// All accesses are relaxed: a reader may see an observation in its bucket before it is in the sum.
/// The count is derived from the buckets, so that it always equals the `+Inf` bucket.
package final class Histogram: Sendable {
    /// The observations recorded up to some moment; snapshots of several threads can be added.
    package struct Snapshot: Equatable, Sendable {
        package let bounds: HistogramBounds
        /// Observations per bucket, not cumulative; the last one is above every bound.
        package private(set) var counts: [UInt64]
        /// Sum of the observations, in the recorded unit; wraps at 2^64 (584 years of nanoseconds).
        package private(set) var sum: UInt64

        fileprivate init(bounds: HistogramBounds, counts: [UInt64], sum: UInt64) {
            self.bounds = bounds
            self.counts = counts
            self.sum = sum
        }

        /// Observations in all.
        package var count: UInt64 {
            self.counts.reduce(0, &+)
        }

        /// Adds what another thread recorded within the same bounds.
        package mutating func add(_ other: Snapshot) {
            precondition(self.bounds == other.bounds, "only histograms with equal bounds add up")
            for index in self.counts.indices { self.counts[index] &+= other.counts[index] }
            self.sum &+= other.sum
        }
    }

    package let bounds: HistogramBounds
    /// One more than the most bounds allowed: the last bucket counts what exceeds all bounds.
    private let counts: InlineArray<32, Atomic<UInt64>>
    private let sum = Atomic<UInt64>(0)

    package init(bounds: HistogramBounds) {
        self.bounds = bounds
        self.counts = InlineArray { _ in Atomic<UInt64>(0) }
        precondition(HistogramBounds.countMax + 1 == self.counts.count, "a bucket for every bound")
    }

    /// Records one observation in the unit of the bounds.
    ///
    /// Budget: no allocation, two atomic additions. Complexity: O(bounds).
    package func record(_ value: UInt64) {
        var index = 0
        while index < self.bounds.upper.count && value > self.bounds.upper[index] { index += 1 }
        self.counts[index].wrappingAdd(1, ordering: .relaxed)
        self.sum.wrappingAdd(value, ordering: .relaxed)
    }

    /// Reads all buckets.
    package func snapshot() -> Snapshot {
        let counts = (0 ... self.bounds.upper.count).map {
            self.counts[$0].load(ordering: .relaxed)
        }
        return Snapshot(
            bounds: self.bounds, counts: counts, sum: self.sum.load(ordering: .relaxed))
    }
}
