import Bytes

/// The responses of one project's calls that named a request id, oldest first; applier only.
///
/// An entry is a block:
/// `next: UInt32 | totalBytes: UInt32 | receivedAt: Int64 µs | fingerprint: 2 x UInt64 | hash:
/// UInt64 | kind: UInt8 | idBytes: UInt8 | id | response to the end`. In an entry whose response
/// was erased the id is a keyed hash of 16 bytes, and fingerprint and response are zeros: no
/// response begins with zeros.
struct RequestDeduplication {
    /// Longest request id in a record, in bytes; the contract allows 100.
    static let idBytesMax = 127
    private static let fixedBytes = 4 + 4 + 8 + 16 + 8 + 1 + 1

    private struct Core {
        var head: Handle = 0
        var tail: Handle = 0
        var count: UInt64 = 0
        var bytes: UInt64 = 0
        /// `receivedAt` of the head.
        var oldest: Int64 = 0
        /// `receivedAt` of the newest entry that was dropped for the limits.
        var forgotten = Int64.min
    }

    // SAFETY: allocated by `init`, freed by `destroy`, one element; the applier's alone. `snapshot`
    // is owned by `Store`, which outlives its parts.
    private let core: UnsafeMutablePointer<Core>
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
        self.core = .allocate(capacity: 1)
        self.core.initialize(to: Core())
    }

    func destroy() {
        self.table.destroy()
        self.profiles.destroy()
        self.core.deallocate()
    }

    /// The number of entries.
    var count: Int { Int(self.core.pointee.count) }
    /// Bytes of the entries, which the limit counts.
    var bytes: Int { Int(self.core.pointee.bytes) }
    /// Bytes of the tables.
    var tableBytes: Int { self.table.bytes + self.profiles.bytes }
    /// The newest time, in microseconds, whose calls may be forgotten before their age, because the
    /// limits dropped an entry of that time; `.min`: none was. After a start from a snapshot of
    /// full entries it is the oldest that is left.
    var forgotten: Int64 { self.core.pointee.forgotten }
    /// When the oldest entry begins to be past due, in microseconds; `nil` without one.
    var nextDue: Int64? {
        self.core.pointee.head == 0 ? nil : self.core.pointee.oldest + self.ageMax + 1
    }

    /// The first call of a request id, borrowed until the next change.
    struct DeduplicationEntry {
        var fingerprint: Fingerprint
        var response: UnsafeRawBufferPointer
        /// The response named a person who was erased since.
        var isErased: Bool
    }

    /// Looks a request id up; an entry that is past due is not found.
    func find(_ kind: RecordKind, _ id: UnsafeRawBufferPointer, hash: UInt64, now: Int64)
        -> DeduplicationEntry?
    {
        let table = self.table.table(hash)
        let tag = Shards.tag(hash)
        var position = table.start(tag)
        while true {
            let handle = table.next(tag, from: &position)
            guard handle != 0 else { return nil }
            let entry = Entry(self.slab.pointer(handle))
            guard entry.kind == kind.rawValue, now - entry.receivedAt <= self.ageMax,
                self.isOf(id, entry)
            else { continue }
            return DeduplicationEntry(
                fingerprint: entry.fingerprint, response: entry.response, isErased: entry.isErased)
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
        _ kind: RecordKind, _ id: UnsafeRawBufferPointer, hash: UInt64, fingerprint: Fingerprint,
        response: UnsafeRawBufferPointer, receivedAt: Int64, now: Int64
    ) {
        // Two for one, so that steady traffic never leaves the clean-up behind.
        self.dropPastDue(now: now, most: 2)
        let totalBytes = Self.fixedBytes + id.count + response.count
        let handle = self.slab.allocate(totalBytes)
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
        self.enter(handle)
        while self.core.pointee.count > self.limits.requestIDsPerProject
            || self.core.pointee.bytes > self.limits.requestIDBytesPerProject
        {
            self.core.pointee.forgotten = self.core.pointee.oldest
            self.dropOldest()
        }
    }

    /// Puts an entry that is written whole at the end of the list and into the table.
    private func enter(_ handle: Handle) {
        let entry = Entry(self.slab.pointer(handle))
        self.table.insert(entry.hash, handle)
        ResponseProfiles.forEach(in: entry.response) {
            self.profiles.insert(self.bucket(of: handle, $0), handle)
        }
        if self.core.pointee.head == 0 {
            self.core.pointee.head = handle
            self.core.pointee.oldest = entry.receivedAt
        } else {
            self.slab.pointer(self.core.pointee.tail).storeBytes(of: handle, as: Handle.self)
        }
        self.core.pointee.tail = handle
        self.core.pointee.count += 1
        self.core.pointee.bytes += UInt64(entry.totalBytes)
    }

    // MARK: Erasure

    /// Erases the responses that name a profile, in place; their request ids stay known.
    ///
    /// - Complexity: O(bytes of these responses).
    func erase(_ profile: ProfileID) {
        let handles = self.naming(profile)
        // A running snapshot still needs the responses. Which ones it has written is known by
        // position only, so it writes all that are left: erasures are rare enough for that.
        if !handles.isEmpty, self.snapshot.pointee.isActive { while self.writeNext() > 0 {} }
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

    /// All entries, for a snapshot that begins now.
    var snapshotCursor: SnapshotWork.ListCursor {
        SnapshotWork.ListCursor(next: self.core.pointee.head, left: self.core.pointee.count)
    }

    /// Writes the next entry that a running snapshot still needs, and returns its bytes; 0: all are
    /// written.
    func writeNext() -> Int {
        guard self.snapshot.pointee.requests.left > 0 else { return 0 }
        let entry = Entry(self.slab.pointer(self.snapshot.pointee.requests.next))
        self.snapshot.pointee.requests.left -= 1
        self.snapshot.pointee.requests.next =
            self.snapshot.pointee.requests.left > 0 ? entry.next : 0
        return self.snapshot.pointee.writeItem(.request) { $0.append(entry.bytesAfterNext) }
    }

    /// Enters what `writeNext` wrote, behind the entries so far; false if the bytes are malformed.
    func load(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count >= Self.fixedBytes - 4,
            Int(bytes.loadUnaligned(as: UInt32.self)) == bytes.count + 4
        else { return false }
        let handle = self.slab.allocate(bytes.count + 4)
        var writer = RawWriter(self.slab.pointer(handle))
        writer.write(Handle(0))
        writer.write(bytes)
        guard Entry(self.slab.pointer(handle)).isWhole else { return false }
        self.enter(handle)
        if self.core.pointee.count >= self.limits.requestIDsPerProject
            || self.core.pointee.bytes >= self.limits.requestIDBytesPerProject / 100 * 99
        {
            self.core.pointee.forgotten = self.core.pointee.oldest
        }
        return true
    }

    /// Drops at most `most` entries that are past due, and returns how many.
    @discardableResult
    func dropPastDue(now: Int64, most: Int) -> Int {
        var dropped = 0
        while dropped < most, let due = self.nextDue, due <= now {
            self.dropOldest()
            dropped += 1
        }
        return dropped
    }

    /// Every entry, oldest first, without its link: for the digest.
    func forEachEntry(_ body: (UnsafeRawBufferPointer) -> Void) {
        var handle = self.core.pointee.head
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

    private func dropOldest() {
        let handle = self.core.pointee.head
        // A running snapshot that has not written the entry yet does so now.
        if self.snapshot.pointee.isActive, self.snapshot.pointee.requests.next == handle {
            _ = self.writeNext()
        }
        let entry = Entry(self.slab.pointer(handle))
        self.table.remove(entry.hash, handle)
        ResponseProfiles.forEach(in: entry.response) {
            self.profiles.remove(self.bucket(of: handle, $0), handle)
        }
        self.core.pointee.head = entry.next
        self.core.pointee.count -= 1
        self.core.pointee.bytes -= UInt64(entry.totalBytes)
        self.slab.deallocate(handle, bytes: entry.totalBytes)
        let head = self.core.pointee.head
        if head == 0 {
            self.core.pointee.tail = 0
        } else {
            self.core.pointee.oldest = Entry(self.slab.pointer(head)).receivedAt
        }
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
