import Bytes
import Profiles

// Profiles, written from their images in one pass over each list. Through protobuf-c each field was
// copied into a C message and again out of it, after a pass that adds up sizes: more than half of
// what a GetProfile cost. Results of a BatchWrite still go that way (GetProfileCodec.swift), and
// `ProfileWriterTests` holds both to the same bytes.
//
// Source: Protos/profiles/v1/types.proto, message Profile; fields are written in ascending order.

extension MessageEncoder {
    /// Upper bound of a serialised profile, in bytes.
    ///
    /// An integer in an object grows most: 4 bytes of the image (a name of one letter and a value
    /// of two bytes) become 18. The constant covers the fixed part with its four times.
    static func profileBytesMax(_ image: ProfileImage) -> Int {
        256 + 5 * (image.lists.remaining + image.customID.count)
    }

    /// Appends the GetProfileResponse of a profile that was found.
    ///
    /// Budget: one pass, no allocation.
    ///
    /// - Parameters:
    ///   - redirectedFrom: The identifier asked for, if it is an alias.
    ///   - appliedLSN: Up to where the response knows.
    static func writeGetProfileResponse(
        _ image: ProfileImage, mask: ReadMask, redirectedFrom: IdentifierView?,
        appliedLSN: UInt64, into output: inout ByteBuffer
    ) {
        // Two tags and lengths, the lsn, and the text of an identifier.
        let restBytesMax = 48 + ProfileID.textBytes + (redirectedFrom?.bytes.count ?? 0)
        Self.append(Self.profileBytesMax(image) + restBytesMax, to: &output) { writer in
            writer.writeLong(1) { Self.write(image, mask, into: &$0) }
            if let redirectedFrom { writer.write(2, textOf: redirectedFrom) }
            writer.write(3, appliedLSN)
        }
    }

    /// Appends a profile as field 1 of a response.
    static func writeProfileField(
        _ image: ProfileImage, mask: ReadMask, into output: inout ByteBuffer
    ) {
        Self.append(Self.profileBytesMax(image) + 16, to: &output) { writer in
            writer.writeLong(1) { Self.write(image, mask, into: &$0) }
        }
    }

    /// Appends what `body` writes, at most `bytesMax` bytes.
    @inline(__always)
    static func append(
        _ bytesMax: Int, to output: inout ByteBuffer, _ body: (inout FieldWriter) -> Void
    ) {
        let start = output.count
        // SAFETY: `bytesMax` bytes at the end of `output`, of which the writer uses as many as the
        // measure above allows; the rest is cut off before `output` is used again.
        let target = output.appendUninitialized(bytesMax).baseAddress!.assumingMemoryBound(
            to: UInt8.self)
        var writer = FieldWriter(target)
        body(&writer)
        let bytes = writer.next - target
        precondition(bytes <= bytesMax, "a message is longer than it can be")
        output.truncate(to: start + bytes)
    }

    /// The fields of a Profile.
    static func write(
        _ image: ProfileImage, _ mask: ReadMask, into writer: inout FieldWriter
    ) {
        if mask.contains(.profileID) { writer.writeAlways(1, image.profileID) }
        if mask.contains(.customID) { writer.write(2, image.customID) }
        if mask.contains(.state) { writer.write(3, UInt64(image.state.rawValue)) }
        var lists = image.lists
        Self.writeInstallations(&lists, mask, into: &writer)
        let aliases = lists
        Self.skipAliases(&lists)
        let counters = lists
        Self.skipCounters(&lists)
        Self.writeAttributes(&lists, mask, into: &writer)
        if mask.contains(.subscriptions) {
            writer.write(8) { writer in
                SubscriptionView.forEach(in: &lists) { Self.write($0, into: &writer) }
            }
        }
        if mask.contains(.eventCounters) { Self.writeCounters(counters, into: &writer) }
        if mask.contains(.createdAt) { writer.write(10, time: image.createdAt) }
        if mask.contains(.updatedAt) { writer.write(11, time: image.updatedAt) }
        if mask.contains(.lastSeenAt), image.lastSeenAt != 0 {
            writer.write(12, time: image.lastSeenAt)
        }
        if mask.contains(.revision) { writer.write(13, image.revision) }
        if mask.contains(.lsn) { writer.write(14, image.lsn) }
        if mask.contains(.aliases) { Self.writeAliases(aliases, into: &writer) }
        if mask.contains(.eventsTruncatedBefore), image.eventsTruncatedBefore != 0 {
            // Field 16, the first whose tag has two bytes.
            writer.number(16 << 3 | 2)
            writer.writeTimestamp(image.eventsTruncatedBefore)
        }
    }

