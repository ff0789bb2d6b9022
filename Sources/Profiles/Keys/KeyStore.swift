import Bytes
import Synchronization

// Keys of all projects, and those of operators under project 0. The log makes and revokes them, the
// loops look them up. A lookup happens once per connection and change of any key, so one lock is
// enough: the applier holds it while it changes entries, everybody else while they copy.

/// The keys of a store: found by name, listed by project.
///
/// - Complexity: O(1) for `find`; O(keys of the project, at most `keysMax`) for everything else.
// SAFETY: `table`, `projects` and the arrays are changed by the applier under the lock, and read by
// other threads under it. `snapshot` is owned by `Store`, which outlives its parts, and is the
// applier's alone, like the state of the running snapshot.
package final class KeyStore: @unchecked Sendable {
    /// Live keys of one project, and of the operators together: enough for a rotation of many
    /// services. One more is rejected.
    package static let liveKeysMax = 100
    /// Revoked and expired keys of one project that listings still show; those that ended first are
    /// dropped.
    package static let endedKeysMax = 100
    /// Longest display name in a record, in bytes: 100 scalars.
    package static let displayNameBytesMax = 400

    /// Keys of one project that exist at a time: live ones can expire between two changes.
    static let keysMax = KeyStore.liveKeysMax + KeyStore.endedKeysMax

    struct Entry {
        var key: AccessKey
        var displayName: [UInt8]
    }

    /// The keys of one project.
    struct ProjectKeys {
        var project: ProjectID
        /// Numbers of the entries, in the order of their lsns.
        var numbers: [UInt32] = []
    }

    private let mutex = Mutex<Void>(())
    /// Shows the thread sanitizer the order that the mutex makes: it waits in a library that the
    /// sanitizer does not see.
    private let order = Atomic<UInt32>(0)
    let versionCell = Atomic<UInt64>(1)
    let hash: KeyedHash
    private let secret: SipHashKey
    /// Numbers of entries plus one, by the hash of the name.
    var table = HashTable()
    /// Indexes in `projects` plus one, by the project.
    var projectTable = HashTable()
    /// By number; `nil`: free.
    var entries: [Entry?] = []
    var freeNumbers: [UInt32] = []
    var projects: [ProjectKeys?] = []
    var freeProjects: [Int] = []
    /// Bytes of all display names.
    var displayNameBytes = 0
    let snapshot: UnsafeMutablePointer<SnapshotWork>
    /// For each of `projects` the last snapshot that has written its keys, or that began before
    /// there were any.
    var writtenBySnapshot: [UInt64] = []
    /// Names the running or the last snapshot, 1...
    var snapshotNumber: UInt64 = 0
    /// The next of `projects` that the running snapshot writes.
    var snapshotNext = 0

    init(hash: KeyedHash, secret: SipHashKey, snapshot: UnsafeMutablePointer<SnapshotWork>) {
        self.hash = hash
        self.secret = secret
        self.snapshot = snapshot
    }

    /// Frees the tables; the store may not be used again.
    func destroy() {
        self.table.destroy()
        self.projectTable.destroy()
    }

    /// Runs `body` while holding the lock. It copies bytes, or swaps what was prepared before.
    func locked<Result>(_ body: () -> Result) -> Result {
        self.mutex.withLock { _ in
            _ = self.order.load(ordering: .acquiring)
            defer { self.order.store(1, ordering: .releasing) }
            return body()
        }
    }

    // MARK: Any thread

    /// Changes whenever a key is made, revoked or dropped: whoever remembers a key compares it.
    /// A revocation that was responded to has changed it.
    package var version: UInt64 { self.versionCell.load(ordering: .acquiring) }

    /// The key with a name; `nil`: there is none. Revoked and expired ones are found.
    package func find(_ name: KeyName) -> AccessKey? {
        let found = self.lookUp(name)
        return found.isKnown ? found.key : nil
    }

    /// As `find`, with the same work whether there is such a key or not: an unknown name gives a
    /// key that no secret has, to be compared like any other.
    package func lookUp(_ name: KeyName) -> (key: AccessKey, isKnown: Bool) {
        let tag = Shards.tag(self.hash.accessKey(name))
        return self.locked {
            var key = AccessKey(
                name: name, project: ProjectID(rawValue: 0), scopes: [], hash: .zero)
            var isKnown = false
            var position = self.table.start(tag)
            // To the end of the run in any case.
            while case let value = self.table.next(tag, from: &position), value != 0 {
                guard let entry = self.entries[Int(value) - 1], entry.key.name == name else {
                    continue
                }
                key = entry.key
                isKnown = true
            }
            return (key, isKnown)
        }
    }

    /// The hash of a secret of 32 bytes, to be compared by `AccessKey.matches`.
    package func hash(ofSecret secret: UnsafeRawBufferPointer) -> SHA256Digest {
        KeySecret.hash(secret, key: self.secret)
    }

    /// How many keys of a project are neither revoked nor expired; `now` in microseconds since
    /// 1970.
    package func liveCount(of project: ProjectID, now: Int64) -> Int {
        self.locked {
            self.numbers(of: project).count {
                self.entries[Int($0)]?.key.isLive(at: now) == true
            }
        }
    }

    /// The keys of a project, the oldest first, with those that were revoked or have expired.
    /// Allocates.
    package func list(of project: ProjectID) -> [ListedKey] {
        self.locked {
            self.numbers(of: project).compactMap { number in
                self.entries[Int(number)].map {
                    ListedKey(key: $0.key, displayName: $0.displayName)
                }
            }
        }
    }

    private func numbers(of project: ProjectID) -> [UInt32] {
        self.index(of: project).flatMap { self.projects[$0]?.numbers } ?? []
    }

    /// Where `projects` has a project; `nil`: it has no keys.
    func index(of project: ProjectID) -> Int? {
        let tag = Self.tag(project)
        var position = self.projectTable.start(tag)
        let value = self.projectTable.next(tag, from: &position)
        return value == 0 ? nil : Int(value) - 1
    }

    /// A different one for each project, since the factor is odd; they are spread over the table.
    static func tag(_ project: ProjectID) -> UInt32 { project.rawValue &* 0x9E37_79B1 }
}
