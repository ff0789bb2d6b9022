import Bytes

/// The responses of calls that named a request id, oldest first for each project; applier only.
///
/// The tables are those of all projects, the lists are the projects' own (`RequestList`). An entry
/// is a block:
/// `next: UInt32 | totalBytes: UInt32 | receivedAt: Int64 µs | fingerprint: 2 x UInt64 | hash:
/// UInt64 | kind: UInt8 | idBytes: UInt8 | id | response to the end`, and behind `totalBytes` the
/// project, which the limit of bytes does not count: `UInt32`. In an entry whose response
/// was erased the id is a keyed hash of 16 bytes, and fingerprint and response are zeros: no
/// response begins with zeros.
struct RequestDeduplication {
    /// Longest request id in a record, in bytes; the contract allows 100.
    static let idBytesMax = 127
    private static let fixedBytes = 4 + 4 + 8 + 16 + 8 + 1 + 1

    private static let projectBytes = 4

    // SAFETY: `snapshot` is owned by `Store`, which outlives its parts.
    private let table: ShardedTable
    /// The entries whose responses name a profile, by its id.
    private let profiles: ShardedTable
    private let slab: Slab
    let hash: KeyedHash
    private let limits: StoreLimits
    private let ageMax: Int64
    private let snapshot: UnsafeMutablePointer<SnapshotWork>

    init(
        slab: Slab, hash: KeyedHash, limits: StoreLimits,
        snapshot: UnsafeMutablePointer<SnapshotWork>
    ) {
        self.slab = slab
        self.hash = hash
        self.snapshot = snapshot
        self.limits = limits
        self.ageMax = Int64(limits.requestIDSeconds) * 1_000_000
        self.table = ShardedTable()
        self.profiles = ShardedTable()
    }

    func destroy() {
        self.table.destroy()
        self.profiles.destroy()
    }

    /// Bytes of the tables.
    var tableBytes: Int { self.table.bytes + self.profiles.bytes }

    /// When an entry of this time begins to be past due, in microseconds.
    func due(_ receivedAt: Int64) -> Int64 {
        receivedAt == .max ? .max : receivedAt + self.ageMax + 1
    }

    /// The first call of a request id, borrowed until the next change.
    struct DeduplicationEntry {
        var fingerprint: Fingerprint
        var response: UnsafeRawBufferPointer
        /// The response named a person who was erased since.
        var isErased: Bool
    }

    /// Looks a request id up; an entry that is past due is not found.
    func find(
        _ project: ProjectID, _ kind: RecordKind, _ id: UnsafeRawBufferPointer, hash: UInt64,
        now: Int64
    ) -> DeduplicationEntry? {
        #if CANARIES
            if Canary.requestIDForgotten.isActive { return nil }
        #endif
        let table = self.table.table(hash)
        let tag = Shards.tag(hash)
        var position = table.start(tag)
        while true {
            let handle = table.next(tag, from: &position)
            guard handle != 0 else { return nil }
            let entry = Entry(self.slab.pointer(handle))
            guard entry.project == project, entry.kind == kind.rawValue,
                now - entry.receivedAt <= self.ageMax,
                self.isOf(id, entry)
            else { continue }
            return DeduplicationEntry(
                fingerprint: entry.fingerprint, response: entry.response, isErased: entry.isErased)
        }
    }

    /// Calls `body` with every entry of a request id that is not past due, in any order: a chunk of
    /// an import has one for each of its parts.
    func forEach(
        _ project: ProjectID, _ kind: RecordKind, _ id: UnsafeRawBufferPointer, hash: UInt64,
        now: Int64, _ body: (DeduplicationEntry) -> Void
    ) {
        let table = self.table.table(hash)
        let tag = Shards.tag(hash)
        var position = table.start(tag)
        while true {
            let handle = table.next(tag, from: &position)
            guard handle != 0 else { return }
            let entry = Entry(self.slab.pointer(handle))
            guard entry.project == project, entry.kind == kind.rawValue,
                now - entry.receivedAt <= self.ageMax,
                self.isOf(id, entry)
            else { continue }
            body(
                DeduplicationEntry(
                    fingerprint: entry.fingerprint, response: entry.response,
                    isErased: entry.isErased))
        }
    }

