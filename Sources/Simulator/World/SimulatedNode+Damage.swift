import IOSimulation

extension SimulatedNode {
    /// Bits that turn over at once, at most.
    private static let flipsMax = 3

    /// Turns bits of one file over that is whole and synced: a snapshot, a sealed segment of the
    /// log or of the feed.
    ///
    /// The newest segments of the log are left out: damage of what was written last cannot be told
    /// from a write that a power cut has torn.
    ///
    /// - Returns: Whether there is such a file.
    func rot(seed: UInt64) -> Bool {
        var random = SeededRandom(seed: seed)
        let files = self.disk.snapshot.files.filter { !$0.content.isEmpty }
        let newest = Set(files.map(\.path).filter { $0.hasSuffix(".log") }.suffix(2))
        let sealed = files.filter { file in
            Self.suffixes.contains { file.path.hasSuffix($0) } && !newest.contains(file.path)
                && self.disk.syncedNode(at: file.path) != nil
        }
        guard !sealed.isEmpty else { return false }
        let file = sealed[random.below(sealed.count)]
        guard let node = self.disk.syncedNode(at: file.path) else { return false }
        self.hasRotted = true
        for _ in 0 ... random.below(Self.flipsMax) {
            let flip = BitFlip(
                node: node.number, offset: random.below(file.content.count),
                mask: 1 << UInt8(random.below(8)), changes: node.changes)
            self.disk.flip(flip.mask, at: flip.offset, of: flip.node)
            self.damage.append(flip)
        }
        return true
    }

    /// Endings of the names of files that are sealed once they have their name.
    private static let suffixes = [".log", ".snapshot", ".feed"]

    /// A bit of a file that is turned over.
    struct BitFlip: Equatable {
        /// Number of the file's node on the disk.
        var node: Int
        var offset: Int
        var mask: UInt8
        /// How often the file had been changed then: if it was written since, the bit is gone.
        var changes: Int
    }

    /// Turns every bit back that was turned over and is still there.
    ///
    /// - Returns: Whether the disk had any damage.
    func repair() -> Bool {
        let damage = self.damage
        self.damage = []
        for flip in damage where self.disk.changes(of: flip.node) == flip.changes {
            self.disk.flip(flip.mask, at: flip.offset, of: flip.node)
        }
        return !damage.isEmpty
    }
}
