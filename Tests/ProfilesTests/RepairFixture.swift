import Bytes

@testable import Profiles

/// An identifier as a test says it.
enum Who: Equatable {
    case person(String)
    case device(String)
    case profile(ProfileID)

    var kind: IdentifierKind {
        switch self {
        case .person: .customID
        case .device: .installationID
        case .profile: .profileID
        }
    }

    var bytes: [UInt8] {
        switch self {
        case .person(let text), .device(let text): Array(text.utf8)
        case .profile(let id): id.binary
        }
    }
}

/// A result of a repair, taken apart.
struct RepairResponse: Equatable {
    var rejection = Rejection.none
    var isReplayed = false
    var detail: UInt64 = 0
    var profileID = ProfileID.none
    var revision: UInt64 = 0
    var outcome: IdentifyOutcome?
    var mergeID = ProfileID.none
    /// Of an un-merge the restored profile, of a detachment the former one.
    var otherID = ProfileID.none
    var warnings: [String] = []

    init?(_ bytes: [UInt8]) {
        let isWhole = bytes.withUnsafeBytes { bytes -> Bool in
            var reader = ByteReader(bytes)
            guard let header = ResultHeader(from: &reader), header.totalBytes == bytes.count else {
                return false
            }
            (self.rejection, self.isReplayed, self.detail) = (
                header.rejection, header.isReplayed, header.detail
            )
            guard header.rejection == .none else { return true }
            switch header.kind {
            case .detach:
                guard let body = DetachResultBody(from: &reader) else { return false }
                (self.profileID, self.revision) = (body.profileID, body.revision)
                self.otherID = body.formerProfileID
            case .unmerge:
                guard let body = UnmergeResultBody(from: &reader) else { return false }
                (self.profileID, self.otherID) = (body.profileID, body.restoredID)
                self.readWarnings(&reader)
            default:
                guard let body = IdentifyResultBody(from: &reader) else { return false }
                (self.profileID, self.revision) = (body.profileID, body.revision)
                (self.outcome, self.mergeID) = (body.outcome, body.mergeID)
                for _ in 0 ..< reader.readVarint() { _ = reader.readPrefixed() }
                self.readWarnings(&reader)
            }
            return reader.isAtCleanEnd
        }
        guard isWhole else { return nil }
    }

    private mutating func readWarnings(_ reader: inout ByteReader) {
        for _ in 0 ..< reader.readVarint() {
            let reason = WarningReason(rawValue: reader.read())?.reason.description ?? "?"
            let text = String(decoding: reader.readPrefixed(), as: UTF8.self)
            self.warnings.append("\(reason) \(text)")
        }
    }
}

/// Everything that a profile has, but for revision, lsn, `updatedAt` and ledger.
struct ProfileParts: Equatable {
    var identity: [UInt8] = []
    var attributes: [UInt8] = []
    var consent: [UInt8] = []
    var counters: [UInt8] = []
    var events: [UInt64] = []
    var times: [Int64] = []
}

extension TrackFixture {
    static func record(_ kind: RecordKind, _ write: (inout ByteBuffer) -> Void) -> [UInt8] {
        var buffer = ByteBuffer()
        let start = beginRecord(kind, in: &buffer)
        write(&buffer)
        endRecord(at: start, operations: 1, in: &buffer)
        return Array(buffer.bytes)
    }

    private func repaired(_ record: [UInt8]) throws -> RepairResponse {
        guard let response = RepairResponse(try self.apply(record)) else {
            throw ApplyError.malformed(lsn: self.lsn)
        }
        return response
    }

    @discardableResult
    func merge(
        _ loser: Who, into survivor: Who, allowsIdentified: Bool = true, requestID: String = "",
        expectedRevision: UInt64? = nil, after: Int64 = 1_000
    ) throws -> RepairResponse {
        self.now += after
        return try self.repaired(
            Self.record(.merge) { buffer in
                loser.bytes.withUnsafeBytes { one in
                    survivor.bytes.withUnsafeBytes { other in
                        withBytes(requestID) {
                            MergeCommand(
                                project: ProjectID(rawValue: 1), allowsIdentified: allowsIdentified,
                                loser: IdentifierView(kind: loser.kind, bytes: one),
                                survivor: IdentifierView(kind: survivor.kind, bytes: other),
                                requestID: $0, expectedRevision: expectedRevision
                            ).write(into: &buffer)
                        }
                    }
                }
            })
    }

