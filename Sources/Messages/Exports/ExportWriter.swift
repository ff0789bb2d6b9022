import Bytes
import Profiles

// Parts of exports, written in one pass: an export of a project sends some 300,000 of them a
// second. `ExportWriterTests` holds them to what protobuf-c reads and writes.
//
// Source: Protos/profiles/v1/profiles.proto, messages ExportProfileResponse and SuppressionRecord,
// and types.proto, message StoredEvent; fields are written in ascending order.

extension MessageEncoder {
    /// Bytes of a part beside its content: tags, lengths and the lsn.
    private static let partBytesMax = 64

    /// Appends the ExportProfileResponse of a part.
    ///
    /// Budget: one pass over the content, no allocation.
    ///
    /// - Parameters:
    ///   - pageToken: Empty: it is not the last part of a person.
    ///   - redirectedFrom: The identifier asked for, if the part shows it.
    package func encodeExportPart(
        _ part: ExportPart, pageToken: UnsafeRawBufferPointer, redirectedFrom: IdentifierView?,
        into output: inout ByteBuffer
    ) {
        let restBytes =
            Self.partBytesMax + pageToken.count + ProfileID.textBytes
            + (redirectedFrom?.bytes.count ?? 0)
        Self.append(restBytes + Self.contentBytesMax(part), to: &output) { writer in
            writer.write(1, part.lsn)
            switch part.content {
            case .profile(let image):
                writer.writeLong(2) {
                    Self.write(image, ReadMask.standard.union(.attributeMetadata), into: &$0)
                }
            case .event(let image):
                writer.writeLong(3) { Self.writeEvent(image, into: &$0) }
            case .consentEntry(let listed):
                Self.writeEntry(
                    4, listed.entry, listed.previousHash, listed.hash, into: &writer)
            case .suppression, .position: break
            }
            writer.write(5, pageToken)
            if case .suppression(let channel, let address, let reasons) = part.content {
                writer.writeLong(6) {
                    $0.write(1, UInt64(channel.rawValue))
                    $0.write(2, address)
                    Self.write(3, reasons, into: &$0)
                }
            }
            if let redirectedFrom { writer.write(7, textOf: redirectedFrom) }
        }
    }

    /// Upper bound of the content of a part, in bytes.
    private static func contentBytesMax(_ part: ExportPart) -> Int {
        switch part.content {
        case .profile(let image): Self.profileBytesMax(image)
        // As of a profile: what grows most is an integer in an object, from 4 bytes to 18.
        case .event(let image): 256 + 5 * image.count
        case .consentEntry(let listed): listed.entry.count + 2 * (SHA256Digest.bytes + 2)
        case .suppression(_, let address, _): address.count + 32
        case .position: 0
        }
    }

    /// The fields of a StoredEvent, from its image.
    private static func writeEvent(
        _ image: UnsafeRawBufferPointer, into writer: inout FieldWriter
    ) {
        var reader = ByteReader(image)
        guard let event = StoredEventView(from: &reader) else {
            preconditionFailure("an image of this process is whole")
        }
        // Tags come before the attributes in an image, and behind them in a message.
        let tags = reader
        for _ in 0 ..< reader.readVarint() { _ = reader.readPrefixed() }
        writer.write(1, event.eventID)
        writer.write(2, event.name)
        for _ in 0 ..< reader.readVarint() {
            let name = reader.readPrefixed()
            writer.write(3) { Self.writeEntry(name, &reader, into: &$0) }
        }
        writer.write(4, time: event.position.effectiveTime)
        writer.write(5, time: event.receivedAt)
        writer.write(6, event.label)
        var tag = tags
        for _ in 0 ..< tag.readVarint() { writer.writeAlways(7, tag.readPrefixed()) }
        writer.write(8, event.position.lsn)
        Self.write(9, event.identifier, into: &writer)
        Self.writeSource(10, event.platform, event.sourceName, into: &writer)
        if event.isHistorical { writer.write(11, 1) }
    }
}