    // MARK: Lists; an image of this process is well-formed

    private static func writeInstallations(
        _ lists: inout ByteReader, _ mask: ReadMask, into writer: inout FieldWriter
    ) {
        let isShown = mask.contains(.installations)
        for _ in 0 ..< lists.readVarint() {
            let id = lists.readPrefixed()
            let platform = lists.read(UInt8.self)
            let attachedAt = lists.read(Int64.self)
            let lastSeenAt = lists.read(Int64.self)
            guard isShown else { continue }
            writer.write(4) {
                $0.write(1, id)
                $0.write(2, UInt64(platform))
                $0.write(3, time: attachedAt)
                $0.write(4, time: lastSeenAt)
            }
        }
    }

    private static func skipAliases(_ lists: inout ByteReader) {
        for _ in 0 ..< lists.readVarint() {
            _ = lists.read(UInt8.self)
            _ = lists.readPrefixed()
        }
    }

    private static func writeAliases(_ aliases: ByteReader, into writer: inout FieldWriter) {
        var reader = aliases
        for _ in 0 ..< reader.readVarint() {
            let kind = IdentifierKind(rawValue: reader.read())
            let bytes = reader.readPrefixed()
            guard let kind else { preconditionFailure("an image of this process is whole") }
            writer.write(15) {
                switch kind {
                case .profileID: $0.writeAlways(1, ProfileID(binary: bytes))
                case .customID: $0.writeAlways(2, bytes)
                case .installationID: $0.writeAlways(3, bytes)
                }
            }
        }
    }

    private static func skipCounters(_ lists: inout ByteReader) {
        for _ in 0 ..< lists.readVarint() {
            _ = lists.readPrefixed()
            _ = lists.read(count: 24)
        }
    }

    private static func writeCounters(_ counters: ByteReader, into writer: inout FieldWriter) {
        var reader = counters
        for _ in 0 ..< reader.readVarint() {
            let name = reader.readPrefixed()
            let count = reader.read(UInt64.self)
            let first = reader.read(Int64.self)
            let last = reader.read(Int64.self)
            writer.write(9) {
                $0.write(1, name)
                $0.write(2, count)
                $0.write(3, time: first)
                $0.write(4, time: last)
            }
        }
    }

    /// An item of a Subscriptions.
    static func write(_ subscription: SubscriptionView, into writer: inout FieldWriter) {
        writer.write(1) {
            $0.write(1, UInt64(subscription.channel.rawValue))
            $0.write(2, subscription.topic)
            $0.write(3, UInt64(subscription.state.rawValue))
            $0.write(4, UInt64(subscription.source.rawValue))
            $0.write(5, time: subscription.effectiveTime)
        }
    }

    // MARK: Attributes

    /// Writes native attributes, custom ones and, if the mask has it, the metadata of both; moves
    /// `lists` behind them.
    private static func writeAttributes(
        _ lists: inout ByteReader, _ mask: ReadMask, into writer: inout FieldWriter
    ) {
        let attributes = lists
        var natives = NativeTexts()
        for _ in 0 ..< lists.readVarint() {
            let name = lists.readPrefixed()
            let value = lists
            if let native = NativeTexts.native(name) { natives.set(native, value) }
            guard PackedValue.skip(&lists, depth: 1) else {
                preconditionFailure("an image of this process is whole")
            }
            Self.skipMetadata(&lists)
        }
        if mask.contains(.native), natives.isAny { natives.write(5, into: &writer) }
        if mask.contains(.attributes) { Self.writeCustom(attributes, into: &writer) }
        if mask.contains(.attributeMetadata) { Self.writeMetadata(attributes, into: &writer) }
    }

    private static func skipMetadata(_ lists: inout ByteReader) {
        _ = lists.read(count: 8 + 8 + 1)
        _ = lists.readPrefixed()
    }