    @discardableResult
    func unmerge(_ id: ProfileID, requestID: String = "", after: Int64 = 1_000) throws
        -> RepairResponse
    {
        self.now += after
        return try self.repaired(
            Self.record(.unmerge) { buffer in
                withBytes(requestID) {
                    UnmergeCommand(
                        project: ProjectID(rawValue: 1), requestID: $0, mergeID: id
                    ).write(into: &buffer)
                }
            })
    }

    @discardableResult
    func detach(_ device: String, requestID: String = "", after: Int64 = 1_000) throws
        -> RepairResponse
    {
        self.now += after
        return try self.repaired(
            Self.record(.detach) { buffer in
                withBytes(device) { device in
                    withBytes(requestID) {
                        DetachCommand(
                            project: ProjectID(rawValue: 1), requestID: $0, installationID: device
                        ).write(into: &buffer)
                    }
                }
            })
    }

    /// Applies an Identify of what a test names.
    @discardableResult
    func identify(
        _ person: String = "", device: String = "", set: [(String, Int64)] = [],
        lists: [(String, PatchAction, [String])] = [], after: Int64 = 1_000
    ) throws -> RepairResponse {
        self.now += after
        var spec = IdentifySpec(device: device, person: person)
        spec.patch = set.map { ($0.0, .set, $0.1, []) } + lists.map { ($0.0, $0.1, 0, $0.2) }
        return try self.repaired(spec.record)
    }

    func ref(_ who: Who) -> ProfileRef? {
        let project = ProjectID(rawValue: 1)
        return who.bytes.withUnsafeBytes { bytes in
            let identifier = IdentifierView(kind: who.kind, bytes: bytes)
            return self.store.identities.find(
                project, identifier, hash: self.store.hash.identifier(project, identifier))?.profile
        }
    }

    func id(_ who: Who) -> ProfileID? {
        self.ref(who).map { self.store.pool.header($0).pointee.id }
    }

    /// What the profile of an identifier has; `nil`: there is none.
    func parts(_ who: Who) -> ProfileParts? {
        guard let profile = self.ref(who) else { return nil }
        let header = self.store.pool.header(profile).pointee
        func bytes(_ block: Handle, _ count: Int) -> [UInt8] {
            guard block != 0 else { return [] }
            return Array(
                UnsafeRawBufferPointer(start: self.store.slab.pointer(block), count: count))
        }
        var parts = ProfileParts()
        parts.identity = bytes(header.identity, Int(header.identityBytes))
        parts.attributes = bytes(header.attributes, Int(header.attributesBytes))
        parts.consent = bytes(header.consent, Int(header.consentBytes))
        parts.counters = bytes(
            header.counters, Int(header.counterCount) * MemoryLayout<CounterEntry>.stride)
        for number in 0 ..< Int(header.eventCount) {
            let block = EventBlock(
                self.store.slab.pointer(self.store.eventStore.list(header)[number]))
            parts.events.append(block.lsn)
        }
        parts.times = [header.createdAt, header.lastSeenAt, header.eventsTruncatedBefore]
        return parts
    }

    /// The integers of a profile's attributes, and the elements of its lists.
    func attributes(_ who: Who) -> [String: String] {
        guard let profile = self.ref(who) else { return [:] }
        var values: [String: String] = [:]
        for entry in self.store.attributeDraft(self.store.pool.header(profile).pointee).entries {
            let name = String(decoding: self.store.project.names.name(entry.name), as: UTF8.self)
            switch entry.kind {
            case .deleted: continue
            case .list:
                values[name] = entry.elements.map { String(decoding: $0.text, as: UTF8.self) }
                    .joined(separator: ",")
            case .value:
                var reader = ByteReader(entry.value)
                _ = reader.read(UInt8.self)
                let word = reader.readVarint()
                values[name] = String(Int64(bitPattern: word >> 1) ^ -Int64(bitPattern: word & 1))
            }
        }
        return values
    }

    func header(_ who: Who) -> ProfileHeader? {
        self.ref(who).map { self.store.pool.header($0).pointee }
    }

    /// Counts by the name of the event.
    func counts(_ who: Who) -> [String: UInt64] { self.counters(who).mapValues(\.count) }

    /// Counters by the names of their events.
    func counters(_ who: Who) -> [String: CounterEntry] {
        guard let header = self.header(who) else { return [:] }
        let counters = self.store.counters(header.counters, Int(header.counterCount))
        return counters.reduce(into: [:]) {
            let name = self.store.project.names.name(Int($1.name))
            $0[String(decoding: name, as: UTF8.self)] = $1
        }
    }
}
