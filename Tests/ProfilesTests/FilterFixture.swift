import Bytes
import Testing

@testable import Profiles

/// A value as a test says it.
indirect enum PlainValue: Equatable {
    case string(String)
    case url(String)
    case integer(Int64)
    case number(Double)
    case boolean(Bool)
    case time(Int64)
    case list([String])
    case object([String: PlainValue])
    case objects([[String: PlainValue]])

    func pack(into buffer: inout ByteBuffer) {
        switch self {
        case .string(let text):
            withBytes(text) { buffer.appendPacked(text: $0, isURL: false) }
        case .url(let text): withBytes(text) { buffer.appendPacked(text: $0, isURL: true) }
        case .integer(let integer): buffer.appendPacked(integer: integer)
        case .number(let number): buffer.appendPacked(number: number)
        case .boolean(let boolean): buffer.appendPacked(boolean: boolean)
        case .time(let time): buffer.appendPacked(timeMicroseconds: time)
        case .list(let texts):
            buffer.append(PackedTag.list.rawValue)
            buffer.appendVarint(UInt64(texts.count))
            for text in texts { withBytes(text) { buffer.appendPrefixed($0) } }
        case .object(let fields):
            buffer.append(PackedTag.object.rawValue)
            Self.pack(fields, into: &buffer)
        case .objects(let objects):
            buffer.append(PackedTag.objects.rawValue)
            buffer.appendVarint(UInt64(objects.count))
            for fields in objects { Self.pack(fields, into: &buffer) }
        }
    }

    static func pack(_ fields: [String: PlainValue], into buffer: inout ByteBuffer) {
        buffer.appendVarint(UInt64(fields.count))
        for (name, value) in fields.sorted(by: { $0.key < $1.key }) {
            withBytes(name) { buffer.appendPrefixed($0) }
            value.pack(into: &buffer)
        }
    }
}

/// An event as a test says it.
struct PlainEvent {
    var name = "purchase"
    var label = ""
    var tags: [String] = []
    var attributes: [String: PlainValue] = [:]
    /// In microseconds.
    var time: Int64 = 0

    /// As it is in the log.
    func write(into buffer: inout ByteBuffer) {
        withBytes(self.name) { buffer.appendPrefixed($0) }
        withBytes(self.label) { buffer.appendPrefixed($0) }
        buffer.appendVarint(UInt64(self.tags.count))
        for tag in self.tags { withBytes(tag) { buffer.appendPrefixed($0) } }
        var fields = ByteBuffer()
        PlainValue.pack(self.attributes, into: &fields)
        buffer.appendPrefixed(fields.bytes)
    }

    /// As it is stored, with names that are added to the table.
    func stored(_ names: NameTable) -> [UInt8] {
        var content = ByteBuffer()
        var stored = ByteBuffer()
        self.write(into: &content)
        let outcome = EventContent.translate(
            content.bytes, names: names, namesMax: 1_000, into: &stored)
        precondition(outcome == .translated)
        return Array(stored.bytes)
    }
}

/// A person as a test says it, and what a filter may ask of them.
struct PlainPerson {
    var customID = ""
    var installation = ""
    var attributes: [String: PlainValue] = [:]
    var events: [PlainEvent] = []
    /// By `CHANNEL` or `CHANNEL.topic`.
    var subscriptions: [String: SubscriptionState] = [:]
    var isEmailSuppressed = false
    /// In microseconds, as the store has them.
    var createdAt: Int64 = 0
    var updatedAt: Int64 = 0
    var lastSeenAt: Int64 = 0

    /// The events of a name: how many, the first and the last.
    func counter(_ name: String) -> (count: Int64, first: Int64, last: Int64)? {
        let times = self.events.filter { $0.name == name }.map(\.time)
        guard let first = times.min(), let last = times.max() else { return nil }
        return (Int64(times.count), first, last)
    }
}

