/// What programs see of a simulated disk, and what of it a power cut would leave.
///
/// - Content is durable per sector of 512 bytes: until a sync, a sector holds what it held at the
///   last one or any version written since, each sector by itself. A file's size is chosen in the
///   same way.
/// - Creations, renames and removals are durable with the next sync of their directory; until then
///   each may or may not have happened.
/// - After a failed sync reads still see everything, but no later sync writes it (as ext4, XFS and
///   Btrfs do).
package struct DiskState: Sendable {
    package static let sectorBytes = 512

    struct Node: Sendable {
        /// What reads see.
        var content: [UInt8] = []
        /// What is on stable storage.
        var durable: [UInt8] = []
        /// Versions of each sector since the last sync, oldest first; each of `sectorBytes`.
        var versions: [Int: [[UInt8]]] = [:]
        /// Sizes since the last sync, oldest first.
        var sizes: [Int] = []
        /// How often the content was changed.
        var changes = 0
        /// Paths that lead to it: after a power cut between two renames there may be several.
        var links = 0
    }

    private enum EntryChange: Sendable {
        case link(path: String, node: Int)
        case rename(source: String, target: String, node: Int)
        case unlink(path: String)

        var directory: Substring {
            switch self {
            case .link(let path, _), .unlink(let path): DiskState.directory(of: path)
            case .rename(_, let target, _): DiskState.directory(of: target)
            }
        }

        func apply(to entries: inout [String: Int]) {
            switch self {
            case .link(let path, let node): entries[path] = node
            case .unlink(let path): entries[path] = nil
            case .rename(let source, let target, let node):
                entries[source] = nil
                entries[target] = node
            }
        }
    }

    private(set) var nodes: [Node] = []
    /// Bytes of the files that reads see.
    private(set) var usedBytes = 0
    private(set) var entries: [String: Int] = [:]
    private var durableEntries: [String: Int] = [:]
    private var changes: [EntryChange] = []

    package init() {}

    /// Paths and contents that reads see, in ascending order of the paths.
    package var files: [(path: String, content: [UInt8])] {
        self.entries.sorted { $0.key < $1.key }.map { ($0.key, self.nodes[$0.value].content) }
    }

    /// A disk with these files, all durable.
    package init(files: [(path: String, content: [UInt8])]) {
        for (path, content) in files {
            self.entries[path] = self.nodes.count
            self.nodes.append(Node(content: content, durable: content))
        }
        self.durableEntries = self.entries
        self.countBytes()
    }

    private mutating func countBytes() {
        self.usedBytes = 0
        for node in self.entries.values {
            self.nodes[node].links += 1
            self.usedBytes += self.nodes[node].content.count
        }
    }

    /// The node that a path leads to.
    package func node(at path: String) -> Int? { self.entries[path] }

    /// Whether nothing of a node's content is written and not synced.
    package func isSynced(_ node: Int) -> Bool {
        self.nodes[node].versions.isEmpty && self.nodes[node].sizes.isEmpty
    }

    /// How often a node's content was changed.
    package func changes(of node: Int) -> Int { self.nodes[node].changes }

    /// Turns bits of a byte over, on stable storage and for reads: damage, not a write.
    package mutating func flip(_ mask: UInt8, at offset: Int, of node: Int) {
        self.nodes[node].flip(mask, at: offset)
    }

    static func directory(of path: String) -> Substring {
        path[..<(path.lastIndex(of: "/") ?? path.startIndex)]
    }
}

extension DiskState {
    /// Does one operation, which must be possible: whoever records has checked it.
    package mutating func apply(_ operation: DiskOperation) {
        switch operation {
        case .create(let path, let node):
            precondition(node == self.nodes.count, "nodes are numbered in order")
            self.nodes.append(Node())
            self.change(.link(path: path, node: node))
        case .write(let node, let offset, let bytes):
            self.resize(node) { $0.write(bytes, at: offset) }
        case .truncate(let node, let size): self.resize(node) { $0.resize(to: size) }
        case .sync(let node): self.nodes[node].settleOnLastWritten()
        case .failedSync(let node, let seed):
            var random = SeededRandom(seed: seed)
            self.nodes[node].settle(on: self.nodes[node].afterPowerCut(.mixed, &random))
            // Pages are lost, not the size: that is metadata, which the next sync writes.
            let size = self.nodes[node].content.count
            if size != self.nodes[node].durable.count { self.nodes[node].sizes = [size] }
        case .rename(let source, let target):
            guard let node = self.entries[source] else { preconditionFailure("no file to rename") }
            self.change(.rename(source: source, target: target, node: node))
        case .remove(let path): self.change(.unlink(path: path))
        case .syncDirectory(let path):
            for change in self.changes where change.directory == path {
                change.apply(to: &self.durableEntries)
            }
            self.changes.removeAll { $0.directory == path }
        }
    }

    private mutating func change(_ change: EntryChange) {
        switch change {
        case .link(_, let node): self.nodes[node].links += 1
        case .unlink(let path): self.unlink(self.entries[path])
        case .rename(let source, let target, _):
            if source != target { self.unlink(self.entries[target]) }
        }
        change.apply(to: &self.entries)
        self.changes.append(change)
    }

    /// A node without a path is not counted: only those that have it open still reach it.
    private mutating func unlink(_ node: Int?) {
        guard let node else { return }
        self.nodes[node].links -= 1
        self.usedBytes -= self.nodes[node].content.count
    }

