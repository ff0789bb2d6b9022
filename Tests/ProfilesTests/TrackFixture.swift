import Bytes

@testable import Profiles

/// One event of a Track as a test says it.
struct EventSpec: Equatable {
    var name = "visit"
    var id = ""
    var occurredAt: Int64?
    var label = ""
    var tags: [String] = []
    /// Name to integer value, sorted by whoever makes it.
    var attributes: [(String, Int64)] = []
    /// Not empty: refused by validation.
    var violation = ""

    static func == (left: EventSpec, right: EventSpec) -> Bool {
        left.content == right.content && left.id == right.id && left.occurredAt == right.occurredAt
    }

    /// What `content_differs` compares.
    var content: [String] {
        [self.name, self.label] + self.tags + self.attributes.map { "\($0.0)=\($0.1)" }
    }
}

/// A Track as a test says it.
struct TrackSpec {
    var project: UInt32 = 1
    var kind = IdentifierKind.customID
    var identifier: [UInt8] = Array("ann".utf8)
    var events = [EventSpec()]
    var requestID = ""
    var sentAt: Int64?
    var flags: TrackFlags = []
    var expectedRevision: UInt64?
    var platform = Platform.web
    var source = ""

    init(_ customID: String = "ann", _ events: [EventSpec] = [EventSpec()]) {
        self.identifier = Array(customID.utf8)
        self.events = events
    }

    static func installation(_ id: String, _ events: [EventSpec] = [EventSpec()]) -> TrackSpec {
        var spec = TrackSpec(id, events)
        spec.kind = .installationID
        return spec
    }

    static func profile(_ id: ProfileID, _ events: [EventSpec] = [EventSpec()]) -> TrackSpec {
        var spec = TrackSpec("", events)
        spec.kind = .profileID
        spec.identifier = id.binary
        return spec
    }

    func with(_ change: (inout TrackSpec) -> Void) -> TrackSpec {
        var copy = self
        change(&copy)
        return copy
    }

    /// The record, header and padding included.
    var record: [UInt8] {
        var buffer = ByteBuffer()
        let start = beginRecord(.track, in: &buffer)
        var flags = self.flags
        if self.sentAt != nil { flags.insert(.hasSentAt) }
        if self.expectedRevision != nil { flags.insert(.hasExpectedRevision) }
        self.identifier.withUnsafeBytes { identifier in
            withBytes(self.requestID) { request in
                withBytes(self.source) { source in
                    TrackHeader(
                        project: ProjectID(rawValue: self.project), flags: flags,
                        platform: self.platform.rawValue,
                        eventCount: self.events.count,
                        identifier: IdentifierView(kind: self.kind, bytes: identifier),
                        requestID: request,
                        sourceName: source, sentAt: self.sentAt ?? 0,
                        expectedRevision: self.expectedRevision ?? 0
                    ).write(into: &buffer)
                }
            }
        }
        for event in self.events { Self.append(event, to: &buffer) }
        endRecord(at: start, operations: max(self.events.count, 1), in: &buffer)
        return Array(buffer.bytes)
    }

    private static func append(_ event: EventSpec, to buffer: inout ByteBuffer) {
        guard event.violation.isEmpty else {
            buffer.append(TrackEventFlags.rejected.rawValue)
            withBytes(event.id) { buffer.appendPrefixed($0) }
            buffer.appendVarint(1)
            withBytes("name") { buffer.appendPrefixed($0) }
            withBytes(event.violation) { buffer.appendPrefixed($0) }
            return
        }
        buffer.append(event.occurredAt == nil ? UInt8(0) : TrackEventFlags.hasOccurredAt.rawValue)
        withBytes(event.id) { buffer.appendPrefixed($0) }
        if let time = event.occurredAt { buffer.append(time) }
        withBytes(event.name) { buffer.appendPrefixed($0) }
        withBytes(event.label) { buffer.appendPrefixed($0) }
        buffer.appendVarint(UInt64(event.tags.count))
        for tag in event.tags { withBytes(tag) { buffer.appendPrefixed($0) } }
        var fields = ByteBuffer()
        fields.appendVarint(UInt64(event.attributes.count))
        for (name, value) in event.attributes {
            withBytes(name) { fields.appendPrefixed($0) }
            fields.appendPacked(integer: value)
        }
        buffer.appendPrefixed(fields.bytes)
    }
}

