import Bytes

// The keys in a snapshot: one item for each project. The keys of a project that are about to change
// are written before, if the running snapshot has not written them.
//
// SAFETY: `snapshot` is one element that `Store` owns, followed by the applier only.

extension KeyStore {
    /// Begins: every project that has keys now is owed.
    func beginSnapshot() {
        self.snapshotNumber += 1
        self.snapshotNext = 0
    }

    /// Writes the next project that a running snapshot still needs, and returns the bytes of its
    /// item; 0: all are written.
    func writeNext() -> Int {
        while self.snapshotNext < self.projects.count {
            let index = self.snapshotNext
            self.snapshotNext += 1
            if self.isOwed(index) { return self.writeItem(index) }
        }
        return 0
    }

    /// Writes the pre-image of a change to a project's keys.
    func willChange(_ project: ProjectID) {
        guard self.snapshot.pointee.isActive, let index = self.index(of: project),
            self.isOwed(index)
        else { return }
        _ = self.writeItem(index)
    }

    private func isOwed(_ index: Int) -> Bool {
        self.projects[index] != nil && self.writtenBySnapshot[index] != self.snapshotNumber
    }

    /// Layout: `project: UInt32`, then the keys of the project, the oldest first.
    private func writeItem(_ index: Int) -> Int {
        guard let keys = self.projects[index] else { return 0 }
        self.writtenBySnapshot[index] = self.snapshotNumber
        return self.snapshot.pointee.writeItem(.keys) { buffer in
            buffer.append(keys.project.rawValue)
            for number in keys.numbers { self.entries[Int(number)]?.write(into: &buffer) }
        }
    }

    /// Adds the keys of an item; `nil` if its bytes are malformed or repeat a project or a name.
    ///
    /// - Returns: The number of keys.
    func load(_ body: UnsafeRawBufferPointer) -> Int? {
        var reader = ByteReader(body)
        let project = ProjectID(rawValue: reader.read())
        guard self.index(of: project) == nil else { return nil }
        var (count, lastLSN): (Int, UInt64) = (0, 0)
        while reader.remaining > 0 {
            guard let entry = Entry(from: &reader, project: project), count < Self.keysMax,
                entry.key.createdLSN > lastLSN, self.find(entry.key.name) == nil
            else { return nil }
            self.add(entry.key, displayName: entry.displayName)
            lastLSN = entry.key.createdLSN
            count += 1
        }
        return reader.overrun || count == 0 ? nil : count
    }
}

extension KeyStore.Entry {
    /// Layout: `createdLSN: UInt64 | createdAt, expiresAt, revokedAt: Int64 (microseconds) |
    /// name: 2 x UInt64 | hash: 32 bytes | updatesPerSecondMax, concurrentCallsMax: UInt32 |
    /// scopes: UInt8 | revoked: UInt8 | displayName: prefixed`. The number is of the process, not
    /// of the state.
    func write(into buffer: inout ByteBuffer) {
        buffer.append(self.key.createdLSN)
        buffer.append(self.key.createdAt)
        buffer.append(self.key.expiresAt)
        buffer.append(self.key.revokedAt)
        buffer.append(self.key.name.high)
        buffer.append(self.key.name.low)
        self.key.hash.write(into: &buffer)
        buffer.append(self.key.updatesPerSecondMax)
        buffer.append(self.key.concurrentCallsMax)
        buffer.append(self.key.scopes.rawValue)
        buffer.append(self.key.isRevoked ? UInt8(1) : 0)
        self.displayName.withUnsafeBytes { buffer.appendPrefixed($0) }
    }

    /// Reads what `write` wrote; `nil` if it is not a key of the project.
    init?(from reader: inout ByteReader, project: ProjectID) {
        let createdLSN = reader.read(UInt64.self)
        let times = (reader.read(Int64.self), reader.read(Int64.self), reader.read(Int64.self))
        guard let name = KeyName(high: reader.read(), low: reader.read()) else { return nil }
        let hash = SHA256Digest(from: &reader)
        let quotas = (reader.read(UInt32.self), reader.read(UInt32.self))
        let scopes = AccessScopes(rawValue: reader.read())
        let revoked = reader.read(UInt8.self)
        let displayName = reader.readPrefixed()
        guard !reader.overrun, revoked <= 1, scopes.belong(to: project), times.1 >= 0,
            displayName.count <= KeyStore.displayNameBytesMax
        else { return nil }
        self.key = AccessKey(name: name, project: project, scopes: scopes, hash: hash)
        self.key.createdLSN = createdLSN
        (self.key.createdAt, self.key.expiresAt, self.key.revokedAt) = times
        (self.key.updatesPerSecondMax, self.key.concurrentCallsMax) = quotas
        self.key.isRevoked = revoked == 1
        self.displayName = [UInt8](displayName)
    }
}
