/// Which parts of a profile a response shows; the bits are the field numbers of `Profile`.
package struct ReadMask: OptionSet, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }

    static func field(_ number: UInt32) -> ReadMask { ReadMask(rawValue: 1 << number) }

    static let profileID = Self.field(1)
    static let customID = Self.field(2)
    static let state = Self.field(3)
    static let installations = Self.field(4)
    static let native = Self.field(5)
    static let attributes = Self.field(6)
    static let attributeMetadata = Self.field(7)
    static let subscriptions = Self.field(8)
    static let eventCounters = Self.field(9)
    static let createdAt = Self.field(10)
    static let updatedAt = Self.field(11)
    static let lastSeenAt = Self.field(12)
    static let revision = Self.field(13)
    static let lsn = Self.field(14)
    static let aliases = Self.field(15)
    static let eventsTruncatedBefore = Self.field(16)

    /// Everything, but the metadata of attributes.
    static let standard = ReadMask(rawValue: 0x1_FFFE).subtracting(.attributeMetadata)

    /// Names of the fields, in the order of their numbers.
    private static let names: [StaticString] = [
        "profile_id", "custom_id", "state", "installations", "native", "attributes",
        "attribute_metadata",
        "subscriptions", "event_counters", "created_at", "updated_at", "last_seen_at", "revision",
        "lsn", "aliases",
        "events_truncated_before",
    ]

    /// The part that a path names; `nil` if there is none. Paths below a field are not built:
    /// decision 0102.
    static func part(_ path: UnsafeRawBufferPointer) -> ReadMask? {
        for (index, name) in Self.names.enumerated()
        where path.count == name.utf8CodeUnitCount
            && path.elementsEqual(UnsafeRawBufferPointer(start: name.utf8Start, count: path.count))
        {
            return Self.field(UInt32(index + 1))
        }
        return nil
    }
}
