import Bytes
import Profiles

// Responses of Watch, written from change records in one pass. `WatchWriterTests` holds them to
// what protobuf-c reads and writes.
//
// Source: Protos/profiles/v1/profiles.proto, messages WatchResponse and Change, and types.proto,
// messages StoredEvent and ConsentEntry; fields are written in ascending order.

extension MessageEncoder {
    /// A name, which a record has as a number, with the tags and lengths of an entry of a map.
    private static let nameBytesMax = 64

    /// Appends the WatchResponse of a heartbeat.
    package func encodeHeartbeat(lsn: UInt64, into output: inout ByteBuffer) {
        Self.append(16, to: &output) { $0.write(1, lsn) }
    }

    /// Appends the WatchResponse of a change.
    ///
    /// Budget: the record is read twice, no allocation.
    ///
    /// - Returns: False, with nothing appended, if the record is malformed.
    package func encodeChange(
        _ change: ChangeView, _ resolver: ChangeResolver, into output: inout ByteBuffer
    ) -> Bool {
        let event = change.event
        guard let nameCount = Self.nameCount(change, event) else { return false }
        let bytesMax = 512 + 5 * change.bytes.count + nameCount * Self.nameBytesMax
        Self.append(bytesMax, to: &output) { writer in
            writer.write(1, change.lsn)
            writer.writeLong(2) { Self.write(change, event, resolver, into: &$0) }
        }
        return true
    }

    /// Numbers of names in a record, all of which is read; `nil`: it is malformed.
    private static func nameCount(_ change: ChangeView, _ event: ChangedEvent?) -> Int? {
        switch change.kind {
        case .eventStored: return event.map { Int(clamping: $0.fieldCount) + 1 }
        case .created, .attributesChanged:
            var (attributes, count) = (change.attributes, 0)
            while attributes.next() != nil { count += 1 }
            return attributes.isDamaged ? nil : count
        case .subscriptionChanged:
            var entries = change.entries
            while entries.next() != nil {}
            return entries.isDamaged ? nil : 0
        case .suppressionChanged: return change.suppression == nil ? nil : 0
        case .installationMoved: return change.installationID == nil ? nil : 0
        case .identified, .merged, .unmerged, .erased: return 0
        }
    }

    /// The fields of a Change.
    private static func write(
        _ change: ChangeView, _ event: ChangedEvent?, _ resolver: ChangeResolver,
        into writer: inout FieldWriter
    ) {
        writer.write(1, change.kind.contractNumber)
        writer.writeAlways(2, change.profileID)
        writer.write(3, change.customID)
        writer.write(4, change.revision)
        writer.write(5, time: change.receivedAt)
        if let event {
            Self.writeSource(6, event.platform, event.sourceName, into: &writer)
            writer.writeLong(7) { Self.write(event, resolver, into: &$0) }
        } else {
            Self.writeSource(6, change.platform, change.sourceName, into: &writer)
        }
        Self.writeAttributes(of: change, resolver, into: &writer)
        var entries = change.entries
        while let entry = entries.next() {
            Self.writeEntry(9, entry.entry, entry.previousHash, entry.hash, into: &writer)
        }
        // Of whom a custom id came from the contract says nothing.
        if change.kind != .identified, let other = change.otherID { writer.write(10, other) }
        if let installation = change.installationID { writer.write(11, installation) }
        if let (channel, reasons) = change.suppression {
            writer.write(12, UInt64(channel.rawValue))
            Self.write(13, reasons, into: &writer)
        }
        if change.isHistorical { writer.write(14, 1) }
    }

    static func write(
        _ field: UInt8, _ reasons: SuppressionReasons, into writer: inout FieldWriter
    ) {
        guard !reasons.isEmpty else { return }
        writer.write(field) { writer in
            for reason in SuppressionReason.allCases
            where reasons.contains(SuppressionReasons(reason)) {
                writer.number(UInt64(reason.rawValue))
            }
        }
    }

