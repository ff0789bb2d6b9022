import Bytes

// A Track in the log: the client's message, validated and normalised. Equal messages
// give equal bytes (names lower-cased and sorted), which is what the request-id fingerprint and the
// duplicate check compare.

/// Flags of a Track; raw values stand in the log.
package struct TrackFlags: OptionSet, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    package static let allowPartial = TrackFlags(rawValue: 1 << 0)
    package static let historical = TrackFlags(rawValue: 1 << 1)
    package static let mustExist = TrackFlags(rawValue: 1 << 2)
    package static let hasExpectedRevision = TrackFlags(rawValue: 1 << 3)
    package static let hasSentAt = TrackFlags(rawValue: 1 << 4)
}

/// Everything of a Track but its events; borrowed bytes.
///
/// Layout of the payload, little-endian:
/// `project: UInt32 | flags: UInt8 | platform: UInt8 | eventCount: UInt8 | identifierKind: UInt8 |
/// identifier: prefixed | requestID: prefixed (empty: none) | sourceName: prefixed | [sentAt: Int64
/// µs] | [expectedRevision: UInt64]`, then the events.
package struct TrackHeader {
    package var project: ProjectID
    package var flags: TrackFlags
    package var platform: UInt8
    /// 1...15.
    package var eventCount: Int
    package var identifier: IdentifierView
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    /// Empty: none.
    package var sourceName: UnsafeRawBufferPointer
    /// Microseconds since 1970; read only with `.hasSentAt`.
    package var sentAt: Int64
    /// Of `sentAt` in the payload; of a header that was read.
    private var sentAtOffset = 0
    /// `nil`: the message has no time of sending.
    var sentAtField: SentAtField? {
        self.flags.contains(.hasSentAt)
            ? SentAtField(flag: TrackFlags.hasSentAt.rawValue, offset: self.sentAtOffset) : nil
    }
    /// Read only with `.hasExpectedRevision`.
    package var expectedRevision: UInt64

    /// Bytes before the identifier.
    private static let fixedBytes = 4 + 1 + 1 + 1 + 1

    package init(
        project: ProjectID, flags: TrackFlags, platform: UInt8, eventCount: Int,
        identifier: IdentifierView, requestID: UnsafeRawBufferPointer,
        sourceName: UnsafeRawBufferPointer, sentAt: Int64, expectedRevision: UInt64
    ) {
        self.project = project
        self.flags = flags
        self.platform = platform
        self.eventCount = eventCount
        self.identifier = identifier
        self.requestID = requestID
        self.sourceName = sourceName
        self.sentAt = sentAt
        self.expectedRevision = expectedRevision
    }

    /// Appends the header; the events follow, each by `TrackEventView.write(into:)`.
    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.project.rawValue)
        buffer.append(self.flags.rawValue)
        buffer.append(self.platform)
        buffer.append(UInt8(self.eventCount))
        buffer.append(self.identifier.kind.rawValue)
        buffer.appendPrefixed(self.identifier.bytes)
        buffer.appendPrefixed(self.requestID)
        buffer.appendPrefixed(self.sourceName)
        if self.flags.contains(.hasSentAt) { buffer.append(self.sentAt) }
        if self.flags.contains(.hasExpectedRevision) { buffer.append(self.expectedRevision) }
    }

    /// Reads a header; `nil` if it is not one.
    package init?(from reader: inout ByteReader) {
        let fixed = reader.read(count: Self.fixedBytes)
        guard fixed.count == Self.fixedBytes, let kind = IdentifierKind(rawValue: fixed[7]) else {
            return nil
        }
        self.project = ProjectID(rawValue: fixed.integer(at: 0))
        self.flags = TrackFlags(rawValue: fixed[4])
        self.platform = fixed[5]
        self.eventCount = Int(fixed[6])
        self.identifier = IdentifierView(kind: kind, bytes: reader.readPrefixed())
        self.requestID = reader.readPrefixed()
        self.sourceName = reader.readPrefixed()
        self.sentAtOffset = reader.offset
        self.sentAt = self.flags.contains(.hasSentAt) ? reader.read() : 0
        self.expectedRevision = self.flags.contains(.hasExpectedRevision) ? reader.read() : 0
        guard !reader.overrun else { return nil }
    }
}

/// Flags of one event; raw values stand in the log.
package struct TrackEventFlags: OptionSet, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    package static let hasOccurredAt = TrackEventFlags(rawValue: 1 << 0)
    /// Rejected by validation under `allow_partial`: only its id and its violations follow.
    package static let rejected = TrackEventFlags(rawValue: 1 << 1)
}

/// One event of a Track, borrowed.
///
/// Layout: `flags: UInt8 | eventID: prefixed (empty: the server makes one)`, then for a rejected
/// event `violationCount: varint | (path: prefixed, description: prefixed) each`, else
/// `[occurredAt: Int64 µs] | name: prefixed | label: prefixed | tagCount: varint | tags: prefixed
/// each | attributes: prefixed`, where the attributes are one field list of `PackedValue.swift`.
package struct TrackEventView {
    package var flags: TrackEventFlags
    package var eventID: UnsafeRawBufferPointer
    /// Microseconds since 1970; read only with `.hasOccurredAt`.
    package var occurredAt: Int64
    /// Lower case, `^[a-z0-9_]{1,30}$`.
    package var name: UnsafeRawBufferPointer
    /// Name, label, tags and attributes as they stand, in one run: what `content_differs` compares
    /// and what is stored.
    package var content: UnsafeRawBufferPointer
    /// Of a rejected event: `violationCount | (path, description) each`, as written.
    package var violations: UnsafeRawBufferPointer

    /// Reads the next event; `nil` if it is not one.
    package init?(from reader: inout ByteReader, in payload: UnsafeRawBufferPointer) {
        self.flags = TrackEventFlags(rawValue: reader.read())
        self.eventID = reader.readPrefixed()
        self.occurredAt = 0
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        (self.name, self.content, self.violations) = (empty, empty, empty)
        if self.flags.contains(.rejected) {
            let start = reader.offset
            let count = reader.readVarint()
            var index: UInt64 = 0
            while index < count, !reader.overrun {
                _ = reader.readPrefixed()
                _ = reader.readPrefixed()
                index += 1
            }
            guard !reader.overrun else { return nil }
            self.violations = UnsafeRawBufferPointer(rebasing: payload[start ..< reader.offset])
            return
        }
        if self.flags.contains(.hasOccurredAt) { self.occurredAt = reader.read() }
        let start = reader.offset
        self.name = reader.readPrefixed()
        _ = reader.readPrefixed()
        let tags = reader.readVarint()
        var index: UInt64 = 0
        while index < tags, !reader.overrun {
            _ = reader.readPrefixed()
            index += 1
        }
        _ = reader.readPrefixed()
        guard !reader.overrun else { return nil }
        self.content = UnsafeRawBufferPointer(rebasing: payload[start ..< reader.offset])
    }
}
