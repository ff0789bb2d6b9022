/// Tells whether every watched thread has done something since it was last asked to.
///
/// Each thread has a counter that its work raises, and is woken after each observation: one that
/// only has nothing to do raises its counter too, one that is stuck does not.
struct ProgressWatch: Sendable {
    private var seen: [UInt64]
    private var hasMoved: [Bool]

    /// - Parameter counts: Of each thread, as they are now.
    init(counts: [UInt64]) {
        self.seen = counts
        self.hasMoved = counts.map { _ in false }
    }

    /// Compares the counters with those before.
    ///
    /// - Parameters:
    ///   - counts: As many as in `init`.
    ///   - isExcused: Whether a thread waits for what no restart would give it, such as a disk.
    /// - Returns: Indices of the threads that have not moved since the last time that all had;
    ///   empty: all have.
    mutating func observe(_ counts: [UInt64], isExcused: (Int) -> Bool = { _ in false }) -> [Int] {
        for (index, count) in counts.enumerated() {
            if count != self.seen[index] || isExcused(index) { self.hasMoved[index] = true }
            self.seen[index] = count
        }
        let stuck = self.hasMoved.indices.filter { !self.hasMoved[$0] }
        if stuck.isEmpty { self.hasMoved = counts.map { _ in false } }
        return stuck
    }
}
