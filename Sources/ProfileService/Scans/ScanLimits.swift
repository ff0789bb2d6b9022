import Profiles

/// Bounds of the counts and lists of a node.
package struct ScanLimits: Sendable {
    /// Scans that take turns; each further one waits. Those that an index shortens have their turn
    /// at once.
    package var scansAtOnceMax = 8
    /// Scans that wait; one more is rejected.
    package var scansWaitingMax = 56
    /// Bytes of the profiles of a page that end it: it stays far below the 4 MiB that clients take.
    /// One more slice of it is encoded, and one profile of any size.
    package var pageBytesMax = 1 << 20
    /// Work after which a page ends although it is not full, in units of `ScanSlice`: some 2 s. Its
    /// token goes on from there.
    package var pageWorkMax = 40_000_000
    /// What a count may take at best, in nanoseconds, if its call has no shorter deadline.
    package var countNanosecondsMax: UInt64 = 60_000_000_000
    /// What a unit of work takes at best, in nanoseconds: half of what was measured, so that no
    /// count is rejected that might end in time.
    package var unitNanoseconds: UInt64 = 20

    package init() {}

    /// Scans that are open at once, of one peer half as many.
    var scansMax: Int { self.scansAtOnceMax + self.scansWaitingMax }
}

/// What a count costs, before it runs.
struct ScanEstimate: Equatable {
    let profiles: Int
    let comparisons: Int
    /// At best.
    let nanoseconds: UInt64

    /// - Parameters:
    ///   - slots: Of the whole store, which a scan passes.
    ///   - profiles: Of the project, each of which is compared.
    init(slots: Int, profiles: Int, comparisons: Int, _ limits: ScanLimits) {
        self.profiles = profiles
        self.comparisons = comparisons
        let units = slots / ScanSlice.slotsPerUnit + profiles * (1 + comparisons)
        self.nanoseconds = UInt64(units) * limits.unitNanoseconds
    }
}