    private static func writeCustom(_ attributes: ByteReader, into writer: inout FieldWriter) {
        var reader = attributes
        for _ in 0 ..< reader.readVarint() {
            let name = reader.readPrefixed()
            if NativeTexts.native(name) == nil {
                writer.write(6) { Self.writeEntry(name, &reader, into: &$0) }
            } else {
                _ = PackedValue.skip(&reader, depth: 1)
            }
            Self.skipMetadata(&reader)
        }
    }

    private static func writeMetadata(_ attributes: ByteReader, into writer: inout FieldWriter) {
        var reader = attributes
        for _ in 0 ..< reader.readVarint() {
            let name = reader.readPrefixed()
            _ = PackedValue.skip(&reader, depth: 1)
            let effectiveTime = reader.read(Int64.self)
            let lsn = reader.read(UInt64.self)
            let platform = reader.read(UInt8.self)
            let sourceName = reader.readPrefixed()
            writer.write(7) {
                $0.write(1, name)
                $0.write(2) {
                    $0.write(1, time: effectiveTime)
                    $0.write(2, lsn)
                    guard platform != 0 || sourceName.count > 0 else { return }
                    $0.write(3) {
                        $0.write(1, UInt64(platform))
                        $0.write(2, sourceName)
                    }
                }
            }
        }
    }

    /// An entry of a map from names to values.
    @inline(__always)
    static func writeEntry(
        _ name: UnsafeRawBufferPointer, _ reader: inout ByteReader, into writer: inout FieldWriter
    ) {
        writer.write(1, name)
        writer.write(2) { Self.writeValue(&reader, into: &$0) }
    }

    /// The one field of a Value.
    private static func writeValue(_ reader: inout ByteReader, into writer: inout FieldWriter) {
        switch PackedTag(rawValue: reader.read()) {
        case .string: writer.writeAlways(1, reader.readPrefixed())
        case .integer:
            let zigzag = reader.readVarint()
            writer.writeAlways(2, zigzag >> 1 ^ (0 &- (zigzag & 1)))
        case .number:
            writer.byte(3 << 3 | 1)
            var bits = reader.read(UInt64.self)
            for _ in 0 ..< 8 {
                writer.byte(UInt8(truncatingIfNeeded: bits))
                bits >>= 8
            }
        case .no: writer.writeAlways(4, 0)
        case .yes: writer.writeAlways(4, 1)
        case .time: writer.write(5, time: reader.read())
        case .url: writer.writeAlways(6, reader.readPrefixed())
        case .list:
            writer.write(7) {
                for _ in 0 ..< reader.readVarint() { $0.writeAlways(1, reader.readPrefixed()) }
            }
        case .object: writer.write(8) { Self.writeObject(&reader, into: &$0) }
        case .objects:
            writer.write(9) {
                for _ in 0 ..< reader.readVarint() {
                    $0.write(1) { Self.writeObject(&reader, into: &$0) }
                }
            }
        case nil: preconditionFailure("a packed value of this process is whole")
        }
    }

    private static func writeObject(_ reader: inout ByteReader, into writer: inout FieldWriter) {
        for _ in 0 ..< reader.readVarint() {
            let name = reader.readPrefixed()
            writer.write(1) { Self.writeEntry(name, &reader, into: &$0) }
        }
    }
}

/// The values of a profile's native attributes: they come in the order of all names, and are
/// written in the order of their fields.
struct NativeTexts {
    /// By the raw value of the attribute; `nil`: it is not set.
    private var texts = InlineArray<5, UnsafeRawBufferPointer?>(repeating: nil)
    private(set) var isAny = false

    /// The native attribute of a name; nearly every other name is told apart by its length.
    @inline(__always)
    static func native(_ name: UnsafeRawBufferPointer) -> NativeAttribute? {
        switch name.count {
        case 6, 8, 12, 13: NativeAttribute(name: name)
        default: nil
        }
    }

    mutating func set(_ native: NativeAttribute, _ value: ByteReader) {
        var value = value
        _ = value.read(UInt8.self)
        self.texts[Int(native.rawValue)] = value.readPrefixed()
        self.isAny = true
    }

    /// Writes a NativeAttributes: a `StringValue` for each that is set.
    func write(_ field: UInt8, into writer: inout FieldWriter) {
        writer.write(field) { writer in
            for index in 0 ..< 5 {
                guard let text = self.texts[index] else { continue }
                writer.write(UInt8(index + 1)) { $0.write(1, text) }
            }
        }
    }
}