    private func isOf(_ id: UnsafeRawBufferPointer, _ entry: Entry) -> Bool {
        guard entry.isErased else { return entry.id.equals(id) }
        return withUnsafeBytes(of: self.hash.forgottenRequest(entry.kind, id)) {
            entry.id.equals($0)
        }
    }

    /// Keeps a response, and drops entries that are past due or over the limits.
    func remember(
        _ project: Project, _ kind: RecordKind, _ id: UnsafeRawBufferPointer, hash: UInt64,
        fingerprint: Fingerprint,
        response: UnsafeRawBufferPointer, receivedAt: Int64, now: Int64
    ) {
        // Two for one, so that steady traffic never leaves the clean-up behind.
        self.dropPastDue(of: project, now: now, most: 2)
        let totalBytes = Self.fixedBytes + id.count + response.count
        let handle = self.slab.allocate(totalBytes + Self.projectBytes)
        var writer = RawWriter(self.slab.pointer(handle))
        writer.write(Handle(0))
        writer.write(UInt32(totalBytes))
        writer.write(receivedAt)
        writer.write(fingerprint.low)
        writer.write(fingerprint.high)
        writer.write(hash)
        writer.write(kind.rawValue)
        writer.write(UInt8(id.count))
        writer.write(id)
        writer.write(response)
        writer.write(project.id.rawValue)
        self.enter(handle, in: project)
        while project.requests.entries.count > self.limits.requestIDsPerProject
            || project.requests.entryBytes > self.limits.requestIDBytesPerProject
        {
            project.requests.forgotten = project.requests.entries.oldest
            self.dropOldest(of: project)
        }
    }

    /// Puts an entry that is written whole at the end of its project's list and into the table.
    private func enter(_ handle: Handle, in project: Project) {
        let entry = Entry(self.slab.pointer(handle))
        self.table.insert(entry.hash, handle)
        ResponseProfiles.forEach(in: entry.response) {
            self.profiles.insert(self.bucket(of: handle, $0), handle)
        }
        var list = project.requests
        if list.entries.head == 0 {
            list.entries.head = handle
            list.entries.oldest = entry.receivedAt
        } else {
            self.slab.pointer(list.entries.tail).storeBytes(of: handle, as: Handle.self)
        }
        list.entries.tail = handle
        list.entries.count += 1
        list.entryBytes += UInt64(entry.totalBytes)
        project.requests = list
    }

    // MARK: Erasure

    /// Erases the responses that name a profile, in place; their request ids stay known.
    ///
    /// - Complexity: O(bytes of these responses).
    func erase(_ profile: ProfileID, of project: Project) {
        let handles = self.naming(profile)
        // A running snapshot still needs the responses. Which ones it has written is known by
        // position only, so it writes all that are left of the project: erasures are rare enough
        // for that.
        if !handles.isEmpty { while self.writeNext(of: project) > 0 {} }
        for handle in handles {
            let entry = Entry(self.slab.pointer(handle))
            ResponseProfiles.forEach(in: entry.response) {
                self.profiles.remove(self.bucket(of: handle, $0), handle)
            }
            entry.erase(id: self.hash.forgottenRequest(entry.kind, entry.id))
        }
    }

    /// The entries whose responses name a profile, each once.
    ///
    /// - Complexity: O(bytes of these responses).
    private func naming(_ profile: ProfileID) -> [Handle] {
        let hash = self.hash.responseProfile(profile)
        var handles: [Handle] = []
        for number in 0 ..< Self.bucketsPerProfile {
            let bucket = Self.bucket(hash, number)
            let table = self.profiles.table(bucket)
            var position = table.start(Shards.tag(bucket))
            var seen: Set<Handle> = []
            while true {
                let handle = table.next(Shards.tag(bucket), from: &position)
                guard handle != 0 else { break }
                // A response that names the profile several times has as many entries here.
                guard seen.insert(handle).inserted else { continue }
                var names = false
                ResponseProfiles.forEach(in: Entry(self.slab.pointer(handle)).response) {
                    names = names || $0 == profile
                }
                if names { handles.append(handle) }
            }
        }
        return handles
    }

