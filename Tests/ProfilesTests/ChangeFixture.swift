import Bytes
import Testing

@testable import Profiles

/// A change record, taken apart.
struct RecordedChange: Equatable {
    struct Event: Equatable {
        var name: String
        var lsn: UInt64
        /// Empty: made by the server.
        var id: String
        var platform: UInt8
        var source: String
        var effectiveTime: Int64
    }
    struct Entry: Equatable {
        var channel: Channel
        var previousHash: SHA256Digest
        var hash: SHA256Digest
        var bytes: [UInt8]
    }

    var kind: ChangeKind
    var project: UInt32
    var lsn: UInt64
    var receivedAt: Int64
    var id: ProfileID
    var other: ProfileID?
    var revision: UInt64
    var customID: String
    var platform: UInt8
    var source: String
    var isHistorical: Bool
    var installation: String?
    /// Name and packed value, ascending by name; no value: deleted.
    var attributes: [(name: String, value: [UInt8])] = []
    var event: Event?
    var entries: [Entry] = []
    var channel: Channel?
    var reasons: SuppressionReasons?
    var erased: [ProfileID] = []
    /// Whom each erased profile was merged into itself.
    var survivors: [ProfileID] = []
    /// Between the profile and the other one, where merges had led through more of them.
    var between: [ProfileID] = []
    var bytes: [UInt8]

    init(_ view: ChangeView, _ resolver: ChangeResolver) throws {
        func text(_ bytes: UnsafeRawBufferPointer) -> String {
            String(decoding: bytes, as: UTF8.self)
        }
        (self.kind, self.project, self.lsn) = (view.kind, view.project.rawValue, view.lsn)
        (self.receivedAt, self.id, self.other) = (view.receivedAt, view.profileID, view.otherID)
        (self.revision, self.customID) = (view.revision, text(view.customID))
        (self.platform, self.source) = (view.platform, text(view.sourceName))
        self.isHistorical = view.isHistorical
        self.installation = view.installationID.map(text)
        self.bytes = Array(view.bytes)
        var attributes = view.attributes
        while let item = attributes.next() {
            self.attributes.append((text(resolver.name(item.name)), Array(item.value)))
        }
        try #require(!attributes.isDamaged)
        var entries = view.entries
        while let item = entries.next() {
            self.entries.append(
                Entry(
                    channel: item.channel, previousHash: item.previousHash, hash: item.hash,
                    bytes: Array(item.entry)))
        }
        try #require(!entries.isDamaged)
        (self.channel, self.reasons) = (view.suppression?.channel, view.suppression?.reasons)
        var (erased, survivors) = ([ProfileID](), [ProfileID]())
        view.forEachErasedLink {
            erased.append($0)
            survivors.append($1)
        }
        (self.erased, self.survivors) = (erased, survivors)
        var between: [ProfileID] = []
        view.forEachIDBetween { between.append($0) }
        self.between = between
        if view.kind == .eventStored {
            let event = try #require(view.event)
            try #require(event.lsn == view.lsn && event.isHistorical == view.isHistorical)
            self.event = Event(
                name: text(resolver.name(event.name)), lsn: event.lsn,
                id: event.eventID.map(text) ?? "", platform: event.platform,
                source: text(event.sourceName), effectiveTime: event.effectiveTime)
        }
    }

    var set: [String: [UInt8]] {
        self.attributes.filter { !$0.value.isEmpty }.reduce(into: [:]) { $0[$1.name] = $1.value }
    }
    var deleted: [String] { self.attributes.filter { $0.value.isEmpty }.map(\.name) }

    static func == (left: Self, right: Self) -> Bool { left.bytes == right.bytes }
}

/// Takes the change records of a store, as they are and as text: one line for each, with letters
/// for profiles in the order of their appearance.
final class ChangeRecorder {
    let store: Store
    /// Everything that was taken so far.
    private(set) var changes: [RecordedChange] = []
    private(set) var recorded: RecordedChanges?
    private var letters: [ProfileID] = []

    init(_ store: Store) {
        self.store = store
        store.recordsChanges = true
    }

    /// The lines of what was recorded since the last call.
    @discardableResult
    func take() throws -> [String] {
        try self.takeChanges().map { self.line($0) }
    }

    /// What was recorded since the last call.
    @discardableResult
    func takeChanges() throws -> [RecordedChange] {
        var bytes: [UInt8] = []
        self.recorded = nil
        self.store.takeChanges { records, recorded in
            bytes = Array(records)
            self.recorded = recorded
        }
        let taken = try bytes.withUnsafeBytes { try Self.read($0, self.store) }
        try #require(taken.isEmpty == (self.recorded == nil))
        if let recorded = self.recorded {
            try #require(recorded.firstLSN == taken.first?.lsn)
            try #require(recorded.lastLSN == taken.last?.lsn)
            try #require(recorded.changesIdentities == taken.contains { $0.kind.changesIdentities })
        }
        self.changes += taken
        return taken
    }

    static func read(_ bytes: UnsafeRawBufferPointer, _ store: Store) throws -> [RecordedChange] {
        var reader = ChangeReader(bytes)
        var changes: [RecordedChange] = []
        while let view = try reader.next() {
            changes.append(try RecordedChange(view, store.resolver(of: view.project)))
        }
        return changes
    }

    func letter(_ id: ProfileID) -> String {
        if !self.letters.contains(id) { self.letters.append(id) }
        return String(UnicodeScalar(UInt8(65 + (self.letters.firstIndex(of: id) ?? 0) % 26)))
    }

    private func line(_ change: RecordedChange) -> String {
        var text = "\(change.lsn) \(change.kind) \(self.letter(change.id))"
        if let other = change.other { text += " from \(self.letter(other))" }
        text += " r\(change.revision)"
        if change.isHistorical { text += " historical" }
        if let installation = change.installation { text += " \(installation)" }
        for (name, value) in change.attributes { text += (value.isEmpty ? " -" : " +") + name }
        for entry in change.entries { text += " \(entry.channel)/\(Self.topic(of: entry.bytes))" }
        if let channel = change.channel, let reasons = change.reasons {
            text += " \(channel) \(reasons.rawValue)"
        }
        if let event = change.event { text += " \(event.name)@\(event.lsn)" }
        for id in change.erased { text += " and \(self.letter(id))" }
        return text
    }

    /// The topic of an entry, field 2; empty: the whole channel.
    static func topic(of entry: [UInt8]) -> String {
        entry.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            while reader.remaining > 0 {
                let key = reader.readVarint()
                guard key & 7 == 2 else {
                    _ = reader.readVarint()
                    continue
                }
                let text = reader.readPrefixed()
                if key >> 3 == 2 { return String(decoding: text, as: UTF8.self) }
            }
            return ""
        }
    }

    /// A field of an entry that is a number.
    static func number(_ field: UInt64, of entry: [UInt8]) -> UInt64 {
        entry.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            while reader.remaining > 0 {
                let key = reader.readVarint()
                guard key & 7 == 0 else {
                    _ = reader.readPrefixed()
                    continue
                }
                let number = reader.readVarint()
                if key >> 3 == field { return number }
            }
            return 0
        }
    }
}

extension TrackFixture {
    /// Has the store record changes.
    func record() -> ChangeRecorder { ChangeRecorder(self.store) }

    /// Applies a record, and returns the lines of what was recorded for it.
    func changes(_ recorder: ChangeRecorder, _ record: [UInt8]) throws -> [String] {
        try self.apply(record)
        return try recorder.take()
    }
}
