/// Counts latencies in buckets that are at most 1.6 % wide, from 1 ns to hours, in a fixed 29 KiB.
///
/// Each power of two is divided into 64 equal parts, as in HdrHistogram.
package struct LatencyHistogram: Sendable {
    private static let partBits = 6
    private static let parts = 1 << Self.partBits
    private var counts = [UInt64](repeating: 0, count: (64 - Self.partBits + 1) * Self.parts)
    package private(set) var count: UInt64 = 0
    package private(set) var maximum: UInt64 = 0

    package init() {}

    /// - Parameter nanoseconds: One latency.
    package mutating func record(_ nanoseconds: UInt64) {
        self.counts[Self.index(nanoseconds)] += 1
        self.count += 1
        self.maximum = max(self.maximum, nanoseconds)
    }

    package mutating func add(_ other: LatencyHistogram) {
        for index in self.counts.indices { self.counts[index] += other.counts[index] }
        self.count += other.count
        self.maximum = max(self.maximum, other.maximum)
    }

    /// The latency in nanoseconds that a share (0...1) of the calls did not exceed: the upper bound
    /// of its bucket; 0 without calls.
    package func percentile(_ share: Double) -> UInt64 {
        let wanted = max(1, UInt64((Double(self.count) * share).rounded(.up)))
        var seen: UInt64 = 0
        for (index, count) in self.counts.enumerated() where count > 0 {
            seen += count
            if seen >= wanted { return min(Self.top(index), self.maximum) }
        }
        return self.maximum
    }

    /// One row per power of two, from the first to the last one with calls: its upper bound in
    /// nanoseconds and its number of calls.
    package var rows: [(top: UInt64, count: UInt64)] {
        var rows: [(top: UInt64, count: UInt64)] = []
        for start in stride(from: 0, to: self.counts.count, by: Self.parts) {
            let sum = self.counts[start ..< start + Self.parts].reduce(0, +)
            if sum > 0 || !rows.isEmpty { rows.append((Self.top(start + Self.parts - 1), sum)) }
        }
        while rows.last?.count == 0 { rows.removeLast() }
        return rows
    }

    private static func index(_ value: UInt64) -> Int {
        let power = max(0, 64 - value.leadingZeroBitCount - Self.partBits - 1)
        return power * Self.parts + Int(value >> UInt64(power))
    }

    /// The largest value of a bucket.
    private static func top(_ index: Int) -> UInt64 {
        // Buckets up to 2 * parts hold one value each; later powers use only their upper half.
        let power = max(0, index / Self.parts - 1)
        let part = UInt64(index - power * Self.parts)
        return (part + 1) << UInt64(power) &- 1
    }
}