    /// The responses of one profile are spread over as many hashes: a table probes all entries of
    /// one hash whenever it adds or removes one, and all responses can be of one profile.
    private static let bucketsPerProfile: UInt64 = 256

    private static func bucket(_ responseProfile: UInt64, _ number: UInt64) -> UInt64 {
        (responseProfile &+ number) &* 0x9E37_79B9_7F4A_7C15
    }

    private func bucket(of handle: Handle, _ profile: ProfileID) -> UInt64 {
        Self.bucket(self.hash.responseProfile(profile), UInt64((handle &* 0x9E37_79B1) >> 24))
    }

    /// The largest number of entries under one hash of `profiles`, which bounds the probes for each
    /// entry that is added or removed; for tests.
    ///
    /// - Complexity: O(entries).
    var largestProfileBucket: Int {
        var counts: [UInt64: Int] = [:]
        self.profiles.forEach { shard, tag, _ in
            counts[UInt64(shard) << 32 | UInt64(tag), default: 0] += 1
        }
        return counts.values.max() ?? 0
    }

    // MARK: Snapshots

    /// Writes the next entry that a running snapshot still needs, and returns its bytes; 0: all are
    /// written.
    func writeNext() -> Int {
        guard let project = self.snapshot.pointee.requests.next() else { return 0 }
        return self.writeNext(of: project)
    }

    /// Writes the next entry of one project, and returns its bytes; 0: all of it are written.
    private func writeNext(of project: Project) -> Int {
        guard self.snapshot.pointee.isActive,
            var cursor = self.snapshot.pointee.requests[project], cursor.left > 0
        else { return 0 }
        let entry = Entry(self.slab.pointer(cursor.next))
        cursor.left -= 1
        cursor.next = cursor.left > 0 ? entry.next : 0
        self.snapshot.pointee.requests[project] = cursor
        return self.snapshot.pointee.writeItem(.request) {
            $0.append(entry.project.rawValue)
            $0.append(entry.bytesAfterNext)
        }
    }

    /// Enters what `writeNext` wrote behind the project, behind the entries so far; false if the
    /// bytes are malformed.
    func load(_ bytes: UnsafeRawBufferPointer, of project: Project) -> Bool {
        guard bytes.count >= Self.fixedBytes - 4,
            Int(bytes.loadUnaligned(as: UInt32.self)) == bytes.count + 4
        else { return false }
        let handle = self.slab.allocate(bytes.count + 4 + Self.projectBytes)
        var writer = RawWriter(self.slab.pointer(handle))
        writer.write(Handle(0))
        writer.write(bytes)
        writer.write(project.id.rawValue)
        let entry = Entry(self.slab.pointer(handle))
        guard entry.isWhole, SnapshotFormat.times.contains(entry.receivedAt) else { return false }
        self.enter(handle, in: project)
        if project.requests.entries.count >= self.limits.requestIDsPerProject
            || project.requests.entryBytes >= self.limits.requestIDBytesPerProject / 100 * 99
        {
            project.requests.forgotten = project.requests.entries.oldest
        }
        return project.requests.entries.count <= self.limits.requestIDsPerProject
    }

    /// Drops at most `most` entries that are past due, and returns how many.
    @discardableResult
    func dropPastDue(of project: Project, now: Int64, most: Int) -> Int {
        var dropped = 0
        while dropped < most, self.due(project.requests.entries.oldestTime) <= now {
            self.dropOldest(of: project)
            dropped += 1
        }
        return dropped
    }

    /// Drops at most `most` entries of whatever age, and returns how many.
    func drop(of project: Project, most: Int) -> Int {
        var dropped = 0
        while dropped < most, project.requests.entries.head != 0 {
            self.dropOldest(of: project)
            dropped += 1
        }
        return dropped
    }

    /// Every entry of a project, oldest first, without its link: for the digest.
    func forEachEntry(of project: Project, _ body: (UnsafeRawBufferPointer) -> Void) {
        var handle = project.requests.entries.head
        while handle != 0 {
            let entry = Entry(self.slab.pointer(handle))
            body(entry.bytesAfterNext)
            handle = entry.next
        }
    }