    private mutating func resize(_ node: Int, _ body: (inout Node) -> Void) {
        let before = self.nodes[node].content.count
        body(&self.nodes[node])
        self.usedBytes += self.nodes[node].links * (self.nodes[node].content.count - before)
    }

    /// One legal state after a power cut, chosen by `random`: all that was synced, and any part of
    /// the rest.
    package func afterPowerCut(_ random: inout SeededRandom) -> DiskState {
        // The two extremes are likely enough to be met in every run.
        let survival: Survival =
            switch random.below(8) {
            case 0: .nothing
            case 1: .everything
            default: .mixed
            }
        var result = DiskState()
        result.durableEntries = self.durableEntries
        for change in self.changes where Self.survives(survival, &random) {
            change.apply(to: &result.durableEntries)
        }
        result.entries = result.durableEntries
        result.nodes = self.nodes.map { node in
            let content = node.afterPowerCut(survival, &random)
            return Node(content: content, durable: content, changes: node.changes)
        }
        result.countBytes()
        return result
    }

    /// What of the unsynced a power cut leaves.
    enum Survival {
        case nothing
        case everything
        case mixed
    }

    private static func survives(_ survival: Survival, _ random: inout SeededRandom) -> Bool {
        switch survival {
        case .nothing: false
        case .everything: true
        case .mixed: random.below(2) == 0
        }
    }
}

extension DiskState.Node {
    mutating func write(_ bytes: [UInt8], at offset: Int) {
        guard !bytes.isEmpty else { return }
        let end = offset + bytes.count
        if end > self.content.count {
            self.content = Self.fit(self.content, to: end)
            self.sizes.append(end)
        }
        self.content.replaceSubrange(offset ..< end, with: bytes)
        self.changes += 1
        self.note(sectorsOf: offset ..< end)
    }

    mutating func resize(to size: Int) {
        let before = self.content.count
        guard size != before else { return }
        self.content = Self.fit(self.content, to: size)
        self.sizes.append(size)
        self.changes += 1
        self.note(sectorsOf: min(size, before) ..< max(size, before))
    }

    /// All that was written since the last sync is durable.
    ///
    /// - Complexity: O(sectors written since), unless the size has changed.
    mutating func settleOnLastWritten() {
        let size = self.sizes.last ?? self.durable.count
        if size != self.durable.count { self.durable = Self.fit(self.durable, to: size) }
        for (sector, versions) in self.versions {
            Self.place(versions[versions.count - 1], sector, in: &self.durable)
        }
        self.versions.removeAll()
        self.sizes.removeAll()
    }

    mutating func flip(_ mask: UInt8, at offset: Int) {
        if self.content.indices.contains(offset) { self.content[offset] ^= mask }
        if self.durable.indices.contains(offset) { self.durable[offset] ^= mask }
    }

    /// Everything now is as `durable`, or counts as if it were.
    mutating func settle(on durable: [UInt8]) {
        self.durable = durable
        self.versions.removeAll()
        self.sizes.removeAll()
    }

    func afterPowerCut(_ survival: DiskState.Survival, _ random: inout SeededRandom) -> [UInt8] {
        switch survival {
        case .nothing: return self.durable
        case .everything where self.versions.isEmpty && self.sizes.isEmpty: return self.durable
        case .everything: return self.lastWritten()
        case .mixed: break
        }
        guard !self.versions.isEmpty || !self.sizes.isEmpty else { return self.durable }
        let sizes = [self.durable.count] + self.sizes
        let size = sizes[random.below(sizes.count)]
        var result = Self.fit(self.durable, to: max(size, self.durable.count))
        for (sector, versions) in self.versions.sorted(by: { $0.key < $1.key }) {
            let choice = random.below(versions.count + 1)
            if choice > 0 { Self.place(versions[choice - 1], sector, in: &result) }
        }
        return Self.fit(result, to: size)
    }

    /// The durable content with every later write: after a failed sync that is less than what reads
    /// see.
    func lastWritten() -> [UInt8] {
        var result = Self.fit(self.durable, to: max(self.durable.count, self.content.count))
        for (sector, versions) in self.versions {
            Self.place(versions[versions.count - 1], sector, in: &result)
        }
        return Self.fit(result, to: self.sizes.last ?? self.durable.count)
    }

    private static let zeros = [UInt8](repeating: 0, count: 4096)

    private mutating func note(sectorsOf range: Range<Int>) {
        let sectorBytes = DiskState.sectorBytes
        for sector in range.lowerBound / sectorBytes ... (range.upperBound - 1) / sectorBytes {
            let start = sector * sectorBytes
            let end = min(start + sectorBytes, self.content.count)
            let bytes = start < end ? Array(self.content[start ..< end]) : []
            self.versions[sector, default: []].append(Self.fit(bytes, to: sectorBytes))
        }
    }

    private static func place(_ bytes: [UInt8], _ sector: Int, in content: inout [UInt8]) {
        let start = sector * DiskState.sectorBytes
        guard start < content.count else { return }
        let count = min(bytes.count, content.count - start)
        content.replaceSubrange(start ..< start + count, with: bytes[..<count])
    }

    private static func fit(_ bytes: [UInt8], to size: Int) -> [UInt8] {
        if bytes.count == size { return bytes }
        if bytes.count > size { return Array(bytes[..<size]) }
        // In pieces: appending a slice copies memory, appending a repeated element calls for each
        // byte in a debug build.
        var result = bytes
        result.reserveCapacity(size)
        while result.count < size {
            result += Self.zeros[..<min(Self.zeros.count, size - result.count)]
        }
        return result
    }
}
