import Bytes

// What the applier does to keys. It is the only writer: it reads without the lock, prepares larger
// tables beside the visible ones, and takes the lock for the change itself.
//
// SAFETY: `snapshot` is one element that `Store` owns, followed by the applier only.

extension KeyStore {
    /// Carries out a staged change, and drops ended keys over the bound of their project.
    ///
    /// - Parameter now: The machine's clock in microseconds since 1970.
    func apply(_ change: KeyChange, now: Int64) {
        switch change {
        case .create(let key, let displayName):
            self.willChange(key.project)
            self.add(key, displayName: displayName)
            self.dropEnded(of: key.project, now: now)
        case .revoke(let key):
            self.willChange(key.project)
            self.locked {
                self.entries[Int(key.number)]?.key = key
                self.changed()
            }
            self.dropEnded(of: key.project, now: now)
        }
    }

    /// Drops every key of a project that goes, and returns how many.
    @discardableResult
    func dropAll(of project: ProjectID) -> Int {
        guard let index = self.index(of: project), let keys = self.projects[index] else { return 0 }
        self.willChange(project)
        for number in keys.numbers { self.drop(number) }
        self.locked {
            self.projects[index] = nil
            self.freeProjects.append(index)
            self.projectTable.remove(Self.tag(project), UInt32(index + 1))
            self.changed()
        }
        return keys.numbers.count
    }

    /// The number of keys, with those that have ended.
    var count: Int { self.table.count }

    /// Bytes of keys and tables.
    var bytes: Int {
        self.entries.capacity * MemoryLayout<Entry?>.stride
            + self.projects.capacity * MemoryLayout<ProjectKeys?>.stride
            + self.table.count * (2 * MemoryLayout<UInt32>.size)
            + self.displayNameBytes + self.table.bytes + self.projectTable.bytes
    }

    /// Every key, in no defined order.
    func forEach(_ body: (Entry) -> Void) {
        for entry in self.entries { if let entry { body(entry) } }
    }

    /// Adds a key whose name is new; its `number` is set here.
    func add(_ key: AccessKey, displayName: [UInt8]) {
        var entry = Entry(key: key, displayName: displayName)
        let isReused = !self.freeNumbers.isEmpty
        let number = isReused ? self.freeNumbers.removeLast() : UInt32(self.entries.count)
        entry.key.number = number
        let larger = self.table.isFull ? self.table.grown() : nil
        let index = self.index(of: key.project) ?? self.addProject(key.project)
        self.displayNameBytes += displayName.count
        self.locked {
            if let larger {
                self.table.destroy()
                self.table = larger
            }
            if isReused {
                self.entries[Int(number)] = entry
            } else {
                self.entries.append(entry)
            }
            self.table.insert(Shards.tag(self.hash.accessKey(key.name)), number + 1)
            self.projects[index]?.numbers.append(number)
            self.changed()
        }
    }

    private func addProject(_ project: ProjectID) -> Int {
        let keys = ProjectKeys(project: project)
        let larger = self.projectTable.isFull ? self.projectTable.grown() : nil
        let free = self.freeProjects.popLast()
        let index = free ?? self.projects.count
        self.locked {
            if let larger {
                self.projectTable.destroy()
                self.projectTable = larger
            }
            if free == nil { self.projects.append(keys) } else { self.projects[index] = keys }
            self.projectTable.insert(Self.tag(project), UInt32(index + 1))
        }
        // A running snapshot began without these keys.
        if free == nil { self.writtenBySnapshot.append(0) }
        self.writtenBySnapshot[index] = self.snapshotNumber
        return index
    }

    /// Drops the keys of a project that ended first, as long as there are too many.
    private func dropEnded(of project: ProjectID, now: Int64) {
        guard let index = self.index(of: project), let numbers = self.projects[index]?.numbers
        else { return }
        var ended = numbers.compactMap { self.entries[Int($0)]?.key }.filter {
            !$0.isLive(at: now)
        }
        guard ended.count > Self.endedKeysMax else { return }
        ended.sort { ($0.endedAt, $0.createdLSN) < ($1.endedAt, $1.createdLSN) }
        for key in ended.prefix(ended.count - Self.endedKeysMax) {
            self.drop(key.number)
            self.locked {
                self.projects[index]?.numbers.removeAll { $0 == key.number }
                self.changed()
            }
        }
    }

    /// Removes an entry; its project still lists the number.
    private func drop(_ number: UInt32) {
        guard let entry = self.entries[Int(number)] else { return }
        self.displayNameBytes -= entry.displayName.count
        self.locked {
            self.table.remove(Shards.tag(self.hash.accessKey(entry.key.name)), number + 1)
            self.entries[Int(number)] = nil
        }
        self.freeNumbers.append(number)
    }

    /// Tells those who remember keys; inside of the lock, behind the change.
    private func changed() {
        self.versionCell.wrappingAdd(1, ordering: .releasing)
    }
}

extension AccessKey {
    /// When it was revoked or expired, whichever came first; `.max`: it is live for ever.
    fileprivate var endedAt: Int64 {
        min(self.isRevoked ? self.revokedAt : .max, self.expiresAt == 0 ? .max : self.expiresAt)
    }
}