    /// Every entry of the table as (tag, `receivedAt`): for the digest.
    func forEachTableEntry(_ body: (_ shard: Int, _ tag: UInt32, _ receivedAt: Int64) -> Void) {
        self.table.forEach { body($0, $1, Entry(self.slab.pointer($2)).receivedAt) }
    }

    private func dropOldest(of project: Project) {
        var list = project.requests
        let handle = list.entries.head
        // A running snapshot that has not written the entry yet does so now.
        if self.snapshot.pointee.isActive,
            self.snapshot.pointee.requests[project]?.next == handle
        {
            _ = self.writeNext(of: project)
        }
        let entry = Entry(self.slab.pointer(handle))
        self.table.remove(entry.hash, handle)
        ResponseProfiles.forEach(in: entry.response) {
            self.profiles.remove(self.bucket(of: handle, $0), handle)
        }
        list.entries.head = entry.next
        list.entries.count -= 1
        list.entryBytes -= UInt64(entry.totalBytes)
        self.slab.deallocate(handle, bytes: entry.totalBytes + Self.projectBytes)
        if list.entries.head == 0 {
            list.entries.tail = 0
        } else {
            list.entries.oldest = Entry(self.slab.pointer(list.entries.head)).receivedAt
        }
        project.requests = list
    }

    private struct Entry {
        // SAFETY: written whole by `remember`; later only its first field changes, and what `erase`
        // overwrites within its bytes.
        let base: UnsafeMutableRawPointer

        init(_ base: UnsafeMutableRawPointer) {
            self.base = base
        }

        var next: Handle { self.base.load(as: Handle.self) }
        var totalBytes: Int { Int(self.base.load(fromByteOffset: 4, as: UInt32.self)) }
        var receivedAt: Int64 { self.base.load(fromByteOffset: 8, as: Int64.self) }
        var fingerprint: Fingerprint {
            Fingerprint(
                low: self.base.load(fromByteOffset: 16, as: UInt64.self),
                high: self.base.load(fromByteOffset: 24, as: UInt64.self))
        }
        var hash: UInt64 { self.base.load(fromByteOffset: 32, as: UInt64.self) }
        var kind: UInt8 { self.base.load(fromByteOffset: 40, as: UInt8.self) }
        var project: ProjectID {
            ProjectID(
                rawValue: self.base.loadUnaligned(
                    fromByteOffset: self.totalBytes, as: UInt32.self))
        }
        private var idBytes: Int { Int(self.base.load(fromByteOffset: 41, as: UInt8.self)) }
        var id: UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(
                start: self.base + RequestDeduplication.fixedBytes, count: self.idBytes)
        }
        var response: UnsafeRawBufferPointer {
            let start = RequestDeduplication.fixedBytes + self.idBytes
            return UnsafeRawBufferPointer(start: self.base + start, count: self.totalBytes - start)
        }
        /// Whether the response was erased: a response begins with its length, which is not 0.
        var isErased: Bool { self.response.prefix(4).allSatisfy { $0 == 0 } }

        /// Overwrites id, fingerprint and response. The hash of the id fits, since every response
        /// is longer.
        func erase(id hash: Fingerprint) {
            let idBytes = MemoryLayout<Fingerprint>.size
            precondition(
                RequestDeduplication.fixedBytes + idBytes + 4 <= self.totalBytes,
                "a response has a header")
            (self.base + 16).storeBytes(of: 0, as: UInt64.self)
            (self.base + 24).storeBytes(of: 0, as: UInt64.self)
            (self.base + 41).storeBytes(of: UInt8(idBytes), as: UInt8.self)
            let rest = self.base + RequestDeduplication.fixedBytes
            rest.initializeMemory(
                as: UInt8.self, repeating: 0,
                count: self.totalBytes - RequestDeduplication.fixedBytes)
            rest.storeBytes(of: hash, as: Fingerprint.self)
        }

        /// Whether the id ends within the entry.
        var isWhole: Bool { RequestDeduplication.fixedBytes + self.idBytes <= self.totalBytes }
        var bytesAfterNext: UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(start: self.base + 4, count: self.totalBytes - 4)
        }
    }
}
