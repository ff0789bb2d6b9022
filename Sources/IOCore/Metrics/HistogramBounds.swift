/// Upper bounds of a histogram's buckets, and the unit in which they are shown.
package struct HistogramBounds: Equatable, Sendable {
    /// Upper bounds, inclusive, strictly ascending, in the unit that is recorded; 1...`countMax` of
    /// them.
    package let upper: [UInt64]
    /// Recorded units per shown unit: 1 for counts and bytes, 1,000,000,000 for nanoseconds shown
    /// as seconds.
    package let unitsPerShown: UInt64

    /// Most bounds: each is a time series for every label set of the family.
    package static let countMax = 31

    package init(upper: [UInt64], unitsPerShown: UInt64 = 1) {
        precondition(upper.count >= 1 && upper.count <= Self.countMax, "1...31 bounds")
        precondition(zip(upper, upper.dropFirst()).allSatisfy { $0 < $1 }, "bounds must ascend")
        precondition(unitsPerShown > 0, "the shown unit must not be zero")
        self.upper = upper
        self.unitsPerShown = unitsPerShown
    }

    /// Operations in a frame of the log: powers of two up to its limit of 4,096.
    package static let frameOperations = HistogramBounds(upper: (0 ... 12).map { 1 << $0 })

    /// Bytes of a frame of the log: 512 B (one sector) to 16 MiB (the largest frame), factor 4 up
    /// to 4 MiB (the usual limit).
    package static let frameBytes = HistogramBounds(
        upper: [
            512, 2_048, 8_192, 32_768, 131_072, 524_288, 2_097_152, 4_194_304, 16_777_216,
        ])

    /// Nanoseconds of one fdatasync, shown as seconds: 50 µs (fast NVMe) to 5 s (a failing disk).
    package static let fdatasyncSeconds = HistogramBounds(
        upper: [
            50_000, 100_000, 200_000, 400_000, 800_000, 1_600_000, 3_200_000, 6_400_000, 12_800_000,
            25_600_000, 51_200_000, 102_400_000, 500_000_000, 1_000_000_000, 5_000_000_000,
        ], unitsPerShown: 1_000_000_000)

    /// Nanoseconds from a call's headers to its trailers, shown as seconds: 50 µs to 30 s.
    package static let handlingSeconds = HistogramBounds(
        upper: [
            50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
            25_000_000, 50_000_000, 100_000_000, 250_000_000, 1_000_000_000, 5_000_000_000,
            30_000_000_000,
        ], unitsPerShown: 1_000_000_000)
}
