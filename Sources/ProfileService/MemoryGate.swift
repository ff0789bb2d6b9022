import Profiles

/// Decides whether the store uses more memory than its limit; with hysteresis, so that one freed
/// profile does not admit one.
///
/// Memory that the store has taken from the system is not given back, but freed blocks in it are
/// used again: it is full when what it has taken is over the limit *and* most of that is in use.
struct MemoryGate {
    /// In bytes.
    private let limitBytes: Int
    private(set) var isFull = false

    /// The gate shuts when this much of the limit is in use, and opens below the lower mark.
    private static let shutSixteenths = 14
    private static let openSixteenths = 13

    /// - Parameter limitBytes: 0: only what the store can address at all.
    init(limitBytes: Int) {
        self.limitBytes =
            limitBytes == 0 ? MemoryStatistics.bytesMax : min(limitBytes, MemoryStatistics.bytesMax)
    }

    /// Takes the store's figures into account.
    mutating func observe(_ memory: MemoryStatistics) {
        if self.isFull {
            self.isFull = memory.usedBytes >= self.limitBytes / 16 * Self.openSixteenths
        } else {
            self.isFull =
                memory.totalBytes >= self.limitBytes
                && memory.usedBytes >= self.limitBytes / 16 * Self.shutSixteenths
        }
    }
}
