import Synchronization

// Projects are found by number at each command and each read, and by name at the door. A project's
// number is never used again, its record is: the directory keeps 8 bytes for each number that was
// ever given, and what a reader takes of a record it checks against the number.
//
// SAFETY: `core` and the directory are allocated by `init` and freed by `destroy`. Entries of the
// directory are words that are stored once the record is complete; a chunk is never freed before.
// `order`, `all`, names and details are changed under lock 0 of `lists`, tables of names under
// `locks`; the applier reads all of them without.

/// The projects of a store.
struct ProjectTable {
    /// Numbers that can be given: ten thousand a day for four years.
    static let idsMax = 1 << 24
    private static let chunkIDs = 1 << 12
    private static let chunksMax = Self.idsMax / Self.chunkIDs
    /// The number of the project that every store begins with.
    static let defaultID = ProjectID(rawValue: 1)
    private static let defaultName: StaticString = "default"

    private struct Core: ~Copyable {
        /// Ascending by name.
        var order: [Project] = []
        /// Ascending by number.
        var all: [Project] = []
        var nextID: UInt32 = 1
        /// Records of projects that are gone.
        var vacant: [Project] = []
        let version = Atomic<UInt64>(0)
        let count = Atomic<Int>(0)
        /// Project 1 exists, whose name is `default`.
        let hasFirst = Atomic<Bool>(false)
    }

    private typealias Chunk = UnsafeMutablePointer<Atomic<UInt>>

    private let core: UnsafeMutablePointer<Core>
    private let nameBytesCell: UnsafeMutablePointer<Int>
    private let directory: Chunk
    private let tables: UnsafeMutablePointer<HashTable>
    private let locks = ShardLocks()
    private let lists = ShardLocks()
    private let hash: KeyedHash
    private let limits: StoreLimits
    /// Owns what belongs to no project: the request ids of calls that make projects.
    let instance: Project

    init(hash: KeyedHash, limits: StoreLimits) {
        self.hash = hash
        self.limits = limits
        self.core = .allocate(capacity: 1)
        self.core.initialize(to: Core())
        self.nameBytesCell = .allocate(capacity: 1)
        self.nameBytesCell.initialize(to: 0)
        self.directory = Self.words(Self.chunksMax)
        self.tables = .allocate(capacity: Shards.count)
        for shard in 0 ..< Shards.count { (self.tables + shard).initialize(to: HashTable()) }
        self.instance = Project(hash: hash, nameBytes: self.nameBytesCell)
        self.instance.record.pointee.access = .instance
    }

    func destroy() {
        for project in self.core.pointee.all + self.core.pointee.vacant { project.destroy() }
        self.instance.destroy()
        for chunk in 0 ..< Self.chunksMax { self.chunk(chunk)?.deallocate() }
        self.directory.deallocate()
        for shard in 0 ..< Shards.count { self.tables[shard].destroy() }
        self.tables.deallocate()
        self.nameBytesCell.deallocate()
        self.core.deinitialize(count: 1)
        self.core.deallocate()
        self.locks.destroy()
        self.lists.destroy()
    }

    private static func words(_ count: Int) -> Chunk {
        let words = Chunk.allocate(capacity: count)
        for index in 0 ..< count { (words + index).initialize(to: Atomic(0)) }
        return words
    }

    @inline(__always)
    private func chunk(_ number: Int) -> Chunk? {
        Chunk(bitPattern: self.directory[number].load(ordering: .acquiring))
    }

    // MARK: Any thread

    /// The project with a number; also one that is being deleted.
    @inline(__always)
    func find(_ id: ProjectID) -> Project? {
        let number = Int(id.rawValue)
        guard number < Self.idsMax, let chunk = self.chunk(number / Self.chunkIDs) else {
            return nil
        }
        return Project(word: chunk[number % Self.chunkIDs].load(ordering: .acquiring))
    }

    /// The names of a project; none for a project that is gone.
    @inline(__always)
    func names(of id: ProjectID) -> NameTable { (self.find(id) ?? self.instance).names }

