import Bytes

@testable import Profiles

/// Takes changes as text: one line for each, with letters for profiles in the order of their
/// appearance.
final class ChangeRecorder: ChangeConsumer {
    /// One for each delivery.
    var commits: [[String]] = []
    /// Everything delivered, as it came.
    var changes: [(change: Change, names: [String], deleted: [String])] = []
    private var letters: [ProfileID] = []

    /// What was delivered since the last call.
    func take() -> [[String]] {
        defer { self.commits = [] }
        return self.commits
    }

    func letter(_ id: ProfileID) -> String {
        guard id != .none else { return "-" }
        if !self.letters.contains(id) { self.letters.append(id) }
        return String(UnicodeScalar(UInt8(65 + (self.letters.firstIndex(of: id) ?? 0) % 26)))
    }

    func consume(_ changes: CommittedChanges) {
        self.commits.append(changes.changes.map { self.text($0, changes) })
    }

    private func text(_ change: Change, _ changes: CommittedChanges) -> String {
        var text = "\(change.lsn) \(change.kind) \(self.letter(change.profileID))"
        if change.otherID != .none { text += " from \(self.letter(change.otherID))" }
        text += " r\(change.revision)"
        if change.isHistorical { text += " historical" }
        changes.forEachInstallation(of: change) {
            text += " \(String(decoding: $0, as: UTF8.self))"
        }
        var (names, deleted): ([String], [String]) = ([], [])
        changes.forEachAttribute(of: change) { name, isDeleted in
            let name = String(decoding: name, as: UTF8.self)
            if isDeleted { deleted.append(name) } else { names.append(name) }
            text += (isDeleted ? " -" : " +") + name
        }
        text += self.attributes(of: change, changes)
        changes.forEachEntry(of: change) { channel, topic, entry in
            text += " \(channel)/\(String(decoding: topic, as: UTF8.self)) \(entry.count)B"
        }
        if let suppression = changes.suppression(of: change) {
            text += " \(suppression.channel) \(suppression.reasons.rawValue)"
        }
        var buffer = ByteBuffer()
        if changes.appendEvent(of: change, to: &buffer) {
            var reader = ByteReader(buffer.bytes)
            let event = StoredEventView(from: &reader)
            text += " \(event.map { String(decoding: $0.name, as: UTF8.self) } ?? "?")"
            text += "@\(event?.position.lsn ?? 0)"
        }
        self.changes.append((change, names, deleted))
        return text
    }

    /// The integers of all attributes after the operation.
    private func attributes(of change: Change, _ changes: CommittedChanges) -> String {
        var buffer = ByteBuffer()
        guard changes.appendAttributes(of: change, to: &buffer) else { return "" }
        var reader = ByteReader(buffer.bytes)
        let count = reader.readVarint()
        return count == 0 ? "" : " (\(count) attributes)"
    }
}

extension TrackFixture {
    /// Attaches a recorder to the store.
    func record() -> ChangeRecorder {
        let recorder = ChangeRecorder()
        self.store.attach(recorder)
        return recorder
    }

    /// Applies a record, and returns what was delivered for it.
    func changes(_ recorder: ChangeRecorder, _ record: [UInt8]) throws -> [[String]] {
        try self.apply(record)
        return recorder.take()
    }
}