func withBytes<Result>(_ text: String, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    Array(text.utf8).withUnsafeBytes(body)
}

extension ProfileID {
    var binary: [UInt8] {
        var buffer = ByteBuffer()
        buffer.append(self.high.bigEndian)
        buffer.append(self.low.bigEndian)
        return Array(buffer.bytes)
    }

    static let none = ProfileID(high: 0, low: 0)
}

/// A result, taken apart.
struct TrackResponse: Equatable {
    struct Event: Equatable {
        var outcome = EventOutcome.stored
        var rejection = Rejection.none
        var contentDiffers = false
        var effectiveTime: Int64 = 0
        var lsn: UInt64 = 0
        var holder = ProfileID.none
        var detail: Int64 = 0
        var id = ""
        var violationBytes = 0
    }
    struct BadEvent: Equatable {
        var index: UInt8
        var rejection: Rejection
        var effectiveTime: Int64
        var detail: Int64
    }

    var rejection = Rejection.none
    var isReplayed = false
    var index: UInt8 = 0
    var lsn: UInt64 = 0
    var detail: UInt64 = 0
    var profileID = ProfileID.none
    var revision: UInt64 = 0
    var events: [Event] = []
    var bad: [BadEvent] = []

    init() {}

    init?(_ bytes: [UInt8]) {
        let whole = bytes.withUnsafeBytes { bytes -> Bool in
            var reader = ByteReader(bytes)
            guard let header = ResultHeader(from: &reader), header.kind == .track,
                header.totalBytes == bytes.count
            else { return false }
            self.rejection = header.rejection
            self.isReplayed = header.flags.contains(.replayed)
            (self.index, self.lsn, self.detail) = (header.index, header.lsn, header.detail)
            if header.rejection != .none {
                for _ in 0 ..< reader.read(UInt8.self) {
                    self.bad.append(
                        BadEvent(
                            index: reader.read(),
                            rejection: Rejection(rawValue: reader.read()) ?? .none,
                            effectiveTime: reader.read(), detail: reader.read()))
                }
                return reader.isAtCleanEnd
            }
            guard let body = TrackResultBody(from: &reader) else { return false }
            (self.profileID, self.revision) = (body.profileID, body.revision)
            for _ in 0 ..< body.eventCount {
                guard let event = EventResultView(from: &reader) else { return false }
                self.events.append(
                    Event(
                        outcome: event.outcome, rejection: event.rejection,
                        contentDiffers: event.contentDiffers,
                        effectiveTime: event.effectiveTime, lsn: event.lsn, holder: event.holder,
                        detail: event.detail,
                        id: String(decoding: event.eventID, as: UTF8.self),
                        violationBytes: event.violations.count))
            }
            return reader.isAtCleanEnd
        }
        guard whole else { return nil }
    }
}

/// An image, taken apart.
struct ProfileResponse: Equatable {
    struct Installation: Equatable {
        var id: String
        var platform: UInt8
        var attachedAt: Int64
        var lastSeenAt: Int64
    }
    struct Counter: Equatable {
        var name: String
        var count: UInt64
        var first: Int64
        var last: Int64
    }

    var id = ProfileID.none
    var state = ProfileState.identified
    var customID = ""
    var revision: UInt64 = 0
    var lsn: UInt64 = 0
    var createdAt: Int64 = 0
    var updatedAt: Int64 = 0
    var lastSeenAt: Int64 = 0
    var truncatedBefore: Int64 = 0
    var installations: [Installation] = []
    var counters: [Counter] = []

    init() {}

    init?(_ bytes: UnsafeRawBufferPointer) {
        guard let image = ProfileImage(bytes) else { return nil }
        (self.id, self.state, self.revision, self.lsn) = (
            image.profileID, image.state, image.revision, image.lsn
        )
        (self.createdAt, self.updatedAt) = (image.createdAt, image.updatedAt)
        (self.lastSeenAt, self.truncatedBefore) = (image.lastSeenAt, image.eventsTruncatedBefore)
        self.customID = String(decoding: image.customID, as: UTF8.self)
        var lists = image.lists
        for _ in 0 ..< lists.readVarint() {
            self.installations.append(
                Installation(
                    id: String(decoding: lists.readPrefixed(), as: UTF8.self),
                    platform: lists.read(),
                    attachedAt: lists.read(), lastSeenAt: lists.read()))
        }
        guard lists.readVarint() == 0 else { return nil }
        for _ in 0 ..< lists.readVarint() {
            self.counters.append(
                Counter(
                    name: String(decoding: lists.readPrefixed(), as: UTF8.self),
                    count: lists.read(),
                    first: lists.read(), last: lists.read()))
        }
        guard lists.readVarint() == 0, lists.readVarint() == 0, lists.isAtCleanEnd else {
            return nil
        }
    }
}

