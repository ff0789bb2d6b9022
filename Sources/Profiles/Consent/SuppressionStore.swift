import Bytes

/// The suppressed addresses of all projects, and their items of a snapshot.
///
/// Reads are for any thread, everything else is for the applier. A commit calls `willChange` before
/// it takes locks, and `set` inside of them.
struct SuppressionStore {
    /// Addresses of one project: 4 million, at most 256 MiB with the slack of the tables. One more
    /// is rejected. As many of all projects together are accepted over the memory limit.
    static let addressesMax = 4_000_000

    private let table = SuppressionTable()
    // SAFETY: owned by `Store`, which outlives its parts; only the applier's methods follow it.
    private let snapshot: UnsafeMutablePointer<SnapshotWork>

    init(snapshot: UnsafeMutablePointer<SnapshotWork>) {
        self.snapshot = snapshot
    }

    func destroy() {
        self.table.destroy()
    }

    /// The reasons that an address is suppressed for; empty if it is not. Any thread.
    func reasons(_ project: ProjectID, _ address: AddressHash) -> SuppressionReasons {
        self.table.reasons(project, address)
    }

    /// The reasons of several addresses, at one moment, in which `body` runs too. Any thread.
    func reasons(
        _ project: ProjectID, _ addresses: [AddressHash], _ body: () -> Void
    ) -> [SuppressionReasons] {
        self.table.reasons(project, addresses, body)
    }

    /// As `count`. Any thread.
    var lockedCount: Int { self.table.lockedCount }

    // MARK: The applier

    /// Suppressed addresses.
    var count: Int { self.table.count }
    /// Bytes of the tables.
    var bytes: Int { self.table.bytes }
    /// Whether a project can suppress no further address.
    func isFull(_ project: Project) -> Bool {
        project.record.pointee.suppressions >= Self.addressesMax
    }

    /// Writes the pre-image of a change that follows, if a running snapshot still needs it.
    func willChange(_ address: AddressHash) {
        let shard = SuppressionTable.shard(address)
        guard self.snapshot.pointee.isActive,
            self.snapshot.pointee.suppressionsWritten & 1 << UInt64(shard) == 0
        else { return }
        _ = self.writeItem(shard)
    }

    /// Replaces the reasons of an address; without reasons it is not suppressed.
    ///
    /// - Parameters:
    ///   - former: An address that loses its reasons at the same time; `nil`: none.
    ///   - publish: Runs under the locks, so that a reader that sees the change also sees what
    ///     `publish` stores.
    func set(
        _ project: Project, _ address: AddressHash, _ reasons: SuppressionReasons,
        replacing former: AddressHash? = nil,
        publish: () -> Void
    ) {
        project.record.pointee.suppressions += self.table.set(
            project.id, address, reasons, replacing: former, publish: publish)
    }

    /// Parts of a shard that `drop` takes one of: of a project's 4 million addresses each has
    /// 3,900. A part is told by the address, since positions in a table are no state: a start from
    /// a snapshot makes others.
    static let partsPerShard = 16

    /// Suppressed addresses of one shard.
    func count(in shard: Int) -> Int { self.table.count(in: shard) }

    /// Removes the addresses of projects that are purged from one part of a shard, and returns how
    /// many.
    ///
    /// - Complexity: O(addresses of the shard); the first time also O(slots) of a table that had
    ///   many more.
    func drop(in shard: Int, part: Int, find: (ProjectID) -> Project?) -> Int {
        var found: [(project: Project, address: AddressHash)] = []
        self.table.forEach(in: shard) { id, address, _ in
            guard Int(address.low >> 60) == part, let project = find(id),
                project.record.pointee.isPurging
            else { return }
            found.append((project, address))
        }
        for (project, address) in found {
            self.willChange(address)
            self.set(project, address, []) {}
        }
        self.table.shrink(shard)
        return found.count
    }

    /// Every address, in no defined order: for the digest.
    func forEach(_ body: (ProjectID, AddressHash, SuppressionReasons) -> Void) {
        self.table.forEach(body)
    }

    // MARK: Snapshots

    /// Writes the next shard that a running snapshot still needs, and returns the bytes of its
    /// item; 0: all shards are written.
    func writeNext() -> Int {
        let missing = ~self.snapshot.pointee.suppressionsWritten
        return missing == 0 ? 0 : self.writeItem(missing.trailingZeroBitCount)
    }

    /// Layout: `low, high: UInt64 | reasons: UInt8 | project: UInt32` for each address of the
    /// shard.
    private func writeItem(_ shard: Int) -> Int {
        self.snapshot.pointee.suppressionsWritten |= 1 << UInt64(shard)
        return self.snapshot.pointee.writeItem(.suppressions) { buffer in
            self.table.forEach(in: shard) { project, address, reasons in
                buffer.append(address.low)
                buffer.append(address.high)
                buffer.append(reasons.rawValue)
                buffer.append(project.rawValue)
            }
        }
    }

    /// Adds the addresses of an item; `nil` if its bytes are malformed or repeat an address.
    ///
    /// - Parameters:
    ///   - hasProjects: Each address names its project; else all are of project 1.
    ///   - find: The project with a number; `nil`: none.
    /// - Returns: The number of addresses.
    func load(
        _ body: UnsafeRawBufferPointer, hasProjects: Bool, find: (ProjectID) -> Project?
    ) -> Int? {
        var reader = ByteReader(body)
        var count = 0
        while reader.remaining > 0 {
            let address = AddressHash(low: reader.read(), high: reader.read())
            let reasons = SuppressionReasons(rawValue: reader.read())
            let id = hasProjects ? ProjectID(rawValue: reader.read()) : ProjectTable.defaultID
            guard !reader.overrun, !reasons.isEmpty, let project = find(id),
                self.table.reasons(id, address).isEmpty
            else { return nil }
            self.set(project, address, reasons) {}
            guard project.record.pointee.suppressions <= Self.addressesMax else { return nil }
            count += 1
        }
        return count
    }
}
