import Profiles

/// Says when the store takes more than it may, and when it no longer does; with a gap, so that one
/// freed profile does not let one in.
///
/// Memory that the store has taken from the system stays taken, but freed blocks in it are used
/// again: it is full when what it has taken is over the limit *and* most of that is in use.
struct MemoryGate {
    /// 0: only what the store can name at all.
    private let limitBytes: Int
    private(set) var isFull = false

    /// How much of the limit must be in use to shut, and less than which opens again.
    private static let shutSixteenths = 14
    private static let openSixteenths = 13

    init(limitBytes: Int) {
        self.limitBytes =
            limitBytes == 0 ? MemoryStatistics.bytesMax : min(limitBytes, MemoryStatistics.bytesMax)
    }

    /// Takes a look.
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