/// A store, the lsn and the records that brought it where it is.
final class TrackFixture {
    struct Entry {
        var record: [UInt8]
        var firstLSN: UInt64
        var receivedAt: Int64
        var result: [UInt8]
    }

    static let start: Int64 = 1_700_000_000_000_000
    static let second: Int64 = 1_000_000

    let store: Store
    var lsn: UInt64 = 0
    var now = start
    /// The project of the records that follow, whatever project they were written for.
    var project: UInt32 = 1
    /// How far the machine's clock is behind `now`, in microseconds.
    var clockBehind: Int64 = 0
    /// Of the frames that follow.
    var rulesVersion = Store.rulesVersion
    var log: [Entry] = []

    init(limits: StoreLimits = StoreLimits(), hashMask: UInt64 = .max) {
        self.store = Store(genesis: Self.genesis(limits), hashMask: hashMask)
    }

    /// Goes on with a store that has been something before.
    init(store: Store) {
        self.store = store
        self.lsn = store.appliedLSN
    }

    static func genesis(_ limits: StoreLimits = StoreLimits()) -> Genesis {
        Genesis(
            directoryID: ProfileID(high: 1, low: 2), hashKey: SipHashKey(k0: 3, k1: 4),
            secret: SipHashKey(k0: 5, k1: 6), limits: limits)
    }

    /// Applies a record at `now` and returns the bytes of its result.
    @discardableResult
    func apply(_ record: [UInt8]) throws -> [UInt8] {
        let record = self.project == 1 ? record : moved(record, to: self.project)
        let result = try Self.apply(
            record, to: self.store, firstLSN: self.lsn + 1, receivedAt: self.now,
            clock: self.now - self.clockBehind, rulesVersion: self.rulesVersion)
        self.log.append(
            Entry(record: record, firstLSN: self.lsn + 1, receivedAt: self.now, result: result))
        self.lsn = self.store.appliedLSN
        return result
    }

    static func apply(
        _ record: [UInt8], to store: Store, firstLSN: UInt64, receivedAt: Int64,
        clock: Int64? = nil, rulesVersion: UInt32 = Store.rulesVersion
    ) throws -> [UInt8] {
        var results = ByteBuffer()
        try record.withUnsafeBytes { bytes in
            guard let view = RecordView(bytes) else { throw ApplyError.malformed(lsn: firstLSN) }
            try store.apply(
                view, firstLSN: firstLSN, receivedAt: receivedAt, clock: clock,
                rulesVersion: rulesVersion, results: &results)
        }
        return Array(results.bytes)
    }

    /// Applies a Track `after` microseconds.
    @discardableResult
    func track(_ spec: TrackSpec = TrackSpec(), after: Int64 = 0) throws -> TrackResponse {
        self.now += after
        let bytes = try self.apply(spec.record)
        guard let response = TrackResponse(bytes) else { throw ApplyError.malformed(lsn: 0) }
        return response
    }

    func tick(after: Int64 = 0) throws {
        self.now += after
        try self.apply(Self.tickRecord)
    }

    static var tickRecord: [UInt8] {
        var buffer = ByteBuffer()
        let start = beginRecord(.tick, in: &buffer)
        endRecord(at: start, operations: 1, in: &buffer)
        return Array(buffer.bytes)
    }

    func read(_ customID: String) -> ProfileResponse? {
        self.read(.customID, Array(customID.utf8))
    }

    func read(_ kind: IdentifierKind, _ identifier: [UInt8], project: UInt32? = nil)
        -> ProfileResponse?
    {
        var buffer = ByteBuffer()
        buffer.append(UInt8(7))
        let outcome = identifier.withUnsafeBytes {
            self.store.read(
                project: ProjectID(rawValue: project ?? self.project),
                identifier: IdentifierView(kind: kind, bytes: $0),
                now: self.now, into: &buffer)
        }
        guard outcome.finding != .notFound else { return nil }
        return ProfileResponse(UnsafeRawBufferPointer(rebasing: buffer.bytes[1...]))
    }
}