    static func writeSource(
        _ field: UInt8, _ platform: UInt8, _ name: UnsafeRawBufferPointer,
        into writer: inout FieldWriter
    ) {
        guard platform != 0 || name.count > 0 else { return }
        writer.write(field) {
            $0.write(1, UInt64(platform))
            $0.write(2, name)
        }
    }

    // MARK: Attributes

    /// Writes the AttributesChange of a change that has attributes: those that were set, the names
    /// of those that were deleted, and the native ones.
    private static func writeAttributes(
        of change: ChangeView, _ resolver: ChangeResolver, into writer: inout FieldWriter
    ) {
        var attributes = change.attributes
        guard attributes.next() != nil else { return }
        writer.writeLong(8) { writer in
            var natives = NativeTexts()
            attributes = change.attributes
            while let attribute = attributes.next() {
                guard attribute.value.count > 0 else { continue }
                let name = resolver.name(attribute.name)
                var value = ByteReader(attribute.value)
                if let native = NativeTexts.native(name) {
                    natives.set(native, value)
                } else {
                    writer.write(1) { Self.writeEntry(name, &value, into: &$0) }
                }
            }
            attributes = change.attributes
            while let attribute = attributes.next() {
                guard attribute.value.count == 0 else { continue }
                writer.writeAlways(2, resolver.name(attribute.name))
            }
            if natives.isAny { natives.write(3, into: &writer) }
        }
    }

    // MARK: Events

    /// The fields of a StoredEvent.
    private static func write(
        _ event: ChangedEvent, _ resolver: ChangeResolver, into writer: inout FieldWriter
    ) {
        if let id = event.eventID {
            writer.write(1, id)
        } else {
            writer.writeAlways(1, resolver.eventID(of: event))
        }
        writer.write(2, resolver.name(event.name))
        var fields = event.fields
        for _ in 0 ..< event.fieldCount {
            let name = resolver.name(Int(clamping: fields.readVarint()))
            writer.write(3) { Self.writeEntry(name, &fields, into: &$0) }
        }
        writer.write(4, time: event.effectiveTime)
        writer.write(5, time: event.receivedAt)
        writer.write(6, event.label)
        var tags = event.tags
        for _ in 0 ..< event.tagCount { writer.writeAlways(7, tags.readPrefixed()) }
        writer.write(8, event.lsn)
        Self.write(9, event.identifier, into: &writer)
        Self.writeSource(10, event.platform, event.sourceName, into: &writer)
        if event.isHistorical { writer.write(11, 1) }
    }

    static func write(
        _ field: UInt8, _ identifier: IdentifierView, into writer: inout FieldWriter
    ) {
        writer.write(field) {
            switch identifier.kind {
            case .profileID: $0.writeAlways(1, ProfileID(binary: identifier.bytes))
            case .customID: $0.writeAlways(2, identifier.bytes)
            case .installationID: $0.writeAlways(3, identifier.bytes)
            }
        }
    }

    // MARK: Consent

    /// Field 13, which is the last of an entry: the id of a profile.
    private static let entryEndBytes = 2 + ProfileID.textBytes

    /// Writes a ConsentEntry: what was hashed, with the two hashes before its last field.
    static func writeEntry(
        _ field: UInt8, _ hashed: UnsafeRawBufferPointer, _ previousHash: SHA256Digest,
        _ hash: SHA256Digest, into writer: inout FieldWriter
    ) {
        writer.writeLong(field) { writer in
            var split = hashed.count
            if split >= Self.entryEndBytes, hashed[split - Self.entryEndBytes] == 13 << 3 | 2 {
                split -= Self.entryEndBytes
            }
            writer.raw(UnsafeRawBufferPointer(rebasing: hashed[..<split]))
            writer.write(11, previousHash)
            writer.write(12, hash)
            writer.raw(UnsafeRawBufferPointer(rebasing: hashed[split...]))
        }
    }
}
