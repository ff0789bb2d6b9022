import Bytes

// The result of a record: the stored response of a request id, the source of the response,
// and what the digest covers.

/// Flags of a result; raw values stand in stored responses.
package struct ResultFlags: OptionSet, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    /// The response of an earlier call with the same request id.
    package static let replayed = ResultFlags(rawValue: 1 << 0)
    /// Reached through an alias: `redirectedFrom` is set.
    package static let redirected = ResultFlags(rawValue: 1 << 1)
}

/// The fixed part of every result.
///
/// Layout, little-endian:
/// `totalBytes: UInt32 | rejection: UInt8 | flags: UInt8 | kind: UInt8 (RecordKind) | index: UInt8
/// | lsn: UInt64 | detail: UInt64`, then the body of the kind.
package struct ResultHeader {
    /// Header and body.
    package var totalBytes: Int
    /// `.none`: the call was carried out.
    package var rejection: Rejection
    package var flags: ResultFlags
    package var kind: RecordKind
    /// Of a rejected call with items: the first bad one.
    package var index: UInt8
    /// The last lsn of the call.
    package var lsn: UInt64
    /// What the reason's metadata needs: the current revision of `.revisionMismatch`, the limit of
    /// `.limitExceeded`.
    package var detail: UInt64

    /// Bytes before the body.
    package static let bytes = 24

    package init(
        rejection: Rejection, flags: ResultFlags, kind: RecordKind, index: UInt8 = 0, lsn: UInt64,
        detail: UInt64 = 0
    ) {
        self.totalBytes = Self.bytes
        self.rejection = rejection
        self.flags = flags
        self.kind = kind
        self.index = index
        self.lsn = lsn
        self.detail = detail
    }

    /// It is the response of an earlier call with the same request id.
    package var isReplayed: Bool { self.flags.contains(.replayed) }

    /// Appends the header and returns its offset, for `end`.
    package func begin(in buffer: inout ByteBuffer) -> Int {
        let offset = buffer.count
        buffer.append(UInt32(0))
        buffer.append(self.rejection.rawValue)
        buffer.append(self.flags.rawValue)
        buffer.append(self.kind.rawValue)
        buffer.append(self.index)
        buffer.append(self.lsn)
        buffer.append(self.detail)
        return offset
    }

    /// Writes the length of the result that began at `offset`.
    package static func end(at offset: Int, in buffer: inout ByteBuffer) {
        buffer.patch(UInt32(buffer.count - offset), at: offset)
    }

    /// Reads a header; `nil` if it is not one.
    package init?(from reader: inout ByteReader) {
        let fixed = reader.read(count: Self.bytes)
        guard fixed.count == Self.bytes, let rejection = Rejection(rawValue: fixed[4]),
            let kind = RecordKind(rawValue: fixed[6])
        else { return nil }
        self.totalBytes = Int(fixed.integer(at: 0, UInt32.self))
        self.rejection = rejection
        self.flags = ResultFlags(rawValue: fixed[5])
        self.kind = kind
        self.index = fixed[7]
        self.lsn = fixed.integer(at: 8)
        self.detail = fixed.integer(at: 16)
    }
}

/// How one event of a Track ended; the contract's values.
package enum EventOutcome: UInt8, Sendable {
    case stored = 1
    case duplicate = 2
    case rejected = 3
}

