/// Reads and writes of one register whose values are all different, and whether some order of them
/// explains what the reads saw: linearizability.
///
/// Every value has a *cluster*: its write and the reads that saw it, which must follow each other
/// in that order with no other cluster between. Its *zone* lies between the first end and the last
/// begin of its operations. If the first end is before the last begin the register must have had
/// the value all through the zone: such zones must not overlap. Else one moment in the zone is
/// enough, which must not be covered by a zone of the first kind.
///
/// Source: Gibbons and Korach, Testing Shared Memories, SIAM J. Comput. 26 (1997), section 4, for a
/// read-mapping that is known. Unlike a search of all orders it is O(n log n).
package struct RegisterHistory {
    private struct Cluster {
        var writeBegin: Int
        /// `Int.max`: the outcome of the write is not known.
        var writeEnd: Int
        var firstEnd: Int
        var lastBegin: Int
        var isRead = false
    }

    private var clusters: [Int: Cluster] = [:]

    /// - Parameter initial: What reads see before the first write.
    package init(initial: Int) {
        self.clusters[initial] = Cluster(
            writeBegin: -2, writeEnd: -1, firstEnd: -1, lastBegin: -2)
    }

    /// Adds a write.
    ///
    /// - Parameter end: `nil`: not known whether it was done, or not yet.
    package mutating func write(_ value: Int, begin: Int, end: Int?) {
        precondition(self.clusters[value] == nil, "each value is written once")
        let end = end ?? .max
        self.clusters[value] = Cluster(
            writeBegin: begin, writeEnd: end, firstEnd: end, lastBegin: begin)
    }

    /// Adds a read.
    ///
    /// - Returns: `false`: nobody has written the value by then.
    package mutating func read(_ value: Int, begin: Int, end: Int) -> Bool {
        guard var cluster = self.clusters[value], cluster.writeBegin < end else { return false }
        cluster.firstEnd = min(cluster.firstEnd, end)
        cluster.lastBegin = max(cluster.lastBegin, begin)
        cluster.isRead = true
        self.clusters[value] = cluster
        return true
    }

    /// Two values that no order explains; `nil`: there is one.
    package func conflict() -> (Int, Int)? {
        var long: [(value: Int, from: Int, through: Int)] = []
        var short: [(value: Int, from: Int, through: Int)] = []
        for (value, cluster) in self.clusters {
            // A write that may not have been done and that nobody saw constrains nothing.
            if cluster.writeEnd == .max, !cluster.isRead { continue }
            if cluster.firstEnd < cluster.lastBegin {
                long.append((value, cluster.firstEnd, cluster.lastBegin))
            } else {
                short.append((value, cluster.lastBegin, cluster.firstEnd))
            }
        }
        long.sort { $0.from < $1.from }
        for index in long.indices.dropFirst() where long[index].from < long[index - 1].through {
            return (long[index - 1].value, long[index].value)
        }
        short.sort { $0.from < $1.from }
        var index = 0
        for zone in short {
            while index < long.count, long[index].through < zone.from { index += 1 }
            guard index < long.count else { break }
            if long[index].from < zone.from, zone.through < long[index].through {
                return (long[index].value, zone.value)
            }
        }
        return nil
    }
}