extension TrackFixture {
    /// Brings a person into the store by the commands that clients send.
    func enter(_ person: inout PlainPerson) throws -> ProfileRef {
        try self.apply(Self.record(of: person))
        for event in person.events {
            try self.apply(Self.track(person, [event]))
        }
        for (key, state) in person.subscriptions.sorted(by: { $0.key < $1.key }) {
            let parts = key.split(separator: ".").map(String.init)
            let channel = try #require(Channel.allCases.first { $0.filterName == parts[0] })
            let response = try self.consent(
                [(channel, parts.count > 1 ? parts[1] : "", state)], by: .user,
                of: person.customID)
            precondition(response.rejection == .none && response.states == [state])
        }
        if person.isEmailSuppressed, case .string(let email) = person.attributes["email_address"] {
            try self.apply(self.suppression(email))
        }
        let profile = try #require(self.find(person))
        let header = self.store.pool.header(profile).pointee
        (person.createdAt, person.updatedAt) = (header.createdAt, header.updatedAt)
        person.lastSeenAt = header.lastSeenAt
        return profile
    }

    private func find(_ person: PlainPerson) -> ProfileRef? {
        for shard in 0 ..< Shards.count {
            for slot in 0 ..< self.store.pool.count(shard) {
                let profile = ProfileRef(shard: shard, slot: slot)
                let identity = IdentityPart(
                    self.store.slab.pointer(self.store.pool.header(profile).pointee.identity))
                let isFound = withBytes(person.customID) { customID in
                    withBytes(person.installation) {
                        customID.count > 0
                            ? identity.customID.equals(customID)
                            : identity.installation($0) != nil
                    }
                }
                if isFound { return profile }
            }
        }
        return nil
    }

    static func record(of person: PlainPerson) -> [UInt8] {
        var buffer = ByteBuffer()
        let start = beginRecord(.identify, in: &buffer)
        withBytes(person.installation) { device in
            withBytes(person.customID) { customID in
                IdentifyHeader(
                    project: ProjectID(rawValue: 1), flags: [], platform: 3,
                    installationID: device, customID: customID, requestID: .none,
                    sourceName: .none, occurredAt: 0, sentAt: 0, expectedRevision: 0
                ).write(into: &buffer)
            }
        }
        buffer.appendVarint(UInt64(person.attributes.count))
        for (name, value) in person.attributes.sorted(by: { $0.key < $1.key }) {
            withBytes(name) { buffer.appendPrefixed($0) }
            buffer.append(PatchAction.set.rawValue)
            value.pack(into: &buffer)
        }
        endRecord(at: start, operations: 1, in: &buffer)
        return Array(buffer.bytes)
    }

    /// A Track of events at their times.
    static func track(_ person: PlainPerson, _ events: [PlainEvent]) -> [UInt8] {
        var buffer = ByteBuffer()
        let start = beginRecord(.track, in: &buffer)
        let isCustom = !person.customID.isEmpty
        withBytes(isCustom ? person.customID : person.installation) {
            TrackHeader(
                project: ProjectID(rawValue: 1), flags: [], platform: 3, eventCount: events.count,
                identifier: IdentifierView(
                    kind: isCustom ? .customID : .installationID, bytes: $0),
                requestID: .none, sourceName: .none, sentAt: 0, expectedRevision: 0
            ).write(into: &buffer)
        }
        for event in events {
            buffer.append(TrackEventFlags.hasOccurredAt.rawValue)
            buffer.appendPrefixed(.none)
            buffer.append(event.time)
            event.write(into: &buffer)
        }
        endRecord(at: start, operations: events.count, in: &buffer)
        return Array(buffer.bytes)
    }

    private func suppression(_ email: String) -> [UInt8] {
        let project = ProjectID(rawValue: 1)
        let address = withBytes(email) { self.store.addressHash(project, .email, $0) }
        var buffer = ByteBuffer()
        let start = beginRecord(.addSuppression, in: &buffer)
        SuppressionCommand(
            project: project, reason: .hardBounce, address: address, formerAddress: nil,
            requestID: .none
        ).write(into: &buffer)
        endRecord(at: start, operations: 1, in: &buffer)
        return Array(buffer.bytes)
    }

    /// Whether a filter holds now.
    func matches(
        _ text: String, _ profile: ProfileRef, event: [UInt8]? = nil
    ) throws -> Bool {
        let filter = try CompiledFilter(text, event == nil ? .profile : .trigger)
        guard let event else {
            return self.store.matches(
                filter, header: self.store.pool.header(profile).pointee, now: self.now)
        }
        return event.withUnsafeBytes {
            self.store.matches(filter, profile: profile, event: $0, now: self.now)
        }
    }
}