/// The body of a Track's result.
///
/// Layout: of a call carried out
/// `profileID: 16 bytes | revision: UInt64 | redirectedFrom: kind UInt8 (0: none), prefixed |
/// count: UInt8`, then per event `outcome: UInt8 | rejection: UInt8 | contentDiffers: UInt8 |
/// effectiveTime: Int64 µs | lsn: UInt64 | holder: 16 bytes | detail: Int64 | eventID: prefixed |
/// violations: prefixed`. Of a rejected call: `count: UInt8`, then per bad event `index: UInt8 |
/// rejection: UInt8 | effectiveTime: Int64 µs | detail: Int64`.
package struct TrackResultBody {
    package var profileID: ProfileID
    package var revision: UInt64
    /// `nil`: reached directly.
    package var redirectedFrom: IdentifierView?
    package var eventCount: Int

    /// Reads the fixed part of the body of a call carried out; `nil` if it is not one.
    package init?(from reader: inout ByteReader) {
        let id = reader.read(count: ProfileID.binaryBytes)
        self.revision = reader.read()
        let kind = reader.read(UInt8.self)
        let from = reader.readPrefixed()
        self.eventCount = Int(reader.read(UInt8.self))
        guard !reader.overrun else { return nil }
        self.profileID = ProfileID(binary: id)
        self.redirectedFrom = IdentifierKind(rawValue: kind).map {
            IdentifierView(kind: $0, bytes: from)
        }
    }

    package init(
        profileID: ProfileID, revision: UInt64, redirectedFrom: IdentifierView?, eventCount: Int
    ) {
        self.profileID = profileID
        self.revision = revision
        self.redirectedFrom = redirectedFrom
        self.eventCount = eventCount
    }

    /// Appends the fixed part; the events follow by `EventResultView.write`.
    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.profileID.high.bigEndian)
        buffer.append(self.profileID.low.bigEndian)
        buffer.append(self.revision)
        buffer.append(self.redirectedFrom?.kind.rawValue ?? 0)
        buffer.appendPrefixed(
            self.redirectedFrom?.bytes ?? UnsafeRawBufferPointer(start: nil, count: 0))
        buffer.append(UInt8(self.eventCount))
    }
}

/// One event of a carried-out Track, as `TrackResultBody` lays it out; borrowed.
package struct EventResultView {
    package var outcome: EventOutcome
    /// Why, when `.rejected`.
    package var rejection: Rejection
    package var contentDiffers: Bool
    /// Microseconds since 1970.
    package var effectiveTime: Int64
    package var lsn: UInt64
    package var holder: ProfileID
    /// Metadata of the rejection: the bound of the window in microseconds, or a limit.
    package var detail: Int64
    package var eventID: UnsafeRawBufferPointer
    /// `violationCount | (path, description) each` of a malformed event; empty otherwise.
    package var violations: UnsafeRawBufferPointer

    /// Bytes before the event's id.
    private static let fixedBytes = 1 + 1 + 1 + 8 + 8 + ProfileID.binaryBytes + 8

    package init(
        outcome: EventOutcome, rejection: Rejection, contentDiffers: Bool, effectiveTime: Int64,
        lsn: UInt64,
        holder: ProfileID, detail: Int64, eventID: UnsafeRawBufferPointer,
        violations: UnsafeRawBufferPointer
    ) {
        self.outcome = outcome
        self.rejection = rejection
        self.contentDiffers = contentDiffers
        self.effectiveTime = effectiveTime
        self.lsn = lsn
        self.holder = holder
        self.detail = detail
        self.eventID = eventID
        self.violations = violations
    }

    /// Appends it.
    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.outcome.rawValue)
        buffer.append(self.rejection.rawValue)
        buffer.append(self.contentDiffers ? UInt8(1) : 0)
        buffer.append(self.effectiveTime)
        buffer.append(self.lsn)
        buffer.append(self.holder.high.bigEndian)
        buffer.append(self.holder.low.bigEndian)
        buffer.append(self.detail)
        buffer.appendPrefixed(self.eventID)
        buffer.appendPrefixed(self.violations)
    }

    /// Reads the next one; `nil` if it is not one.
    package init?(from reader: inout ByteReader) {
        let fixed = reader.read(count: Self.fixedBytes)
        guard fixed.count == Self.fixedBytes, let outcome = EventOutcome(rawValue: fixed[0]),
            let rejection = Rejection(rawValue: fixed[1])
        else { return nil }
        self.outcome = outcome
        self.rejection = rejection
        self.contentDiffers = fixed[2] != 0
        self.effectiveTime = fixed.integer(at: 3)
        self.lsn = fixed.integer(at: 11)
        self.holder = ProfileID(binary: UnsafeRawBufferPointer(rebasing: fixed[19 ..< 35]))
        self.detail = fixed.integer(at: 35)
        self.eventID = reader.readPrefixed()
        self.violations = reader.readPrefixed()
        guard !reader.overrun else { return nil }
    }
}
