import Bytes

// An Identify in the log: validated and normalised, names lower-cased and sorted, so
// that equal messages give equal bytes.

/// Flags of an Identify; raw values stand in the log.
package struct IdentifyFlags: OptionSet, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    package static let loggedOut = IdentifyFlags(rawValue: 1 << 0)
    package static let hasOccurredAt = IdentifyFlags(rawValue: 1 << 1)
    package static let hasSentAt = IdentifyFlags(rawValue: 1 << 2)
    package static let hasExpectedRevision = IdentifyFlags(rawValue: 1 << 3)
    /// Of an import: it moves no `lastSeenAt`.
    package static let historical = IdentifyFlags(rawValue: 1 << 4)
}

/// Everything of an Identify but its patch; borrowed bytes.
///
/// Layout of the payload, little-endian:
/// `project: UInt32 | flags: UInt8 | platform: UInt8 | installationID: prefixed (empty: none) |
/// customID: prefixed (empty: none) | requestID: prefixed (empty: none) | sourceName: prefixed |
/// [occurredAt: Int64 µs] | [sentAt: Int64 µs] | [expectedRevision:
/// UInt64]`, then the patch to the end: `count: varint`, and `PatchItem`s.
package struct IdentifyHeader {
    package var project: ProjectID
    package var flags: IdentifyFlags
    package var platform: UInt8
    /// Empty: none.
    package var installationID: UnsafeRawBufferPointer
    /// Empty: none. One of the two is given.
    package var customID: UnsafeRawBufferPointer
    /// Empty: none.
    package var requestID: UnsafeRawBufferPointer
    /// Empty: none.
    package var sourceName: UnsafeRawBufferPointer
    /// Microseconds since 1970; read only with `.hasOccurredAt`.
    package var occurredAt: Int64
    /// Microseconds since 1970; read only with `.hasSentAt`.
    package var sentAt: Int64
    /// Of `sentAt` in the payload; of a header that was read.
    private var sentAtOffset = 0
    /// `nil`: the message has no time of sending.
    var sentAtField: SentAtField? {
        self.flags.contains(.hasSentAt)
            ? SentAtField(flag: IdentifyFlags.hasSentAt.rawValue, offset: self.sentAtOffset) : nil
    }
    /// Read only with `.hasExpectedRevision`.
    package var expectedRevision: UInt64

    package init(
        project: ProjectID, flags: IdentifyFlags, platform: UInt8,
        installationID: UnsafeRawBufferPointer,
        customID: UnsafeRawBufferPointer, requestID: UnsafeRawBufferPointer,
        sourceName: UnsafeRawBufferPointer,
        occurredAt: Int64, sentAt: Int64, expectedRevision: UInt64
    ) {
        self.project = project
        self.flags = flags
        self.platform = platform
        self.installationID = installationID
        self.customID = customID
        self.requestID = requestID
        self.sourceName = sourceName
        self.occurredAt = occurredAt
        self.sentAt = sentAt
        self.expectedRevision = expectedRevision
    }

    /// Appends the header; the patch follows: a varint count, and each item by
    /// `ByteBuffer.appendPatch…`.
    package func write(into buffer: inout ByteBuffer) {
        buffer.append(self.project.rawValue)
        buffer.append(self.flags.rawValue)
        buffer.append(self.platform)
        buffer.appendPrefixed(self.installationID)
        buffer.appendPrefixed(self.customID)
        buffer.appendPrefixed(self.requestID)
        buffer.appendPrefixed(self.sourceName)
        if self.flags.contains(.hasOccurredAt) { buffer.append(self.occurredAt) }
        if self.flags.contains(.hasSentAt) { buffer.append(self.sentAt) }
        if self.flags.contains(.hasExpectedRevision) { buffer.append(self.expectedRevision) }
    }

    /// Reads a header; `nil` if it is not one.
    package init?(from reader: inout ByteReader) {
        self.project = ProjectID(rawValue: reader.read())
        self.flags = IdentifyFlags(rawValue: reader.read())
        self.platform = reader.read()
        self.installationID = reader.readPrefixed()
        self.customID = reader.readPrefixed()
        self.requestID = reader.readPrefixed()
        self.sourceName = reader.readPrefixed()
        self.occurredAt = self.flags.contains(.hasOccurredAt) ? reader.read() : 0
        self.sentAtOffset = reader.offset
        self.sentAt = self.flags.contains(.hasSentAt) ? reader.read() : 0
        self.expectedRevision = self.flags.contains(.hasExpectedRevision) ? reader.read() : 0
        guard !reader.overrun else { return nil }
    }
}

/// What an item of a patch does; raw values stand in the log.
package enum PatchAction: UInt8, Sendable {
    /// A packed value follows; a list is one of tag `.list`.
    case set = 1
    case delete = 2
    /// A packed list follows.
    case add = 3
    /// A packed list follows.
    case remove = 4
}

/// One item of a patch, borrowed.
///
/// Layout: `name: prefixed | action: UInt8 | [packed value]`. Items ascend by name; each name
/// occurs once. The five native attributes (`email_address`, `phone_number`, `language`, `region`,
/// `timezone`) are strings under these names, which custom attributes may not have.
package struct PatchItem {
    /// Lower case, `^[a-z0-9_]{1,30}$`.
    package var name: UnsafeRawBufferPointer
    package var action: PatchAction
    /// Empty for a delete.
    package var value: UnsafeRawBufferPointer

    package init(name: UnsafeRawBufferPointer, action: PatchAction, value: UnsafeRawBufferPointer) {
        self.name = name
        self.action = action
        self.value = value
    }

    /// Reads the next item of `patch`; `nil` if it is not one.
    init?(from reader: inout ByteReader, in patch: UnsafeRawBufferPointer) {
        self.name = reader.readPrefixed()
        guard let action = PatchAction(rawValue: reader.read()),
            1 ... NameTable.nameBytesMax ~= self.name.count
        else {
            return nil
        }
        self.action = action
        self.value = .none
        guard action != .delete else { return }
        let start = reader.offset
        guard PackedValue.skip(&reader, depth: 1) else { return nil }
        self.value = UnsafeRawBufferPointer(rebasing: patch[start ..< reader.offset])
        guard action == .set || self.value.first == PackedTag.list.rawValue else { return nil }
    }
}

/// The native attributes, by the names that they have in patches and images.
package enum NativeAttribute: UInt8, Sendable, CaseIterable {
    case emailAddress
    case phoneNumber
    case language
    case region
    case timezone

    package var name: StaticString {
        switch self {
        case .emailAddress: "email_address"
        case .phoneNumber: "phone_number"
        case .language: "language"
        case .region: "region"
        case .timezone: "timezone"
        }
    }

    var nameBytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: self.name.utf8Start, count: self.name.utf8CodeUnitCount)
    }

    /// The native attribute of a name in lower case; `nil`: a custom one.
    package init?(name: UnsafeRawBufferPointer) {
        for native in Self.allCases
        where name.equals(
            UnsafeRawBufferPointer(
                start: native.name.utf8Start, count: native.name.utf8CodeUnitCount))
        {
            self = native
            return
        }
        return nil
    }

    /// Whether only an identified profile may have it.
    package var needsIdentified: Bool { self == .emailAddress || self == .phoneNumber }
}
