import Bytes

@testable import Profiles

/// A part of an export, taken apart.
struct ReadPart: Equatable {
    /// `profile ann`, `event e1`, `entry 7`, `suppression email a@example.org 2` or `position`.
    var text: String
    var lsn: UInt64
    var profileID: ProfileID?
    var isRedirected = false
    var nextPosition: UInt64?

    init(_ part: ExportPart) {
        (self.lsn, self.profileID) = (part.lsn, part.profileID)
        (self.isRedirected, self.nextPosition) = (part.isRedirected, part.nextPosition)
        func text(_ bytes: UnsafeRawBufferPointer) -> String {
            String(decoding: bytes, as: UTF8.self)
        }
        switch part.content {
        case .profile(let image):
            self.text = "profile \(text(image.customID)) r\(image.revision)"
        case .event(let image):
            var reader = ByteReader(image)
            let event = StoredEventView(from: &reader)
            self.text = "event \(event.map { text($0.eventID) } ?? "malformed")"
        case .consentEntry(let entry):
            let isChained = LedgerPart.hash(entry.entry, after: entry.previousHash) == entry.hash
            self.text = "entry \(entry.lsn)\(isChained ? "" : " broken")"
        case .suppression(let channel, let address, let reasons):
            self.text = "suppression \(channel) \(text(address)) \(reasons.rawValue)"
        case .position: self.text = "position"
        }
    }
}

/// Everything that a reader gives, and how it ended.
struct ReadExport {
    var parts: [ReadPart] = []
    var ending = "end"

    var texts: [String] { self.parts.map(\.text) }
    var lsns: Set<UInt64> { Set(self.parts.map(\.lsn)) }
    /// The people, in order.
    var ids: [ProfileID] {
        self.parts.filter { $0.text.hasPrefix("profile ") }.compactMap(\.profileID)
    }

    /// Reads to the end.
    init(_ reader: ExportReader, _ fixture: TrackFixture) {
        self.init(reader, fixture) { _ in }
    }

    /// Reads to the end; `between` runs before each call of the reader, with what was read so far.
    init(
        _ reader: ExportReader, _ fixture: TrackFixture,
        between: (ReadExport) throws -> Void
    ) rethrows {
        while true {
            try between(self)
            switch reader.next(in: fixture.store, now: fixture.now) {
            case .part(let part): self.parts.append(ReadPart(part))
            case .more: continue
            case .end: return
            case .notFound: self.ending = "not found"
            case .changed: self.ending = "changed"
            }
            if self.ending != "end" { return }
        }
    }
}

extension TrackFixture {
    /// A reader of one person.
    func exporter(
        of customID: String, copiedBytesMax: Int = ExportReader.copiedBytesMax
    ) -> ExportReader {
        withBytes(customID) {
            ExportReader(
                ProjectID(rawValue: self.project),
                OwnedIdentifier(IdentifierView(kind: .customID, bytes: $0)),
                copiedBytesMax: copiedBytesMax)
        }
    }

    /// A reader of everyone.
    func exporter(from position: UInt64 = 0) -> ExportReader {
        ExportReader(ProjectID(rawValue: self.project), from: position)
    }

    /// The id of a profile of any form.
    func id(of customID: String) -> ProfileID? {
        var buffer = ByteBuffer()
        withBytes(customID) {
            _ = self.store.read(
                project: ProjectID(rawValue: self.project),
                identifier: IdentifierView(kind: .customID, bytes: $0), now: self.now,
                into: &buffer)
        }
        return ProfileImage(buffer.bytes)?.profileID
    }

    /// Everyone who lives, by the image of the store.
    var livingIDs: Set<ProfileID> {
        var ids: Set<ProfileID> = []
        self.store.forEachProfile(now: self.now) { project, image in
            if project.rawValue == self.project { ids.insert(image.profileID) }
        }
        return ids
    }

    /// Suppresses an e-mail address, or removes all reasons.
    func suppress(_ email: String, _ reason: SuppressionReason?) throws {
        let project = ProjectID(rawValue: 1)
        let address = withBytes(email) { self.store.addressHash(project, .email, $0) }
        var buffer = ByteBuffer()
        let start = beginRecord(
            reason == nil ? .removeSuppression : .addSuppression, in: &buffer)
        SuppressionCommand(project: project, reason: reason, address: address, requestID: .none)
            .write(into: &buffer)
        endRecord(at: start, operations: 1, in: &buffer)
        try self.apply(Array(buffer.bytes))
    }
}