    /// The number of the project with a name; also of one that is being deleted.
    func find(_ name: UnsafeRawBufferPointer) -> ProjectID? {
        // A store with one project is the common one: no hash and no lock for it.
        if self.core.pointee.hasFirst.load(ordering: .acquiring),
            name.equals(
                UnsafeRawBufferPointer(
                    start: Self.defaultName.utf8Start, count: Self.defaultName.utf8CodeUnitCount))
        {
            return Self.defaultID
        }
        let hash = self.hash.name(name)
        let shard = Shards.shard(hash)
        return self.locks.with(shard) {
            var position = self.tables[shard].start(Shards.tag(hash))
            while true {
                let value = self.tables[shard].next(Shards.tag(hash), from: &position)
                guard value != 0 else { return nil }
                let id = ProjectID(rawValue: value)
                guard let project = self.find(id),
                    UnsafeRawBufferPointer(project.record.pointee.name).equals(name)
                else { continue }
                return id
            }
        }
    }

    /// Changes with each project that is made, changed or goes.
    var version: UInt64 { self.core.pointee.version.load(ordering: .acquiring) }

    /// The number of projects, those that are being deleted too.
    var count: Int { self.core.pointee.count.load(ordering: .relaxed) }

    /// A copy of what a project was told; `nil` if there is none.
    func info(_ id: ProjectID) -> ProjectInfo? {
        self.lists.with(0) { self.find(id).map(Self.info) }
    }

    /// The projects behind a name, ascending by their names.
    ///
    /// - Complexity: O(limit + log(projects)).
    func infos(after name: [UInt8], limit: Int) -> [ProjectInfo] {
        self.lists.with(0) {
            let first = name.withUnsafeBytes { self.position(behind: $0) }
            return self.core.pointee.order[first...].prefix(max(limit, 0)).map(Self.info)
        }
    }

    private static func info(_ project: Project) -> ProjectInfo {
        let details = project.record.pointee.details
        var info = ProjectInfo(id: project.id, name: [UInt8](project.record.pointee.name))
        info.options = details.options
        info.createdAt = details.createdAt
        info.deleteDue = details.deleteDue
        info.revision = details.revision
        return info
    }

    /// The instance, then every project, ascending by number, while none is made and none goes.
    func forEach(_ body: (Project) -> Void) {
        self.lists.with(0) {
            body(self.instance)
            for project in self.core.pointee.all { body(project) }
        }
    }

    /// The first position in the order whose name is behind `name`.
    private func position(behind name: UnsafeRawBufferPointer) -> Int {
        var (low, high) = (0, self.core.pointee.order.count)
        while low < high {
            let middle = (low + high) / 2
            let other = UnsafeRawBufferPointer(
                self.core.pointee.order[middle].record.pointee.name)
            if name.lexicographicallyPrecedes(other) { high = middle } else { low = middle + 1 }
        }
        return low
    }

    // MARK: The applier

    /// Every project, ascending by number.
    var all: [Project] { self.core.pointee.all }

    /// The first project from a number on that the running removal is about; `nil`: there is none.
    ///
    /// - Returns: Also how many projects were looked at.
    /// - Complexity: O(log(projects) + projects looked at).
    func nextPurged(from number: Int) -> (project: Project?, visited: Int) {
        let all = self.core.pointee.all
        var (low, high) = (0, all.count)
        while low < high {
            let middle = (low + high) / 2
            if Int(all[middle].id.rawValue) < number { low = middle + 1 } else { high = middle }
        }
        for index in low ..< all.count where all[index].record.pointee.isPurging {
            return (all[index], index - low + 1)
        }
        return (nil, all.count - low)
    }
    /// The number of the next project.
    var nextID: UInt32 {
        get { self.core.pointee.nextID }
        nonmutating set { self.core.pointee.nextID = newValue }
    }
    /// Bytes of all projects and their names.
    var bytes: Int {
        self.nameBytesCell.pointee
            + (self.core.pointee.all.count + self.core.pointee.vacant.count + 1)
            * MemoryLayout<ProjectRecord>.stride
            + (0 ..< Shards.count).reduce(0) { $0 + self.tables[$1].bytes }
    }

    /// Makes a project, under the next number or one that was read from a snapshot; no project has
    /// the name or the number.
    func insert(
        _ name: UnsafeRawBufferPointer, _ details: ProjectDetails, id: ProjectID? = nil
    ) -> Project {
        let id = id ?? ProjectID(rawValue: self.nextID)
        precondition(id.rawValue > 0 && id.rawValue < Self.idsMax, "checked by the caller")
        let project =
            self.core.pointee.vacant.popLast()
            ?? Project(hash: self.hash, nameBytes: self.nameBytesCell)
        let owned = UnsafeMutableRawBufferPointer.allocate(byteCount: name.count, alignment: 1)
        owned.copyMemory(from: name)
        self.lists.with(0) {
            project.record.pointee.name = owned
            project.record.pointee.id.store(id.rawValue, ordering: .releasing)
            self.publish(details, of: project)
            self.enter(project, id)
            self.core.pointee.order.insert(project, at: self.position(behind: name))
            self.core.pointee.all.append(project)
        }
        self.core.pointee.nextID = max(self.core.pointee.nextID, id.rawValue + 1)
        let hash = self.hash.name(name)
        self.locks.with(Shards.shard(hash)) {
            self.tables[Shards.shard(hash)].insertGrowing(Shards.tag(hash), id.rawValue)
        }
        if id == Self.defaultID, name.elementsEqual("default".utf8) {
            self.core.pointee.hasFirst.store(true, ordering: .releasing)
        }
        self.noteChange()
        return project
    }

