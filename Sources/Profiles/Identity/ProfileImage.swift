import Bytes

/// Whether a person is known by the company's own id; raw values are the contract's.
package enum ProfileState: UInt8, Sendable {
    case anonymous = 1
    case identified = 2
}

/// A profile at one revision, self-contained: made by `Store.read`, valid as long as the bytes it
/// was read from.
///
/// Layout, little-endian:
/// `profileID: 16 bytes | state: UInt8 | revision, lsn: UInt64 | createdAt, updatedAt, lastSeenAt,
/// eventsTruncatedBefore: Int64 µs (0: none) | customID: prefixed`, then five lists, each `count:
/// varint` and its items: installations `id: prefixed | platform: UInt8 | attachedAt, lastSeenAt:
/// Int64 µs`, aliases `kind: UInt8 | bytes: prefixed`, counters `name: prefixed | count: UInt64 |
/// first, last: Int64 µs`, attributes in name order, the native ones under their names, `name:
/// prefixed | packed value | effectiveTime: Int64 µs | lsn: UInt64 | platform: UInt8 | sourceName:
/// prefixed`, subscriptions `channel: UInt8 | topic: prefixed | state: UInt8 | source: UInt8 |
/// effectiveTime: Int64 µs`.
package struct ProfileImage {
    package var profileID: ProfileID
    package var state: ProfileState
    package var revision: UInt64
    /// Of the last call that changed it.
    package var lsn: UInt64
    package var createdAt: Int64
    package var updatedAt: Int64
    package var lastSeenAt: Int64
    /// 0: nothing was dropped.
    package var eventsTruncatedBefore: Int64
    /// Empty: anonymous.
    package var customID: UnsafeRawBufferPointer
    /// Positioned at the count of installations; read the five lists in their order.
    package var lists: ByteReader

    package init(
        profileID: ProfileID, state: ProfileState, revision: UInt64, lsn: UInt64, createdAt: Int64,
        updatedAt: Int64,
        lastSeenAt: Int64, eventsTruncatedBefore: Int64, customID: UnsafeRawBufferPointer
    ) {
        self.profileID = profileID
        self.state = state
        self.revision = revision
        self.lsn = lsn
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.lastSeenAt = lastSeenAt
        self.eventsTruncatedBefore = eventsTruncatedBefore
        self.customID = customID
        self.lists = ByteReader(UnsafeRawBufferPointer(start: nil, count: 0))
    }

    /// Appends the fixed part; the lists follow.
    package func writeFixedPart(into buffer: inout ByteBuffer) {
        buffer.append(self.profileID.high.bigEndian)
        buffer.append(self.profileID.low.bigEndian)
        buffer.append(self.state.rawValue)
        buffer.append(self.revision)
        buffer.append(self.lsn)
        buffer.append(self.createdAt)
        buffer.append(self.updatedAt)
        buffer.append(self.lastSeenAt)
        buffer.append(self.eventsTruncatedBefore)
        buffer.appendPrefixed(self.customID)
    }

    /// Reads an image; `nil` if it is not one.
    package init?(_ bytes: UnsafeRawBufferPointer) {
        var reader = ByteReader(bytes)
        let id = reader.read(count: ProfileID.binaryBytes)
        guard let state = ProfileState(rawValue: reader.read()) else { return nil }
        self.state = state
        self.revision = reader.read()
        self.lsn = reader.read()
        self.createdAt = reader.read()
        self.updatedAt = reader.read()
        self.lastSeenAt = reader.read()
        self.eventsTruncatedBefore = reader.read()
        self.customID = reader.readPrefixed()
        guard !reader.overrun else { return nil }
        self.profileID = ProfileID(binary: id)
        self.lists = reader
    }
}