    /// Makes the project that every store begins with.
    func insertDefault() -> Project {
        self.insert(
            UnsafeRawBufferPointer(
                start: Self.defaultName.utf8Start, count: Self.defaultName.utf8CodeUnitCount),
            ProjectDetails(), id: Self.defaultID)
    }

    private func enter(_ project: Project, _ id: ProjectID) {
        let (chunk, entry) = (
            Int(id.rawValue) / Self.chunkIDs, Int(id.rawValue) % Self.chunkIDs
        )
        if self.chunk(chunk) == nil {
            self.directory[chunk].store(
                UInt(bitPattern: Self.words(Self.chunkIDs)), ordering: .releasing)
        }
        self.chunk(chunk)?[entry].store(UInt(bitPattern: project.record), ordering: .releasing)
    }

    /// Changes what a project was told, at once for every reader.
    func change(_ project: Project, to details: ProjectDetails) {
        self.lists.with(0) { self.publish(details, of: project) }
        self.noteChange()
    }

    private func publish(_ details: ProjectDetails, of project: Project) {
        project.record.pointee.details = details
        project.record.pointee.access = details.deleteDue == 0 ? .live : .deleting
        project.record.pointee.windows.store(
            self.limits.retentionSeconds(details.options) << 32
                | self.limits.lateSeconds(details.options), ordering: .relaxed)
        project.record.pointee.topicDefault.store(
            details.options.topicDefaultUnsubscribed, ordering: .relaxed)
        project.record.pointee.deleteDue.store(details.deleteDue, ordering: .relaxed)
    }

    /// Frees the names of projects of which nothing is left; their records are used again.
    ///
    /// - Complexity: O(projects), however many go.
    func remove(_ removed: [Project]) {
        guard !removed.isEmpty else { return }
        for project in removed {
            let id = project.id
            if id == Self.defaultID {
                self.core.pointee.hasFirst.store(false, ordering: .releasing)
            }
            let hash = self.hash.name(UnsafeRawBufferPointer(project.record.pointee.name))
            self.locks.with(Shards.shard(hash)) {
                self.tables[Shards.shard(hash)].remove(Shards.tag(hash), id.rawValue)
            }
        }
        self.lists.with(0) {
            for project in removed { self.leave(project) }
            // Those that left have no number any more.
            self.core.pointee.order.removeAll { $0.id.rawValue == 0 }
            self.core.pointee.all.removeAll { $0.id.rawValue == 0 }
        }
        for project in removed {
            project.record.pointee.counts = ProjectCounts()
            project.record.pointee.requests = RequestList()
            project.record.pointee.snapshotIndex = .max
            project.publishCounts()
        }
        self.core.pointee.vacant += removed
        self.noteChange()
    }

    /// Takes number and name from a project; under the lock of the lists, which still have it.
    private func leave(_ project: Project) {
        let id = Int(project.id.rawValue)
        self.chunk(id / Self.chunkIDs)?[id % Self.chunkIDs].store(0, ordering: .releasing)
        project.record.pointee.id.store(0, ordering: .releasing)
        // A loop that is about to count items of it counts them for its record's next project:
        // they are counted once all the same.
        self.instance.record.pointee.items.add(project.record.pointee.items.take())
        project.record.pointee.name.deallocate()
        project.record.pointee.name = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    }

    private func noteChange() {
        self.core.pointee.count.store(self.core.pointee.all.count, ordering: .relaxed)
        self.core.pointee.version.add(1, ordering: .acquiringAndReleasing)
    }
}

extension Project {
    /// The project of a word of the directory; `nil` for 0.
    @inline(__always)
    fileprivate init?(word: UInt) {
        guard let record = UnsafeMutablePointer<ProjectRecord>(bitPattern: word) else { return nil }
        self.record = record
    }
}
